"""Networks that were not trained here are evaluated like our own, on a corpus that is named."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchaudio

from convtasnet_lit import evaluate, publish
from convtasnet_lit.config import Config, plain
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.weights.checkpoint import write_checkpoint
from convtasnet_lit.weights.pretrained import read_stored
from convtasnet_lit.weights.shipped import DEFAULT

Evaluate = Callable[..., tuple[int | str | None, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Run the door in an empty folder; returns its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def door(*arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["evaluate", *arguments, "examples=0", "metrics=[si_sdri]"])
        try:
            evaluate.main()
        except SystemExit as left:
            return left.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return door


@pytest.fixture
def where(corpus: Path) -> list[str]:
    return ["data=aishell3", f"data.root={corpus}", f"data.store={corpus.parent / 'store'}", "data.test_mixtures=3"]


@pytest.fixture
def three_speakers(run: Evaluate) -> str:
    torch.manual_seed(0)
    torch.save(torchaudio.models.ConvTasNet(3, 20, 24, 3, 8, 12, 8, 1, "relu").state_dict(), "three.v1.pt")
    return "three.v1.pt"


def test_the_network_says_rate_speakers_and_level(run: Evaluate, where: list[str], three_speakers: str) -> None:
    code, said = run(f"checkpoint={three_speakers}", *where, "data.validation_fraction=0.4")
    assert code == 0, said
    report = json.loads(Path("evaluation-three.v1-test/metrics.json").read_text())
    assert report["scores"]["all"]["mixtures"] == 3
    assert report["mixture_list"].startswith("test-3spk-")
    for setting in ("sample_rate=16000", "num_speakers=2", "normalize=true"):
        code, said = run(f"checkpoint={three_speakers}", *where, f"data.{setting}", "output=elsewhere")
        key, value = setting.split("=")
        assert code == 2
        assert f"data.{key}: {value.capitalize() if value == 'true' else value}, but three.v1.pt" in said
    assert not Path("elsewhere").exists()


def test_without_a_corpus_one_line_asks_for_one(run: Evaluate, three_speakers: str) -> None:
    code, said = run(f"checkpoint={three_speakers}", "data.sample_rate=8000")
    assert code == 2
    assert "data: three.v1.pt holds no settings of a training; give a corpus such as data=voices" in said
    assert said.count("error: ") == 1


def test_without_a_checkpoint_the_network_in_the_package_is_scored(run: Evaluate, where: list[str]) -> None:
    code, said = run(*where)
    assert code == 0, said
    assert said.startswith(f"network: {DEFAULT}, 2 speakers at 8000 Hz\n")
    report = json.loads(Path(f"evaluation-{DEFAULT}-test/metrics.json").read_text())
    assert report["weights"] == read_stored(DEFAULT).digest


@pytest.fixture
def shared(run: Evaluate, config: Config) -> str:
    """A published network that has met the corpus's training speakers."""
    met = list(MixtureDataModule(config.data).corpus.splits.train)
    state = {"state_dict": SeparationModule(plain(config)).state_dict(), "hyper_parameters": {"config": plain(config)}}
    write_checkpoint({**state, "MixtureDataModule": {"speakers": met}}, Path("run/checkpoints/best.ckpt"))
    publish.publish("run", "shared")
    return "shared"


def test_a_published_network_scores_as_its_checkpoint(run: Evaluate, where: list[str], shared: str) -> None:
    assert run("checkpoint=run", "data.test_mixtures=3")[0] == 0
    assert run(f"checkpoint={shared}", *where)[0] == 0
    ours, theirs = (Path(folder, "per_utterance.csv") for folder in ("run/evaluation-test", "evaluation-shared-test"))
    pd.testing.assert_frame_equal(pd.read_csv(ours), pd.read_csv(theirs))
    assert {path.name for path in Path(shared).iterdir()} == {"README.md", "config.json", "model.safetensors"}


def test_a_published_network_remembers_whom_it_met(run: Evaluate, where: list[str], shared: str) -> None:
    met = json.loads(Path(shared, "config.json").read_text())["speakers"][:2]
    code, said = run(f"checkpoint={shared}", *where, f"data.test_speakers=[{','.join(met)}]")
    assert code == 2
    assert f"data.test_speakers: {', '.join(sorted(met))} were in this network's training" in said
