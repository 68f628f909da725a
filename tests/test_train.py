"""Training: what is written, and that a run stopped anywhere ends with the same weights."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from convtasnet_lit.config import Accelerator, Config, Precision, ScheduleConfig, ScheduleName, plain
from convtasnet_lit.errors import InputError
from convtasnet_lit.train import train
from convtasnet_lit.training import module
from convtasnet_lit.training.callbacks import Interrupted, SaveOnInterrupt
from convtasnet_lit.weights.checkpoint import read_checkpoint


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]
    return state


def assert_equal_runs(one: Path, other: Path, but: str = "") -> None:
    """Same weights to the last bit, same history but for times and, where given, columns that begin so."""
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name
    times = ["seconds", "train/audio_seconds_per_second"]
    histories = [pd.read_csv(folder / "history.csv").drop(columns=times) for folder in (one, other)]
    kept = [column for column in histories[0] if not (but and column.startswith(but))]
    pd.testing.assert_frame_equal(histories[0][kept], histories[1][kept])


SCHEDULES = {
    "halving": ScheduleConfig(patience=0),  # halves after each epoch that is not better
    "warmup_cosine": ScheduleConfig(name=ScheduleName.warmup_cosine, warmup_fraction=0.3),
}


@pytest.fixture(params=list(SCHEDULES))
def scheduled(config: Config, request: pytest.FixtureRequest) -> Config:
    trainer = replace(config.trainer, max_epochs=4)
    return replace(config, schedule=SCHEDULES[request.param], trainer=trainer)


@pytest.fixture
def whole(scheduled: Config, tmp_path: Path) -> Path:
    train(scheduled, tmp_path / "whole")
    return tmp_path / "whole"


def test_a_run_leaves_checkpoints_history_and_curves(config: Config, tmp_path: Path) -> None:
    result = train(config, tmp_path)
    assert result.best == tmp_path / "checkpoints" / "best.ckpt"
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert result.validation_loss == pytest.approx(history["val/loss"].min())
    logged = {"lr", "train/gradient_norm", "train/mask_max", "train/mask_share_above_1", "train/mixture_rms"}
    assert logged | {"train/loss", "val/si_sdr", "val/si_sdri", "train/audio_seconds_per_second"} <= set(history)
    assert history["train/mixture_rms"].to_numpy() == pytest.approx(0.0562, abs=1e-3)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob("*.partial"))


def test_a_run_in_bfloat16_learns_what_one_in_float32_does(config: Config, tmp_path: Path) -> None:
    losses = []
    for precision in (Precision.fp32, Precision.bf16):
        trainer = replace(config.trainer, accelerator=Accelerator.cpu, precision=precision)
        train(replace(config, trainer=trainer), tmp_path / precision.name)
        losses.append(pd.read_csv(tmp_path / precision.name / "history.csv")["train/loss"].to_numpy())
    assert (losses[0] != losses[1]).any()
    np.testing.assert_allclose(losses[1], losses[0], atol=0.3)  # dB


def test_the_same_seed_gives_the_same_weights(scheduled: Config, whole: Path, tmp_path: Path) -> None:
    workers = replace(scheduled, data=replace(scheduled.data, num_workers=2))
    train(workers, tmp_path / "again")
    assert_equal_runs(whole, tmp_path / "again")


def test_the_largest_mask_of_an_epoch_is_the_largest_of_its_batches(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = module.observations, []

    def observe(mixture: torch.Tensor, masks: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(original(mixture, masks)["train/mask_max"].item())
        return original(mixture, masks)

    monkeypatch.setattr(module, "observations", observe)
    monkeypatch.setattr(module, "LOG_EVERY_BATCHES", 2)
    train(replace(config, trainer=replace(config.trainer, max_epochs=1)), tmp_path)
    assert len(set(seen)) == 4
    assert pd.read_csv(tmp_path / "history.csv")["train/mask_max"].tolist() == pytest.approx([max(seen)])


class StoppedError(Exception):
    pass


def test_a_run_stopped_between_epochs_ends_with_the_same_weights(
    scheduled: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    started = []

    def stop(self: SaveOnInterrupt, trainer: object, module: object) -> None:
        started.append(1)
        if len(started) == 3:
            raise StoppedError

    with monkeypatch.context() as patched:
        patched.setattr(SaveOnInterrupt, "on_train_epoch_start", stop)
        with pytest.raises(StoppedError):
            train(scheduled, folder)
    train(replace(scheduled, resume=True), folder)
    assert_equal_runs(whole, folder)


def test_ctrl_c_in_an_epoch_saves_and_ends_with_the_same_weights(
    scheduled: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "interrupted"
    ended = []
    original = SaveOnInterrupt.on_train_batch_end

    def interrupt(self: SaveOnInterrupt, *arguments: object) -> None:
        ended.append(1)
        if len(ended) == 11:  # the third batch of the second epoch: in the middle of an accumulation
            os.kill(os.getpid(), signal.SIGINT)
        original(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(SaveOnInterrupt, "on_train_batch_end", interrupt)
        with pytest.raises(Interrupted):
            train(scheduled, folder)
    assert len(ended) == 12
    before = weights(folder)
    train(replace(scheduled, resume=True), folder)
    assert not torch.equal(before["network.encoder.filters.weight"], weights(folder)["network.encoder.filters.weight"])
    assert_equal_runs(whole, folder, but="train/")  # means over what was left of the epoch


SCRIPT = """
import json, sys
from pathlib import Path
from convtasnet_lit.config import Config, typed
from convtasnet_lit.train import train
from convtasnet_lit.training import module
train(typed(Config, json.loads(sys.argv[1])), Path(sys.argv[2]))
"""


def test_sigkill_and_resume_end_with_the_same_weights(config: Config, tmp_path: Path) -> None:
    import json

    longer = replace(config, trainer=replace(config.trainer, max_epochs=12), resume=True)
    train(longer, tmp_path / "whole")
    command = [sys.executable, "-c", SCRIPT, json.dumps(plain(longer)), str(tmp_path / "killed")]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here; another number would round otherwise
    for epochs in (2, 6):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=one_thread)
        history = tmp_path / "killed" / "history.csv"
        while process.poll() is None and (not history.exists() or len(history.read_text().splitlines()) <= epochs):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=one_thread)
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")


def test_a_folder_that_holds_a_run_is_not_overwritten(config: Config, tmp_path: Path) -> None:
    train(config, tmp_path)
    with pytest.raises(InputError, match="resume=true"):
        train(config, tmp_path)
    other = replace(config, resume=True, model=replace(config.model, hidden_channels=20))
    with pytest.raises(InputError, match=r"model\.hidden_channels: 20, but .* was trained with 12"):
        train(other, tmp_path)
    with pytest.raises(InputError, match=r"optimizer\.lr: 0\.5, but"):
        train(replace(config, resume=True, optimizer=replace(config.optimizer, lr=0.5)), tmp_path)
    result = train(replace(config, resume=True), tmp_path)  # already complete: nothing is trained
    assert result.epochs == 2


def test_the_best_checkpoint_is_the_one_with_the_lowest_validation_loss(config: Config, tmp_path: Path) -> None:
    train(replace(config, optimizer=replace(config.optimizer, lr=0.3)), tmp_path)  # wild: validation goes up and down
    history = pd.read_csv(tmp_path / "history.csv")
    best = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    assert best["epoch"] == history["val/loss"].idxmin()


def test_a_moved_run_keeps_its_best_checkpoint(config: Config, tmp_path: Path) -> None:
    first = train(config, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    longer = replace(config, resume=True, trainer=replace(config.trainer, max_epochs=3))
    result = train(longer, tmp_path / "there")
    history = pd.read_csv(tmp_path / "there" / "history.csv")
    assert result.best == tmp_path / "there" / "checkpoints" / "best.ckpt"
    assert result.validation_loss == pytest.approx(history["val/loss"].min())
    assert result.validation_loss <= first.validation_loss
    assert read_checkpoint(result.best)["epoch"] == history["val/loss"].idxmin()


def test_half_a_checkpoint_is_not_loaded(config: Config, tmp_path: Path) -> None:
    train(config, tmp_path)
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(InputError, match="cut short"):
        train(replace(config, resume=True), tmp_path)
