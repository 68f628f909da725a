"""The house: imports run one way, rooms keep to their tools, and what the package says of itself is true."""

import ast
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hydra import compose, initialize_config_dir

import convtasnet_lit
from convtasnet_lit.__main__ import COMMANDS
from convtasnet_lit.config import Config, EvaluateConfig, PrepareConfig, typed
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.prepare import as_settings
from convtasnet_lit.weights.published import CARD, CONFIG, WEIGHTS
from convtasnet_lit.weights.shipped import shipped_names

SOURCE = Path(convtasnet_lit.__file__).parent
ROOT = SOURCE.parents[1]

# From the ground up: a room imports from itself and from rooms before it.
ROOMS = [
    "errors",
    "files",
    "devices",
    "limits",
    "data_config",
    "config",
    "headers",
    "audio",
    "corpus",
    "mixing",
    "model",
    "weights",
    "training",
    "inference",
    "evaluation",
    "exporting",
    "comparison",
    "dashboards",
    "studies",
    "serving",
    "command_line",
    "doors",
    "sweeps",
    "door",
]
DOORS = {*COMMANDS, "__main__"}
LIGHT_DOORS = ("separate", "stream", "serve", "export", "publish", "models")


def room_of(module: str) -> str:
    name = module.split(".")[1] if "." in module else "errors"
    return "door" if name in DOORS else name


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_only_the_model_looks_inside_the_fast_path() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] != "model":
            assert not [name for name in imports_of(path) if name.startswith("convtasnet_lit.model.fast.")], path


def test_imports_run_one_way() -> None:
    for path in SOURCE.rglob("*.py"):
        module = "convtasnet_lit." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for imported in imports_of(path):
            if imported.startswith("convtasnet_lit."):
                assert ROOMS.index(room_of(imported)) <= ROOMS.index(room_of(module)), f"{module} imports {imported}"


def test_the_fast_path_has_one_door() -> None:
    """A block can be changed without opening anything behind `fast.run`."""
    outside = [path for path in SOURCE.rglob("*.py") if path.parent.name != "fast"]
    for path in outside:
        assert not {name for name in imports_of(path) if name.startswith("convtasnet_lit.model.fast")}, path
    called = [name for path in outside for name in re.findall(r"\bfast\.\w+", path.read_text())]
    assert sorted(called) == ["fast.has_kernels", "fast.run"]


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("convtasnet_lit.corpus.prepared", ["torch", "lightning", "hydra"]),
        ("convtasnet_lit.weights.interchange", ["lightning", "hydra", "omegaconf", "pandas"]),
        ("convtasnet_lit.weights.pretrained", ["lightning", "hydra", "omegaconf", "pandas", "huggingface_hub"]),
        ("convtasnet_lit.weights.checkpoint", ["lightning", "hydra", "omegaconf", "pandas"]),
        ("convtasnet_lit.inference.separator", ["lightning", "hydra", "omegaconf", "wandb", "pandas"]),
        ("convtasnet_lit.inference.counting", ["torch", "lightning", "hydra", "omegaconf", "pandas"]),
        *((f"convtasnet_lit.{door}", ["numpy", "torch", "lightning", "wandb", "rich"]) for door in COMMANDS),
        *((f"convtasnet_lit.{door}", ["hydra", "omegaconf"]) for door in LIGHT_DOORS),
        ("convtasnet_lit.serving.server", ["torch", "lightning", "hydra", "matplotlib"]),
        ("convtasnet_lit.__main__", ["numpy", "torch", "hydra", "omegaconf"]),
        ("convtasnet_lit.model.streaming", ["lightning", "hydra", "omegaconf", "pandas"]),
    ],
)
def test_rooms_do_not_load_what_they_do_not_need(module: str, strangers: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {strangers} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (sdist,) = tmp_path.glob("*.tar.gz")
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert (site / "convtasnet_lit" / "py.typed").exists()
    (entry,) = tmp_path.glob("site/*.dist-info/entry_points.txt")
    assert "convtasnet = convtasnet_lit.__main__:main" in entry.read_text()
    script = tmp_path / "convtasnet"  # as pip writes it
    script.write_text("from convtasnet_lit.__main__ import main\nmain()\n")
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(script), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    done = run("train", "model=paper", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "hidden_channels: 512" in done.stdout
    assert f"path: {site}/convtasnet_lit/conf\n" in run("train", "--cfg", "hydra", "-p", "hydra.runtime").stdout
    assert run("separate", "--help").stdout.startswith("usage: convtasnet separate ")
    soundfile.write(tmp_path / "meeting.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    with sdist.open("rb") as file, tarfile.open(fileobj=file) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    for name in shipped_names():
        files = [site / "convtasnet_lit" / "networks" / name / file for file in (CONFIG, WEIGHTS, CARD)]
        assert sum(file.stat().st_size for file in files) < 8e6
        assert {f"src/{file.relative_to(site)}" for file in files} <= packed
    done = run("separate", "meeting.wav")
    assert (done.returncode, done.stdout.split()) == (0, ["meeting_speaker1.wav", "meeting_speaker2.wav"]), done.stderr
    assert f" {site}/convtasnet_lit/networks/" in run("models").stdout


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) < 200
    for page in (*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"


def readme_commands() -> list[str]:
    files = (*ROOT.glob("README*.md"), *sorted((ROOT / "docs").glob("*.md")))
    pages = "".join(page.read_text(encoding="utf-8") for page in files)
    doors = "train|prepare|evaluate|diagnose|plan_memory"
    found = re.findall(rf"^(?:python -m convtasnet_lit\.|convtasnet )((?:{doors}) .*)$", pages, re.MULTILINE)
    assert found
    return list(dict.fromkeys(found))  # the Chinese page repeats some


@pytest.mark.parametrize("line", readme_commands())
def test_every_hydra_command_of_the_readme_composes(line: str) -> None:
    door, *arguments = shlex.split(line, comments=True)
    single = [argument for argument in arguments if argument != "-m"]
    first = [re.sub(r"=(\w+),.*", r"=\1", argument).replace("glob(*)", "baseline") for argument in single]
    first = as_settings(first) if door == "prepare" else first
    schema = {"prepare": PrepareConfig, "evaluate": EvaluateConfig}.get(door, Config)
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        typed(schema, compose(door, overrides=first))


def test_the_readmes_options_are_those_of_conf() -> None:
    for group in re.findall(r"^\| `(\w+)` \| (`.*) \|$", README, re.MULTILINE):
        name, options = group
        if not (ROOT / "conf" / name).is_dir():
            continue
        there = {path.stem for path in (ROOT / "conf" / name).glob("*.yaml")} - {"baseline"}
        named = set(re.findall(r"`(\w+)`", options))
        assert there <= named, f"{name}: {there - named} are not in the README"


def test_make_help_lists_every_verb() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    verbs = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"train", "test", "lint", "format", "types", "benchmark", "wheel", "clean"} <= verbs


def test_no_extra_is_needed_to_import_what_trains_and_separates(tmp_path: Path) -> None:
    extras = "pesq pystoi espeakng_loader av tensorboard huggingface_hub onnx optuna plotly asteroid speechbrain"
    extras += " fastapi uvicorn prometheus"
    for entry in Path(pytest.__file__).parents[1].iterdir():  # site-packages, but for the extras
        if not entry.name.lower().startswith(tuple(extras.split())):
            (tmp_path / entry.name).symlink_to(entry)
    modules = (
        "training.run, evaluation.evaluating, inference.separator, inference.live, corpus.prepared, comparison.page"
    )
    imports = "; ".join(f"import convtasnet_lit.{module}" for module in modules.split(", "))
    code = f"import sys; sys.path += [{str(tmp_path)!r}, {str(SOURCE.parent)!r}]; {imports}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
