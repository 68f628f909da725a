"""`convtasnet export` as a user meets it, and the examples of docs/ where there is no torch."""

import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch

from convtasnet_lit import export
from convtasnet_lit.config import Config, plain
from convtasnet_lit.errors import InputError
from convtasnet_lit.exporting import graphs
from convtasnet_lit.inference.live import StreamingSeparator, separated
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.checkpoint import write_checkpoint
from convtasnet_lit.weights.shipped import DEFAULT

DOCS = Path(__file__).parents[1] / "docs"
RATE = 8000
TINY = {
    "num_filters": 16,
    "bottleneck_channels": 8,
    "hidden_channels": 8,
    "skip_channels": 8,
    "num_blocks": 2,
    "num_repeats": 1,
}
QUANTUM = 1 / 32768  # of a 16-bit sample


def write_run(folder: Path, **settings: object) -> None:
    """The folder of a run with the checkpoint of an untrained network."""
    torch.manual_seed(0)
    values = plain(Config())
    values["model"] |= TINY | settings
    values["data"]["sample_rate"] = RATE
    network = ConvTasNet(2, **values["model"])
    network.separator.output.weight.data *= 10  # masks that differ
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    file = folder / "checkpoints" / "best.ckpt"
    file.parent.mkdir(parents=True)
    write_checkpoint({"hyper_parameters": {"config": values}, "state_dict": state}, file)


def run(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export", *arguments])
        try:
            export.main()
        except SystemExit as left:
            return int(left.code or 0)
    return 0


@dataclass(frozen=True)
class Files:
    run: Path
    offline: Path
    streaming: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A causal run, and what was exported of it."""
    folder = tmp_path_factory.mktemp("exports")
    write_run(folder / "causal", causal=True, norm="cLN")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("--model", "causal", "--format", "onnx") == 0
        assert run("--model", "causal/checkpoints/best.ckpt", "--streaming", "--out", "there/causal.onnx") == 0
    return Files(folder / "causal", folder / "causal.onnx", folder / "there" / "causal.onnx")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with numpy and onnxruntime alone."""
    site = tmp_path_factory.mktemp("bare")
    for package in (np, onnxruntime):
        home = Path(str(package.__file__)).parent
        for folder in (home, home.with_name(f"{home.name}.libs")):
            if folder.exists():
                (site / folder.name).symlink_to(folder)
    return site


def run_example(bare: Path, name: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    code = f"""
import importlib.util, runpy, sys
sys.path.append({str(bare)!r})
assert not importlib.util.find_spec("torch") and not importlib.util.find_spec("convtasnet_lit")
sys.argv = {[name, *map(str, arguments)]}
runpy.run_path({str(DOCS / name)!r}, run_name="__main__")
"""
    # -I and -S: no packages but the standard library's and those of the folder
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)


def write_mixture(path: Path, rate: int = RATE) -> np.ndarray:
    """1.2 s and a bit of changing noise, as samples that 16 bits hold."""
    noise = np.random.default_rng(0).normal(0, 0.05, rate + 1607)
    samples = np.round(noise * np.linspace(0.1, 2, len(noise)) / QUANTUM) * QUANTUM
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return samples.astype(np.float32)


def read_speakers(folder: Path) -> np.ndarray:
    return np.stack([soundfile.read(folder / f"mixture_speaker{i}.wav", dtype="float32")[0] for i in (1, 2)])


def test_the_door_says_where_the_file_is_and_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "data.segment-4s+model-tiny")
    assert run("--model", "data.segment-4s+model-tiny", "--format", "torch_export") == 0
    printed, said = capsys.readouterr()
    assert printed.startswith("data.segment-4s+model-tiny.pt2: ")
    assert "input: mixture (batch, samples) float32\noutput: estimates (batch, 2, samples) float32\n" in printed
    assert "sample_rate: 8000\n" in printed
    assert "target_rms: 0.056234133\n" in printed
    assert said == ""
    assert Path("data.segment-4s+model-tiny.pt2").is_file()


def test_without_a_name_the_default_network_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(graphs, "separation_graph", lambda _: (_ for _ in ()).throw(InputError("enough")))
    assert run() == 2  # writing it takes long
    assert capsys.readouterr().err == f"network: {DEFAULT}, 2 speakers at 8000 Hz\nerror: enough\n"
    assert run("--streaming") == 2
    assert capsys.readouterr().err.startswith(
        f"error: --model: must be given, as {DEFAULT}, the default, is not causal"
    )


def test_the_commands_of_the_docs_are_understood() -> None:
    lines = (DOCS / "exporting.md").read_text(encoding="utf-8").splitlines()
    commands = [line.split()[2:] for line in lines if line.startswith("convtasnet export")]
    parsed = [export.arguments().parse_args(command) for command in commands]
    assert [(options.format, options.streaming) for options in parsed] == [
        ("onnx", False),
        ("onnx", True),
        ("torch_export", False),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["best", "--streaming"], "--streaming: not causal"),
        (["best", "--streaming", "--format", "torch_export"], "--streaming: torch_export is not allowed"),
        (["best", "--format", "torch_export", "--out", "best"], "best: cannot be written"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "best")
    assert run("--model", *arguments) == 2
    printed, error = capsys.readouterr()
    assert printed == ""
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_missing_package_is_one_line(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run("--model", str(files.run)) == 2
    assert capsys.readouterr().err == "error: --format: onnx needs packages: pip install 'convtasnet_lit[onnx]'\n"


def test_the_example_separates_without_torch_as_the_separator_does(files: Files, bare: Path, tmp_path: Path) -> None:
    mixture = write_mixture(tmp_path / "mixture.wav")
    done = run_example(bare, "onnx_separate.py", files.offline, tmp_path / "mixture.wav")
    assert done.returncode == 0, done.stderr
    expected = Separator.from_pretrained(files.run).separate(mixture, RATE)
    np.testing.assert_allclose(read_speakers(tmp_path), expected, rtol=0, atol=2 * QUANTUM)
    assert np.abs(expected).max() > 100 * QUANTUM


def test_the_example_refuses_another_rate(files: Files, bare: Path, tmp_path: Path) -> None:
    write_mixture(tmp_path / "mixture.wav", rate=16000)
    done = run_example(bare, "onnx_separate.py", files.offline, tmp_path / "mixture.wav")
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/mixture.wav: has 16000 Hz; it must have 8000, the network's\n"


def test_the_streaming_example_separates_hop_by_hop_as_the_stream_does(
    files: Files, bare: Path, tmp_path: Path
) -> None:
    mixture = write_mixture(tmp_path / "mixture.wav")
    done = run_example(bare, "onnx_stream.py", files.streaming, tmp_path / "mixture.wav")
    assert done.returncode == 0, done.stderr
    with wave.open(str(tmp_path / "mixture_speaker1.wav")) as file:
        assert (file.getnframes(), file.getframerate()) == (len(mixture), RATE)
    hops = [mixture[start : start + 80] for start in range(0, len(mixture), 80)]
    expected = np.concatenate(list(separated(StreamingSeparator.from_pretrained(files.run), hops)), 1)
    # of the first few hops' levels hardly anything is known, and rounding decides
    np.testing.assert_allclose(read_speakers(tmp_path)[:, 400:], expected[:, 400:], rtol=0, atol=4 * QUANTUM)
    assert np.abs(expected).max() > 100 * QUANTUM
