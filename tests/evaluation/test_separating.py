"""Networks whose estimates are NaN or silent, from the checkpoint to the files that evaluation writes."""

import json
from itertools import cycle
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from convtasnet_lit import evaluate
from convtasnet_lit.config import Accelerator, Config, EvaluateConfig, Split
from convtasnet_lit.evaluation.card import model_card
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.pretrained import read_stored
from tests.runs import write_run


def evaluated(outputs: list[float], config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Evaluate a network whose second output is multiplied by the given numbers, one a mixture."""
    forward, factors = ConvTasNet.forward, cycle(outputs)  # the examples are separated once more

    def changed(self: ConvTasNet, mixture: Tensor) -> Tensor:
        return forward(self, mixture) * torch.tensor([1.0, next(factors)])[:, None]

    monkeypatch.setattr(ConvTasNet, "forward", changed)
    MixtureDataModule(config.data).check()  # evaluation prepares nothing at a path that a checkpoint names
    checkpoint = str(write_run(config, folder) / "checkpoints" / "best.ckpt")
    evaluate._run(EvaluateConfig(checkpoint, Split.test, accelerator=Accelerator.cpu), folder)
    return folder / "evaluation-test"


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_a_mixture_that_is_nan_is_named_and_shows_in_every_mean(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluated([1, float("nan"), 1, 1, 1, 1], config, tmp_path, monkeypatch)
    report = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    assert report["not_finite"] == [1]
    assert {
        name: score["mean"] for name, score in report["scores"]["all"].items() if name != "mixtures"
    } == dict.fromkeys(("si_sdr", "sdr", "si_sdri", "sdri"))
    table = pd.read_csv(folder / "per_utterance.csv").set_index("mixture")
    assert table["finite"].tolist() == [True, False, True, True, True, True]
    assert table["si_sdr"].isna().tolist() == [False, True, False, False, False, False]
    printed, said = capsys.readouterr()
    assert "NaN" in printed
    assert "warning: 1 mixtures have estimates that are not finite: 1" in said
    assert "| all | 6 | NaN |" in model_card(read_stored(str(tmp_path)), "someone/network", "mit")


def test_a_silent_output_has_the_lowest_score(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = evaluated([0] * 6, config, tmp_path, monkeypatch)
    report = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    assert report["not_finite"] == []
    assert -80 < report["scores"]["all"]["sdr"]["mean"] < -30
    assert -80 < report["scores"]["all"]["si_sdr"]["mean"] < -30
