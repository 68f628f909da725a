"""Which values a configuration may have: what types alone cannot say."""

from enum import Enum
from typing import TYPE_CHECKING

from convtasnet_lit.durations import parse_duration
from convtasnet_lit.errors import InputError

if TYPE_CHECKING:
    from convtasnet_lit.config import Config, DataConfig, ModelConfig


def require(condition: bool, key: str, value: object, allowed: str) -> None:
    """Refuse a value.

    Args:
        condition: Whether the value is allowed.
        key: Its full name.
        value: What was given.
        allowed: What may be given.

    Raises:
        InputError: One line that says all that.
    """
    if not condition:
        shown = value.name if isinstance(value, Enum) else value
        raise InputError(f"{key}: {shown} is not allowed; {key} must be {allowed}")


def check_model(model: "ModelConfig") -> None:
    """Refuse hyperparameters that make no network.

    Raises:
        InputError: A size is below 1, a kernel has the wrong parity, or a causal model has a norm that sees the future.
    """
    sizes = (
        "num_filters",
        "bottleneck_channels",
        "hidden_channels",
        "skip_channels",
        "num_blocks",
        "num_repeats",
    )
    for key in sizes:
        require(getattr(model, key) >= 1, f"model.{key}", getattr(model, key), "at least 1")
    require(
        model.kernel_size >= 2 and model.kernel_size % 2 == 0,
        "model.kernel_size",
        model.kernel_size,
        "even, 2 or more",
    )
    require(
        model.block_kernel_size % 2 == 1 and model.block_kernel_size > 0,
        "model.block_kernel_size",
        model.block_kernel_size,
        "odd",
    )
    if model.causal and model.norm.name == "gLN":
        raise InputError("model.norm: gLN with model.causal=true sees the future; use model.norm=cLN or model.norm=BN")


def check_data(data: "DataConfig") -> None:
    """Refuse settings of the data that cannot be meant.

    Raises:
        InputError: One line that names the key, its value and what is allowed.
    """
    parse_duration(data.segment)
    require(
        4_000 <= data.sample_rate <= 192_000,
        "data.sample_rate",
        data.sample_rate,
        "between 4000 and 192000 Hz",
    )
    require(2 <= data.num_speakers <= 5, "data.num_speakers", data.num_speakers, "between 2 and 5")
    for key in ("batch_size", "train_mixtures", "validation_mixtures", "test_mixtures", "speaker_depth"):
        require(getattr(data, key) >= 1, f"data.{key}", getattr(data, key), "at least 1")
    for key in ("num_workers", "max_speakers", "level_range_db"):
        require(getattr(data, key) >= 0, f"data.{key}", getattr(data, key), "0 or more")
    for key in ("validation_fraction", "test_fraction"):
        require(0 < getattr(data, key) < 1, f"data.{key}", getattr(data, key), "between 0 and 1")


def check_training(config: "Config") -> None:
    """Refuse settings of a training run that cannot be meant.

    Raises:
        InputError: One line that names the key, its value and what is allowed.
    """
    trainer, augment, schedule = config.trainer, config.augment, config.schedule
    require(len(config.metrics) > 0, "metrics", "[]", "a list such as [si_sdr,sdr,si_sdri]")
    require(config.seed >= 0, "seed", config.seed, "0 or more")
    require(config.optimizer.lr > 0, "optimizer.lr", config.optimizer.lr, "above 0")
    require(0 < schedule.factor < 1, "schedule.factor", schedule.factor, "between 0 and 1")
    require(0 <= schedule.warmup_fraction < 1, "schedule.warmup_fraction", schedule.warmup_fraction, "in [0, 1)")
    require(0 <= augment.snr_probability <= 1, "augment.snr_probability", augment.snr_probability, "in [0, 1]")
    require(0 <= augment.speed_range < 0.5, "augment.speed_range", augment.speed_range, "in [0, 0.5)")
    require(augment.snr_range_db >= 0, "augment.snr_range_db", augment.snr_range_db, "0 or more")
    require(trainer.gradient_clip_norm > 0, "trainer.gradient_clip_norm", trainer.gradient_clip_norm, "above 0")
    for key in ("max_epochs", "early_stopping_patience", "accumulate_grad_batches", "devices", "num_nodes"):
        require(getattr(trainer, key) >= 1, f"trainer.{key}", getattr(trainer, key), "at least 1")
