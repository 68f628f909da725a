"""The Lightning Trainer of a run: where it computes, what it logs, what it keeps."""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from hashlib import sha256
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from convtasnet_lit.config import Accelerator, Config, LoggerName, Precision, TrainerConfig
from convtasnet_lit.devices import find_device
from convtasnet_lit.errors import InputError
from convtasnet_lit.model.processor import warn_of_slow_bfloat16
from convtasnet_lit.training.averaging import AveragedWeights
from convtasnet_lit.training.callbacks import (
    BestAndLast,
    EarlyStopping,
    EpochHistory,
    Gradients,
    SaveOnInterrupt,
)
from convtasnet_lit.training.keeping import LAST, WholeCheckpointIO
from convtasnet_lit.training.module import LOG_EVERY_BATCHES
from convtasnet_lit.training.peak_memory import PeakMemory
from convtasnet_lit.training.provenance import Provenance
from convtasnet_lit.training.schedules import PROGRESS_DB

_LIGHTNING_PRECISION = {Precision.fp32: "32-true", Precision.fp16: "16-mixed", Precision.bf16: "bf16-mixed"}


def make_trainer(config: Config, folder: Path, callbacks: Sequence[Callback] = ()) -> Trainer:
    """Build the trainer of a run.

    Args:
        config: The run.
        folder: The folder of the run.
        callbacks: Besides those that every run has.

    Raises:
        InputError: The accelerator asked for is not there, or the logger's package is not installed.
    """
    settings = config.trainer
    accelerator = pick_accelerator(settings.accelerator)
    if accelerator == "cpu":
        in_bfloat16 = pick_precision(settings) is Precision.bf16
        reason = "" if settings.accelerator is Accelerator.cpu else ": no accelerator"
        rank_zero_info(f"training on the CPU in {'bfloat16' if in_bfloat16 else 'float32'}{reason}")
        if in_bfloat16:
            rank_zero_only(warn_of_slow_bfloat16)(accelerator)
    torch.set_float32_matmul_precision("high" if settings.tf32 and accelerator == "gpu" else "highest")
    if settings.compile:
        rank_zero_info("compiling: the first step takes about a minute, less in the next run")
    quiet_lightning()
    return Trainer(
        accelerator=accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=_strategy(settings),
        precision=_LIGHTNING_PRECISION[pick_precision(settings)],  # type: ignore[arg-type]
        max_epochs=settings.max_epochs,
        accumulate_grad_batches=settings.accumulate_grad_batches,
        gradient_clip_val=settings.gradient_clip_norm,
        logger=make_logger(config, folder),
        callbacks=[*make_callbacks(config, folder), *callbacks],
        plugins=[WholeCheckpointIO()],
        use_distributed_sampler=False,  # the data module shares mixtures out itself
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY_BATCHES,
        enable_progress_bar=settings.progress_bar and sys.stderr.isatty(),
        enable_model_summary=False,
    )


def make_callbacks(config: Config, folder: Path) -> list[Callback]:
    """Return what happens beside the steps.

    Args:
        config: The run.
        folder: The folder of the run.
    """
    checkpoints = folder / "checkpoints"
    seconds = config.data.train_mixtures * config.data.segment_samples / config.data.sample_rate
    averaged = [AveragedWeights(config.trainer.ema_decay)] if config.trainer.ema_decay else []
    return [
        *averaged,  # before all that saves
        Gradients(),  # before the history, whose rows hold what it logs
        PeakMemory(),
        EpochHistory(folder / "history.csv", seconds),
        # A validation that is not finite is one without progress: in fp16 the next one may be finite again.
        EarlyStopping("val/loss", PROGRESS_DB, config.trainer.early_stopping_patience, check_finite=False),
        Provenance(folder / "environment.json"),  # after the one that says whether anything is trained
        SaveOnInterrupt(checkpoints / LAST),
        BestAndLast(checkpoints),
    ]


def make_logger(config: Config, folder: Path) -> Logger:
    """Return the logger the configuration names; W&B is offline where there is no API key, and never asks for one.

    Args:
        config: The run.
        folder: The folder of the run.
    """
    if config.logger.name is LoggerName.csv:
        return CSVLogger(folder, name="csv")
    if config.logger.name is LoggerName.tensorboard:
        try:
            return TensorBoardLogger(folder, name="tensorboard")
        except ModuleNotFoundError as error:
            raise InputError(
                "logger: tensorboard needs a package: pip install 'convtasnet_lit[tensorboard]'"
            ) from error
    settings = config.logger
    name, tags = settings.label or config.name or folder.name, settings.tags or None
    # not Lightning's `offline=True`, with which it refuses `log_model`: W&B uploads artifacts later, too
    where = wandb_run(folder, settings.project, settings.group)
    return WandbLogger(name, save_dir=folder, log_model=settings.artifacts, tags=tags, **where)


def wandb_run(folder: Path, project: str, group: str) -> dict[str, Any]:
    """Return how W&B is told which run a folder is: the same one after a resume, and offline where there is no API key.

    Args:
        folder: The folder of the run.
        project: Its project.
        group: Its sweep, or empty.

    Returns:
        Arguments of `wandb.init`.
    """
    online = "WANDB_API_KEY" in os.environ or _logged_in()
    name = sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return {"project": project, "group": group or None, "id": name, "mode": "online" if online else "offline"}


def pick_accelerator(asked: Accelerator) -> str:
    """Return what to compute on: for `auto` a GPU if there is one.

    Args:
        asked: The setting.

    Returns:
        Lightning's name: `cpu`, `gpu` or `mps`.

    Raises:
        InputError: It is not here.
    """
    kind = find_device(asked.name, "accelerator").type
    return {"cuda": "gpu"}.get(kind, kind)


def pick_precision(settings: TrainerConfig) -> Precision:
    """Return what to compute in: on a CPU float32, unless both the CPU and bfloat16 were asked for.

    Args:
        settings: The accelerator and the precision asked for.

    Raises:
        InputError: The accelerator is not here.
    """
    if pick_accelerator(settings.accelerator) != "cpu":
        return settings.precision
    # where a GPU was hoped for, its profile's precision is no wish for this processor
    wanted = settings.accelerator is Accelerator.cpu and settings.precision is Precision.bf16
    return Precision.bf16 if wanted else Precision.fp32


def quiet_lightning() -> None:
    """Silence advice that does not apply here; the data module keeps its place in an interrupted epoch itself."""
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*ended before the epoch ended and your dataloader is not resumable.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*The `srun` command is available.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")  # Lightning 2.6 with torch 2.11
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(_is_not_chatter)


def _is_not_chatter(record: logging.LogRecord) -> bool:
    chatter = (
        "GPU available",
        "TPU available",
        "Loading `train",
        "\U0001f4a1 Tip",
        "`weights_only` was not set",
        "Found current_model_state in the checkpoint",
        "\nDetected KeyboardInterrupt",  # the doors say so
    )
    return not record.getMessage().startswith(chatter)


def _strategy(settings: TrainerConfig) -> str | Strategy:
    if settings.devices * settings.num_nodes == 1:
        return "auto"
    # Validation's shares may differ by one mixture, so forward must not wait for the other processes' buffers. torch
    # 2.11 fails on a static graph whose first gradients are accumulated.
    static = settings.accumulate_grad_batches == 1
    return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True, static_graph=static)


def _logged_in() -> bool:
    """Whether `wandb login` left a key in ~/.netrc; W&B itself would ask on the terminal."""
    try:
        return "api.wandb.ai" in netrc(os.environ.get("NETRC")).hosts
    except (OSError, NetrcParseError, UnicodeDecodeError):
        return False
