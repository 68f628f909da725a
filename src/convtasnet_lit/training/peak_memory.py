"""The most memory that training took."""

import sys

import torch
from lightning import Callback, LightningModule, Trainer

GIB = 2**30


class PeakMemory(Callback):
    """Log the most memory that an epoch took with its validation, in GiB, of the process that took most.

    On a GPU this is what torch allocated there. Elsewhere it is what the process held of the machine's memory since it
    began, which the system does not forget between epochs; Windows does not tell.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew; Lightning announces no start of an epoch in whose middle it goes on."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch's peak."""
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the peak."""
        peak = peak_memory(pl_module.device)
        if peak is not None:
            pl_module.log("train/peak_memory_gib", peak / GIB, sync_dist=True, reduce_fx="max")


def peak_memory(device: torch.device) -> int | None:
    """Return the most memory that was in use, in bytes, or None where the system does not tell.

    Args:
        device: On a GPU its own memory counts, elsewhere that of the process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
