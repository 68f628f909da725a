"""What a run was trained with and on is in its folder, wherever it was trained."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from convtasnet_lit.config import Config
from convtasnet_lit.training import provenance
from convtasnet_lit.training.run import train


def recorded(folder: Path) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads((folder / "environment.json").read_text())
    return parts


def test_a_run_names_its_versions_and_data_and_each_machine_it_was_on(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_on(epochs: int) -> None:
        train(replace(config, resume=True, trainer=replace(config.trainer, max_epochs=epochs)), tmp_path)

    (tmp_path / "environment.json").write_text('[{"from_epoch": 1}]')  # of a run that was killed in its first epoch
    go_on(1)
    (first,) = recorded(tmp_path)
    assert (first["from_epoch"], first["device"]) == (1, "cpu")
    assert first["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    store = Path(config.data.store) / first["data"]["store"]
    assert len(pd.read_csv(store / "mixtures" / f"{first['data']['test list']}.csv")) == config.data.test_mixtures
    go_on(2)
    assert recorded(tmp_path) == [first]
    monkeypatch.setattr(provenance, "processor_name", lambda: "another")
    go_on(2)  # nothing is trained
    assert recorded(tmp_path) == [first]
    go_on(3)
    assert recorded(tmp_path) == [first, first | {"from_epoch": 3, "processor": "another"}]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_folders_own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        named = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *named, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    package, installed = tmp_path / "src", tmp_path / ".venv" / "package"
    for folder in (package, installed):
        folder.mkdir(parents=True)
        (folder / "code.py").write_text("a = 1\n")
    assert provenance.commit(package) == ""  # no checkout
    git("init", "-q")
    git("add", "src")
    git("commit", "-qm", "a")
    assert provenance.commit(package) == git("rev-parse", "HEAD")
    git("tag", "-am", "v1", "v1")
    assert provenance.commit(package) == git("rev-parse", "HEAD")
    (package / "code.py").write_text("a = 2\n")
    assert provenance.commit(package) == git("rev-parse", "HEAD") + "-dirty"
    assert provenance.commit(installed) == ""  # of somebody else's checkout
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit(package) == ""  # no git
