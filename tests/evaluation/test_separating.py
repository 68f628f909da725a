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
from convtasnet_lit.data_config import Condition
from convtasnet_lit.evaluation.card import model_card
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training.metrics import separation_scores
from convtasnet_lit.weights.pretrained import read_stored
from tests.runs import write_run


def evaluated(
    outputs: list[float], config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch, *conditions: Condition
) -> Path:
    """Evaluate a network whose second output is multiplied by the given numbers, one a mixture."""
    forward, factors = ConvTasNet.forward, cycle(outputs)  # the examples are separated once more

    def changed(self: ConvTasNet, mixture: Tensor) -> Tensor:
        return forward(self, mixture) * torch.tensor([1.0, next(factors)])[:, None]

    monkeypatch.setattr(ConvTasNet, "forward", changed)
    MixtureDataModule(config.data).check()  # evaluation prepares nothing at a path that a checkpoint names
    checkpoint = str(write_run(config, folder) / "checkpoints" / "best.ckpt")
    evaluate._run(EvaluateConfig(checkpoint, Split.test, [*conditions], accelerator=Accelerator.cpu), folder)
    return folder / "-".join(["evaluation-test", *(condition.name for condition in conditions)])


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


def test_a_list_of_lone_speakers_says_how_often_one_output_holds_the_voice(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alike = lambda self, mixture: mixture.unsqueeze(1).repeat(1, 2, 1)  # noqa: E731
    monkeypatch.setattr(ConvTasNet, "forward", alike)
    folder = evaluated([0.0, 0.01, 0.0101, 1.0, 0.5, 0.2], config, tmp_path, monkeypatch, Condition.lone)
    report = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    margins = pd.read_csv(folder / "per_utterance.csv")["margin_db"].tolist()
    assert margins == pytest.approx([80, 40, 39.914, 0, 6.021, 13.979], abs=1e-3)
    assert report["lone_held"]["share"] == 0.5
    assert report["lone_held"]["median_db"] == pytest.approx((39.914 + 13.979) / 2, abs=1e-3)
    low, high = report["lone_held"]["ci95"]
    assert low < 0.5 < high
    assert set(report["scores"]["all"]) == {"mixtures", "si_sdr", "sdr"}  # there is nothing to improve
    assert "counting" not in report
    assert "the others 20 dB under it: 50%" in capsys.readouterr().out


def test_a_list_is_scored_under_conditions_beside_the_clean_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = evaluated([1] * 6, config, tmp_path, monkeypatch)
    before = (clean / "metrics.json").read_text()
    monkeypatch.undo()
    noisy = evaluated([1] * 6, config, tmp_path, monkeypatch, Condition.room, Condition.noise)
    assert (clean / "metrics.json").read_text() == before
    monkeypatch.undo()
    reports = [json.loads((folder / "metrics.json").read_text()) for folder in (clean, noisy)]
    assert [report["conditions"] for report in reports] == [[], ["room", "noise"]]
    assert reports[0]["mixture_list"] != reports[1]["mixture_list"]
    assert "aishell3, test speakers, room, noise" in capsys.readouterr().out
    stored = read_stored(tmp_path)
    network = stored.build()
    mixtures = MixtureDataModule(config.data, conditions=[Condition.room, Condition.noise]).fixed_mixtures(Split.test)
    for number, row in enumerate(pd.read_csv(noisy / "per_utterance.csv").itertuples()):
        item = mixtures[number]
        with torch.inference_mode():
            estimates = network(item.mixture[None])
        scores = separation_scores(["si_sdr", "si_sdri"], estimates, item.sources[None], item.mixture[None], 8000)
        assert row.si_sdr == pytest.approx(scores["si_sdr"].item(), abs=1e-3)
        assert row.si_sdri == pytest.approx(scores["si_sdri"].item(), abs=1e-3)
        of_the_sum = separation_scores(
            ["si_sdr"], item.mixture.expand(1, 2, -1), item.sources[None], item.mixture[None], 8000
        )
        assert row.si_sdr - row.si_sdri == pytest.approx(
            of_the_sum["si_sdr"].item(), abs=1e-3
        )  # over the noisy mixture
