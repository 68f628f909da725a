"""Going on with a run: from where, and whether it is the same run."""

import os
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from convtasnet_lit.config import Config, ScheduleName, plain
from convtasnet_lit.data_config import AUTO
from convtasnet_lit.errors import InputError
from convtasnet_lit.training.budget import with_batch
from convtasnet_lit.training.keeping import LAST
from convtasnet_lit.weights.checkpoint import checkpoint_config, read_checkpoint

# These may differ between the parts of a run: they change neither the mixtures nor what a step does to the weights.
_FREE = {
    "name",
    "resume",
    "trainer.max_epochs",  # of halving; see `_is_free`
    "trainer.gpu_gb",
    "trainer.effective_batch_size",  # batch and accumulation are compared
    "trainer.progress_bar",
    "data.num_workers",
    "data.download",
    "data.root",  # what is there is compared by its content
    "data.store",
    "data.cache_gb",
    "data.noise_root",  # as data.root
    "logger.name",
    "logger.project",
    "logger.group",
    "logger.label",
    "logger.arm",
    "logger.tags",
    "logger.artifacts",
    "launcher.name",
    "launcher.parallel",
    "launcher.threads",
}
_ROUNDING = {"trainer.accelerator", "trainer.memory", "trainer.tf32", "trainer.compile", "trainer.threads"}


def resume_point(config: Config, folder: Path) -> Path | None:
    """Return the checkpoint to go on from, if the run is to be resumed and has one.

    Args:
        config: The run.
        folder: The folder of the run.

    Raises:
        InputError: The folder holds a run and `resume` is not set, or that run had other settings.
    """
    last = folder / "checkpoints" / LAST
    if not last.exists():
        return None
    if not config.resume and is_first_process():
        raise InputError(f"{folder}: holds a run; add resume=true to go on with it, or name=OTHER for another one")
    if config.resume:
        _compare(config, checkpoint_config(read_checkpoint(last), last), folder)
    rank_zero_info(f"going on from {last}")
    return last


def _compare(config: Config, stored: dict[str, Any], folder: Path) -> None:
    now = flat(plain(config))
    before = flat(plain(Config())) | flat(stored)  # a version that lacked a setting did what its default does
    for key in (key for key in now if now[key] != before[key] and not _is_free(key, config)):
        text = f"{key}: {now[key]}, but {folder} was trained with {before[key]}"
        if key not in _ROUNDING:
            raise InputError(f"{text}; choose another name=...")
        rank_zero_info(f"{text}: it goes on, and its weights will differ by rounding from those of an unbroken run")


def _is_free(key: str, config: Config) -> bool:
    """Whether a setting may change; the cosine ends where the training does, so its rate depends on the epochs."""
    cosine = config.schedule.name is ScheduleName.warmup_cosine
    return key in _FREE and not (cosine and key == "trainer.max_epochs")


def keep_batch(config: Config, folder: Path) -> Config:
    """Let a run that goes on with `data.batch_size=auto` keep the batch it has, on whatever card.

    Args:
        config: The run.
        folder: The folder of the run.

    Raises:
        InputError: Its checkpoint cannot be read.
    """
    last = folder / "checkpoints" / LAST
    if config.data.batch_size != AUTO or not config.resume or not last.exists():
        return config
    before = checkpoint_config(read_checkpoint(last), last)
    batch, accumulate = before["data"]["batch_size"], before["trainer"]["accumulate_grad_batches"]
    same = batch * accumulate * config.trainer.devices * config.trainer.num_nodes == config.trainer.effective_batch_size
    return with_batch(config, batch, accumulate) if same else config


def leads() -> bool:
    """Whether this process is the first of all, on whatever machine, by whoever started it."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def is_first_process() -> bool:
    """Whether this process was started by the user, and not by Lightning beside it."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name each value of a nested configuration by its full key.

    Args:
        config: Nested dicts.
        prefix: What the names of the keys begin with.

    Example:
        >>> flat({"seed": 0, "data": {"segment": "2s"}})
        {'seed': 0, 'data.segment': '2s'}
    """
    values: dict[str, Any] = {}
    for key, value in config.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values
