"""A training run from its settings to its best checkpoint."""

import os
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import wandb
from lightning import Callback, Trainer, seed_everything

from convtasnet_lit.config import Config, LoggerName, plain
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import held
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.training.budget import ADVICE, report_memory, room_here, settled
from convtasnet_lit.training.callbacks import BestAndLast
from convtasnet_lit.training.curves import draw_curves
from convtasnet_lit.training.initial import begun_with
from convtasnet_lit.training.keeping import LAST, mend_last
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.training.resume import is_first_process, keep_batch, leads, resume_point
from convtasnet_lit.training.trainer import make_trainer, pick_precision
from convtasnet_lit.weights.stored import StoredNetwork


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    folder: Path
    best: Path  # the checkpoint with the lowest validation loss
    validation_loss: float  # dB, its negative SI-SDR
    epochs: int
    seconds: float  # of this call


def train(config: Config, folder: Path, callbacks: Sequence[Callback] = (), given: Collection[str] = ()) -> Result:
    """Train a separator, or go on with a run that was stopped.

    Args:
        config: The run.
        folder: Where checkpoints, history and curves go.
        callbacks: What else happens beside the steps.
        given: The settings that were asked for by name, and do not give way to those of `config.init`.

    Raises:
        InputError: The data or the folder cannot be used, another process trains in it, the GPU's memory does not
            suffice, or the loss became NaN and stayed so.
        Interrupted: Ctrl-C; the state was saved.
        KeyboardInterrupt: Ctrl-C before the first step, or a second one; nothing more was saved.
    """
    with held(folder) if leads() else nullcontext():
        return _train(config, folder, callbacks, given)


def _train(config: Config, folder: Path, callbacks: Sequence[Callback], given: Collection[str]) -> Result:
    started = time.monotonic()
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
        os.environ["OMP_NUM_THREADS"] = str(config.trainer.threads)  # else Lightning sets its own in several processes
    computed = replace(config.trainer, precision=pick_precision(config.trainer))  # and so it is stored
    config = replace(config, trainer=computed, data=config.data.at_absolute_paths())  # evaluation may run from anywhere
    checkpoints = folder / "checkpoints"
    if config.resume and leads() and (checkpoints / LAST).exists():
        mend_last(checkpoints)
    config, initial = begun_with(config, folder, given)
    room = room_here(config)
    config = settled(keep_batch(config, folder), room)
    last = resume_point(config, folder)
    seed_everything(config.seed, workers=True, verbose=False)
    data = MixtureDataModule(config.data, config.augment, config.seed)
    if initial is not None:
        unmarked = "" if initial.recordings else Path(config.init).name
        data.met_before(initial.recordings, initial.unmarked or unmarked)
    if is_first_process():
        data.check()
    trainer = make_trainer(config, folder, callbacks)
    if is_first_process():
        report_memory(config, room)
    try:
        _fit(trainer, config, data, last, initial)
    finally:
        if trainer.is_global_zero and (folder / "history.csv").exists():
            draw_curves(folder / "history.csv", folder / "curves.png")
    best = trainer.checkpoint_callback
    assert isinstance(best, BestAndLast)
    if best.best_model_score is None:
        raise InputError(f"{folder}: there is no best checkpoint, because no epoch had a finite validation loss")
    if not Path(best.best_model_path).exists():
        raise InputError(f"{best.best_model_path}: the best checkpoint is gone, and nothing is left to train")
    score = float(best.best_model_score)
    return Result(folder, Path(best.best_model_path), score, trainer.current_epoch, time.monotonic() - started)


def _fit(
    trainer: Trainer, config: Config, data: MixtureDataModule, last: Path | None, initial: StoredNetwork | None
) -> None:
    module = SeparationModule(plain(config))
    if initial is not None:
        module.begin_with(initial)
    try:
        trainer.fit(module, data, ckpt_path=last, weights_only=True)
    except SystemExit as ended:  # what Lightning makes of a Ctrl-C that stops at once
        raise KeyboardInterrupt from ended
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"data.batch_size: {config.data.batch_size} does not fit the GPU's memory; {ADVICE}"
        ) from error
    finally:
        if config.logger.name is LoggerName.wandb:
            wandb.finish()  # the jobs of a sweep share a process
