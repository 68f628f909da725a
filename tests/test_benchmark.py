"""The benchmark counts what it says, on any corpus."""

import json
import sys
from pathlib import Path

import pytest

from convtasnet_lit import benchmark


def test_loading_is_measured(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--corpus", "aishell3", "--root", str(corpus), "--json", "speed.json"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    benchmark.main()
    figures = json.loads(Path("speed.json").read_text())
    assert all(value > 0 for part in figures.values() for value in part.values())
    assert "mixtures a second" in capsys.readouterr().out


def test_a_missing_corpus_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--corpus", "aishell3", "--root", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match=r"error: data\.root"):
        benchmark.main()
