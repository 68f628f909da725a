"""Whether a run's step fits the memory there is, and the batch that does."""

import os
from dataclasses import dataclass, replace

import torch
from lightning.pytorch.utilities import rank_zero_info

from convtasnet_lit.config import Config, Precision, plain
from convtasnet_lit.data_config import AUTO
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.training.memory import Step, plan
from convtasnet_lit.training.trainer import pick_accelerator, pick_precision

GIB = 2**30
ADVICE = "try data.batch_size=auto, trainer.memory=checkpoint (not with BN), segment=1s or model=small"

# The share of a memory that is not counted on: the CUDA context and its libraries (some 0.5 GiB), the workspaces of
# cuBLAS and cuDNN, gaps between the allocator's blocks, and what a card of "8 GB" lacks of 8 GiB; of a machine's own
# memory, everything else that runs. An assumption, not measured: no GPU was at hand.
RESERVED = 0.2


@dataclass(frozen=True)
class Room:
    """A memory to train in.

    Args:
        name: What it belongs to, as in "of the 8 GiB of NAME".
        size: Bytes, of which `RESERVED` is not counted on.
        precision: What is computed in there.
        gpu: Whether a step that does not fit fails at once, instead of making the machine slow.
    """

    name: str
    size: float
    precision: Precision
    gpu: bool

    @property
    def usable(self) -> float:
        """Bytes that a step may take."""
        return self.size * (1 - RESERVED)

    def __str__(self) -> str:
        return f"{readable(self.usable)} that can be counted on of the {readable(self.size)} of {self.name}"


def room_here(config: Config) -> Room:
    """Return the memory in which this machine would train: its GPU's, or its own.

    Args:
        config: The run.

    Raises:
        InputError: The accelerator asked for is not there.
    """
    accelerator, precision = pick_accelerator(config.trainer.accelerator), pick_precision(config.trainer)
    if accelerator == "gpu":
        used = range(min(config.trainer.devices, torch.cuda.device_count()))
        smallest = min(torch.cuda.get_device_properties(index).total_memory for index in used)
        return Room("this GPU", smallest, precision, gpu=True)
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Room("this machine", ram / config.trainer.devices, precision, gpu=False)


def room_of_profile(config: Config) -> Room:
    """Return the memory of the card that a `gpu` profile is for; of one without a card, this machine's.

    Args:
        config: The run.
    """
    settings = config.trainer
    if settings.gpu_gb == 0:
        return replace(room_here(config), precision=settings.precision)
    return Room("the card", settings.gpu_gb * GIB, settings.precision, gpu=True)


def step_of(config: Config, precision: Precision) -> Step:
    """Return the step that a run repeats.

    Args:
        config: The run.
        precision: What it really computes in.
    """
    data = config.data
    return Step(
        plain(config)["model"], data.num_speakers, data.segment_samples, precision.name, config.trainer.memory.name
    )


def settled(config: Config, room: Room) -> Config:
    """Turn `data.batch_size=auto` into the largest batch that fits and divides the effective batch.

    Args:
        config: A run; if its batch is a number, it is returned as it is.
        room: The memory of the device that it trains on.

    Returns:
        The run with a batch and an accumulation whose product, over all processes, is
        `trainer.effective_batch_size`.

    Raises:
        InputError: The processes cannot share the effective batch, or not even a batch of 1 fits.
    """
    if config.data.batch_size != AUTO:
        return config
    settings = config.trainer
    require(settings.num_nodes == 1, "trainer.num_nodes", settings.num_nodes, "1 with data.batch_size=auto")
    processes, effective = settings.devices * settings.num_nodes, settings.effective_batch_size
    require(
        effective % processes == 0,
        "trainer.effective_batch_size",
        effective,
        f"a multiple of the {processes} processes",
    )
    share, step = effective // processes, step_of(config, room.precision)
    for batch in (size for size in range(share, 0, -1) if share % size == 0):
        if plan(step, batch).total <= room.usable:
            rank_zero_info(f"data.batch_size=auto: batch {batch} x accumulation {share // batch}")
            return with_batch(config, batch, share // batch)
    raise InputError(f"data.batch_size: auto finds none, not even 1 fits the {room}; {ADVICE.replace('auto', '1')}")


def with_batch(config: Config, batch: int, accumulate: int) -> Config:
    """Return the run with another batch.

    Args:
        config: The run.
        batch: Mixtures on each device.
        accumulate: Batches of an optimizer step.
    """
    trainer = replace(config.trainer, accumulate_grad_batches=accumulate)
    return replace(config, data=replace(config.data, batch_size=batch), trainer=trainer)


def readable(size: float) -> str:
    """Write a number of bytes.

    Args:
        size: A number of bytes.

    Example:
        >>> readable(3 * 2**29), readable(2**20)
        ('1.5 GiB', '1 MiB')
    """
    return f"{size / GIB:.3g} GiB" if size >= GIB / 10 else f"{size / 2**20:.3g} MiB"


def report_memory(config: Config, room: Room) -> None:
    """Say what a step takes, and warn if a GPU does not have it.

    Args:
        config: The run, its batch settled.
        room: The memory of the device that it trains on.
    """
    batch = config.data.mixtures_per_batch
    needed = plan(step_of(config, room.precision), batch).total
    kind = f"{room.precision.name}, {config.trainer.memory.name}"
    rank_zero_info(f"memory: about {readable(needed)} a step (batch {batch}, {kind}), of {room}")
    if room.gpu and needed > room.usable:
        rank_zero_info(f"warning: data.batch_size: {batch} is not expected to fit; {ADVICE}")
