"""Publishing as a user meets it: a folder that is whole and opens again, or one line; and a Hub served from memory."""

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchaudio

from convtasnet_lit import publish
from convtasnet_lit.config import Config
from convtasnet_lit.data_config import CorpusName, RootConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.checkpoint import read_checkpoint, write_checkpoint
from convtasnet_lit.weights.pretrained import load_pretrained, read_stored
from convtasnet_lit.weights.published import is_hub_id
from tests.hub_server import TOKEN
from tests.hub_server import hub as hub_server
from tests.runs import write_run

FILES = {"README.md", "config.json", "model.safetensors"}


@pytest.fixture
def run(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    write_run(config, tmp_path / "runs" / "first")
    return "runs/first"


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["publish", *arguments])
    try:
        publish.main()
    except SystemExit as left:
        return left.code
    return 0


def names(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_a_published_folder_opens_bit_equal(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, run, "./shared/pair") == 0
    assert capsys.readouterr().out == "published: ./shared/pair\n"
    assert names("shared/pair") == FILES
    assert (names("shared"), names(".")) == ({"pair"}, {"runs", "shared"})
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in Path("shared/pair").iterdir())  # for others to read
    trained, shared = load_pretrained(run), load_pretrained("shared/pair")
    mixture = torch.randn(1, 4000)
    assert torch.equal(trained.network(mixture), shared.network(mixture))
    values = json.loads(Path("shared/pair/config.json").read_text())
    assert (values["format"], values["sample_rate"], values["num_sources"]) == (1, 8000, 2)
    card = Path("shared/pair/README.md").read_text()
    assert "license: apache-2.0" in card
    assert str(Path.cwd()) not in card + json.dumps(values)


def test_a_later_network_takes_an_earlier_ones_place(run: str, config: Config) -> None:
    publish.publish(run, "shared")
    write_run(config, Path("runs/other"))
    Path("runs/other/history.csv").unlink()
    publish.publish("runs/other", "shared", "mit")
    assert "license: mit" in Path("shared/README.md").read_text()
    assert names(".") == {"runs", "shared"}


def test_speakers_of_ones_own_corpora_are_not_named(run: str, config: Config) -> None:
    folder = replace(config, data=replace(config.data, corpus=CorpusName.folder))
    mixed = replace(config, data=replace(config.data, corpus=CorpusName.mixed, roots=[RootConfig(".")]))
    publish.publish(str(write_run(folder, Path("runs/folder"))), "folder")
    publish.publish(str(write_run(mixed, Path("runs/mixed"))), "mixed")
    publish.publish(run, "known")
    files = [Path(name, "config.json") for name in ("folder", "mixed", "known")]
    assert [json.loads(file.read_text())["speakers"] for file in files] == [[], [], ["S1", "S2"]]


def test_a_target_that_there_is_not_is_refused_and_files_without_one_mean_reverberant(run: str) -> None:
    publish.publish(run, "shared")
    config = Path("shared/config.json")
    values = json.loads(config.read_text())
    assert values.pop("target") == "reverberant"
    config.write_text(json.dumps(values))
    assert read_stored("shared").target == "reverberant"
    for target in ("moist", 7):
        config.write_text(json.dumps(values | {"target": target}))
        with pytest.raises(InputError, match=r"^shared.*: target: .* is not allowed; "):
            load_pretrained("shared")


def test_a_folder_that_holds_anything_else_is_left_alone(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish.publish(run, "shared")
    Path("shared/notes.txt").write_text("mine")
    Path("file").write_text("mine")
    for target in ("shared", "runs", "runs/first", "file"):
        assert command(monkeypatch, run, target) == 2
        assert capsys.readouterr().err.startswith(f"error: {target}: holds what is no published network")
    assert names("shared") == {*FILES, "notes.txt"}


def test_another_projects_folder_is_left_alone(run: str) -> None:
    for number, config in enumerate(('{"architectures": ["Bert"]}', '{"format": 1}', "no JSON", "[]")):
        folder = Path(f"theirs{number}")
        folder.mkdir()
        (folder / "config.json").write_text(config)
        (folder / "README.md").write_text("theirs")
        with pytest.raises(InputError, match="holds what is no published network"):
            publish.publish(run, str(folder))
        assert (folder / "README.md").read_text() == "theirs"


@pytest.mark.parametrize("name", ["README.md", "model.safetensors"])
def test_a_folder_or_link_of_a_published_files_name_is_left_alone(name: str, run: str) -> None:
    publish.publish(run, "shared")
    kept = Path("shared", name)
    kept.rename("mine")
    kept.symlink_to(Path("mine").absolute())
    with pytest.raises(InputError, match="holds what is no published network"):
        publish.publish(run, "shared")
    kept.unlink()
    kept.mkdir()
    (kept / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds what is no published network"):
        publish.publish(run, "shared")
    assert (kept / "notes.txt").exists()


def test_what_lies_beside_the_target_is_left_alone(run: str) -> None:
    for name in ("shared.partial", "shared.former"):
        Path(name).mkdir()
        Path(name, "notes.txt").write_text("mine")
    for _ in range(2):
        publish.publish(run, "shared")
    assert names(".") == {"runs", "shared", "shared.partial", "shared.former"}
    assert names("shared.partial") == names("shared.former") == {"notes.txt"}


def test_a_configuration_that_is_none_of_ours_is_one_line(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(run, "checkpoints", "best.ckpt")
    saved = read_checkpoint(path)
    saved["hyper_parameters"]["config"]["seed"] = "many"
    write_checkpoint(saved, path)
    assert command(monkeypatch, run, "shared") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("shared").exists()


def test_a_full_disk_leaves_what_was_there(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish.publish(run, "shared")
    before = {path.name: path.read_bytes() for path in Path("shared").iterdir()}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="shared: cannot be written: No space left on device"):
        publish.publish(run, "shared", "mit")
    assert {path.name: path.read_bytes() for path in Path("shared").iterdir()} == before
    assert names(".") == {"runs", "shared"}


def test_anothers_network_is_published_under_a_licence_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = torchaudio.models.ConvTasNet(2, 20, 24, 3, 8, 12, 8, 1, "relu").eval()
    torch.save(theirs.state_dict(), "model.pt")
    assert command(monkeypatch, "model.pt", "shared") == 2
    assert "--licence: must be given, as model.pt was not trained here" in capsys.readouterr().err
    assert names(".") == {"model.pt"}
    assert command(monkeypatch, "model.pt", "shared", "--licence", "cc-by-4.0") == 0
    card = Path("shared/README.md").read_text()
    assert "The weights are those of a network of torchaudio, converted" in card
    assert "The file of torchaudio does not say what it was trained on." in card
    assert "## Training" not in card
    mixture = torch.randn(1, 4000)
    ours = load_pretrained("shared").network(mixture)
    torch.testing.assert_close(ours, theirs(mixture.unsqueeze(1)), atol=1e-5, rtol=1e-4)


def test_what_cannot_be_opened_is_one_line_and_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "/nowhere", "shared") == 2
    assert capsys.readouterr().err.startswith("error: /nowhere: there is no such file or folder")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_one_line_says_what_to_install(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    publish.publish(run, "shared")  # a folder needs none
    for attempt in (lambda: publish.publish(run, "me/pair"), lambda: load_pretrained("me/pair")):
        with pytest.raises(InputError, match=r"me/pair: .*pip install 'convtasnet_lit\[hub\]'"):
            attempt()


def test_a_hub_id_is_what_cannot_be_a_folder_here(run: str) -> None:
    assert is_hub_id("me/pair")
    assert is_hub_id("me/pair.v2@main")
    for text in ("runs/typo", "./me/pair", "../me", "/me/pair", "~/pair", "pair", "a/b/c", "me/best.ckpt", "me/x.pth"):
        assert not is_hub_id(text)


def test_every_command_of_the_page_is_understood() -> None:
    page = (Path(__file__).parents[1] / "docs" / "sharing.md").read_text()
    lines = re.findall(r"^convtasnet publish (.*)$", page, re.MULTILINE)
    targets = [publish.arguments().parse_args(line.split()).target for line in lines]
    assert [is_hub_id(target) for target in targets] == [False, True, False]


ON_THE_HUB = f"""
import os, sys
import torch
from convtasnet_lit import publish
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.pretrained import load_pretrained

def said(attempt):
    try:
        return attempt()
    except InputError as error:
        return error

print(publish.publish("runs/first", "me/pair", private=True))
for name in ("me/pair", "me/pair@main"):
    there, here = (load_pretrained(path).network.state_dict() for path in (name, "runs/first"))
    print(all(torch.equal(there[key], here[key]) for key in here))
print(said(lambda: load_pretrained("me/pair@v9")))
print(said(lambda: load_pretrained("me/none")))
os.environ["HF_TOKEN"] = "{TOKEN}-of-another"
print(said(lambda: publish.publish("runs/first", "you/pair")))
"""


def on_the_hub(tmp_path: Path, address: str, code: str) -> list[str]:
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    environment = {**os.environ, **settings}  # huggingface_hub reads them when it is imported
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_up_to_the_hub_and_down_again(run: str, tmp_path: Path) -> None:
    with hub_server() as (address, there):
        said = on_the_hub(tmp_path, address, ON_THE_HUB)
    assert said[:3] == [f"{address}/me/pair", "True", "True"]
    assert said[3] == "me/pair@v9: the repository is on the Hub, but has no such revision"
    assert said[4] == "me/none: no file or folder here, and no repository on the Hub that your token may see"
    assert said[5].startswith("you/pair: not published: Client error '401 Unauthorized'")
    assert len(said) == 6
    assert there.private == {"me/pair": True}
    assert set(there.repositories["me/pair"]) == FILES
    assert "# pair\n" in there.repositories["me/pair"]["README.md"].decode()


def test_without_a_network_one_line_says_so(run: str, tmp_path: Path) -> None:
    code = ON_THE_HUB.split("print")[0] + 'print(said(lambda: load_pretrained("me/pair")))'
    code += '\nprint(said(lambda: publish.publish("runs/first", "me/pair")))'
    down, up = on_the_hub(tmp_path, "http://127.0.0.1:9", code)
    assert down.startswith("me/pair: no file or folder here, and the Hub did not answer: ")
    assert up.startswith("me/pair: not published: ")
