"""What is kept of a run, and when it is stopped: losses that rise, that are NaN, and weights that are lost."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from convtasnet_lit.config import Config, NormName
from convtasnet_lit.errors import InputError
from convtasnet_lit.training.callbacks import LOST_STEPS, EpochHistory, Gradients
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.training.run import Result, train
from convtasnet_lit.weights.checkpoint import read_checkpoint


def trained_with_losses(
    losses: list[float], config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int = 0
) -> Result:
    """Train with the given validation losses, one an epoch."""
    original = SeparationModule.on_validation_epoch_end

    def end(self: SeparationModule) -> None:
        self.validation_loss.reset()
        self.validation_loss.update(torch.tensor(losses[self.current_epoch]))
        original(self)

    monkeypatch.setattr(SeparationModule, "on_validation_epoch_end", end)
    return train(replace(config, trainer=replace(config.trainer, max_epochs=epochs or len(losses))), folder)


def epoch_of(folder: Path, name: str) -> int:
    epoch: int = read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["epoch"]
    return epoch


def test_the_last_epoch_is_kept_whatever_its_loss(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [-5.0, -9.0, -7.0, -6.0]
    result = trained_with_losses(losses, config, tmp_path, monkeypatch, epochs=3)
    assert (epoch_of(tmp_path, "best"), epoch_of(tmp_path, "last")) == (1, 2)
    assert result.validation_loss == -9
    resumed = trained_with_losses(losses, replace(config, resume=True), tmp_path, monkeypatch)
    assert (epoch_of(tmp_path, "best"), epoch_of(tmp_path, "last"), resumed.validation_loss) == (1, 3, -9)


def test_a_validation_that_is_nan_is_never_the_best(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = float("nan")
    result = trained_with_losses([nan, -3.0, nan, -2.0], config, tmp_path, monkeypatch)
    assert (epoch_of(tmp_path, "best"), epoch_of(tmp_path, "last"), result.validation_loss) == (1, 3, -3)


def test_without_a_finite_validation_no_best_checkpoint_is_reported(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no best checkpoint, because no epoch had a finite validation loss"):
        trained_with_losses([float("nan")] * 2, config, tmp_path, monkeypatch)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"last.ckpt", "before_last.ckpt"}


def test_one_mixture_that_is_nan_makes_the_validation_nan(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, heard = SeparationModule.validation_step, []

    def step(self: SeparationModule, batch: Any, index: int) -> None:
        forward = self.network.forward
        heard.append(index)
        if len(heard) == 8:  # the third of five, in the second epoch
            monkeypatch.setattr(self.network, "forward", lambda mixture: forward(mixture) * torch.nan)
        original(self, batch, index)
        monkeypatch.setattr(self.network, "forward", forward)

    monkeypatch.setattr(SeparationModule, "validation_step", step)
    train(config, tmp_path)
    history = pd.read_csv(tmp_path / "history.csv").set_index("epoch").filter(like="val/")
    assert history.isna().to_numpy().tolist() == [[False] * 3, [True] * 3]
    assert epoch_of(tmp_path, "best") == 0
    assert "the estimates of validation mixture 2 are not finite" in capsys.readouterr().err


def test_a_training_that_is_lost_stops_and_keeps_what_it_had(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SeparationModule.training_step

    def step(self: SeparationModule, batch: Any, index: int) -> torch.Tensor:
        return original(self, batch, index) * (torch.nan if self.current_epoch == 2 else 1)

    monkeypatch.setattr(SeparationModule, "training_step", step)
    with pytest.raises(InputError, match="lost in epoch 3, because weights of the network are not finite"):
        train(replace(config, trainer=replace(config.trainer, max_epochs=9)), tmp_path)
    assert epoch_of(tmp_path, "last") == 1
    state = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["train/loss"].isna().tolist() == [False, False, True]
    assert history["train/steps_not_finite"].tolist() == [0, 0, 1]
    assert (tmp_path / "curves.png").exists()


class Watched(nn.Linear):
    """A module whose gradients are given, and which remembers what is logged."""

    device = torch.device("cpu")

    def log_dict(self, values: dict[str, torch.Tensor], **_: object) -> None:
        self.logged = {name: value.item() for name, value in values.items()}


def watch(norms: list[float]) -> dict[str, float]:
    module, callback = Watched(1, 1, bias=False), Gradients()
    trainer = SimpleNamespace(global_step=0, current_epoch=0)
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
    for norm in norms:
        module.weight.grad = torch.full((1, 1), norm)
        callback.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
        trainer.global_step += 1
    callback.on_train_epoch_end(trainer, module)  # type: ignore[arg-type]
    return module.logged


def test_lost_means_of_batch_norms_stop_the_training(config: Config, tmp_path: Path) -> None:
    batch_norm = replace(config, model=replace(config.model, norm=NormName.BN))

    class Overflow(Callback):  # as in fp16, whose scaler skips the step, but not the mean
        def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
            if trainer.current_epoch == 1:
                dict(module.named_buffers())["network.separator.input_norm.running_mean"][0] = torch.nan

    with pytest.raises(InputError, match="lost in epoch 2, because weights"):
        train(batch_norm, tmp_path, [Overflow()])
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 0


def test_the_gradient_scaler_may_skip_steps_until_it_finds_its_scale() -> None:
    inf = float("inf")
    figures = watch([inf] * 40 + [3.0, 1.0, inf, 2.0] * 50)
    assert figures["train/gradient_norm"] == pytest.approx(2.0)
    assert figures["train/steps_not_finite"] == pytest.approx(90 / 240)


@pytest.mark.parametrize("norm", [float("inf"), float("nan")])
def test_gradients_that_stay_lost_stop_the_training(norm: float) -> None:
    with pytest.raises(InputError, match=f"no gradient was finite in {LOST_STEPS} steps"):
        watch([1.0] + [norm] * 2 * LOST_STEPS)


def test_an_epoch_takes_as_long_in_two_parts_as_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = [1e6]  # seconds that the machine runs
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    first, second = (EpochHistory(tmp_path / "history.csv", 120.0) for _ in range(2))
    first.on_train_epoch_start(None, None)  # type: ignore[arg-type]
    now[0] += 40
    state = first.state_dict()
    now[0] += 9999  # stopped; Lightning does not announce the epoch's start again
    second.load_state_dict(state)
    now[0] += 20
    trainer = SimpleNamespace(
        callback_metrics={"train/loss": 1.0, "lr": 1e-3}, current_epoch=1, max_epochs=11, is_global_zero=True
    )
    second.on_train_epoch_end(trainer, SimpleNamespace(log=lambda *_, **__: None))  # type: ignore[arg-type]
    row = second.rows[0]
    assert (row["seconds"], row["train/audio_seconds_per_second"]) == (60, 2)
    assert "at most 9 min left" in second._line(11)
