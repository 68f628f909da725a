"""Averaged weights: what they are of each step, and that they are what is validated, kept and opened."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from convtasnet_lit.config import Config, NormName, Split
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.training.losses import pit_loss
from convtasnet_lit.training.run import train
from convtasnet_lit.weights.checkpoint import read_checkpoint
from convtasnet_lit.weights.pretrained import load_pretrained, read_stored

DECAY = 0.5


class Steps(Callback):
    """Remember the weights after each optimizer step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if trainer.global_step > len(self.weights):
            self.weights.append({name: value.clone() for name, value in module.state_dict().items()})


@pytest.fixture
def averaged(config: Config) -> Config:
    return replace(config, trainer=replace(config.trainer, ema_decay=DECAY))


def test_a_checkpoint_holds_the_average_of_all_steps_and_the_last_weights(averaged: Config, tmp_path: Path) -> None:
    steps = Steps()
    train(averaged, tmp_path, [steps])
    expected = steps.weights[0]
    for number, weights in enumerate(steps.weights[1:], start=1):
        decay = min(DECAY, (1 + number) / (10 + number))
        expected = {name: decay * value + (1 - decay) * weights[name] for name, value in expected.items()}
    last = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert len(steps.weights) == 8
    assert last["state_dict"].keys() == expected.keys()
    for name, value in last["state_dict"].items():
        torch.testing.assert_close(value, expected[name], msg=name)
        assert torch.equal(last["current_model_state"][name], steps.weights[-1][name])


@pytest.mark.parametrize("norm", [NormName.gLN, NormName.BN])
def test_the_average_is_what_is_validated_and_what_is_opened(averaged: Config, norm: NormName, tmp_path: Path) -> None:
    config = replace(averaged, model=replace(averaged.model, norm=norm))
    result = train(config, tmp_path)
    network = load_pretrained(tmp_path).network
    mixtures = MixtureDataModule(config.data).fixed_mixtures(Split.validation)
    with torch.no_grad():
        losses = [
            pit_loss(network(mixtures[i].mixture[None]), mixtures[i].sources[None]).item() for i in range(len(mixtures))
        ]
    assert sum(losses) / len(losses) == pytest.approx(result.validation_loss, abs=1e-3)
    best = read_checkpoint(result.best)
    for name, value in read_stored(tmp_path).state.items():
        assert torch.equal(value, best["state_dict"][f"network.{name}"])
    assert any(not torch.equal(value, best["current_model_state"][name]) for name, value in best["state_dict"].items())


def test_averaging_changes_no_step_of_the_training(config: Config, averaged: Config, tmp_path: Path) -> None:
    train(config, tmp_path / "plain")
    train(averaged, tmp_path / "averaged")
    plain, beside = (read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("plain", "averaged"))
    for name, value in plain["state_dict"].items():
        assert torch.equal(value, beside["current_model_state"][name])
    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in ("plain", "averaged")]
    pd.testing.assert_series_equal(histories[0]["train/loss"], histories[1]["train/loss"])
    assert (histories[0]["val/loss"] != histories[1]["val/loss"]).all()
