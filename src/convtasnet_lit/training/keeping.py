"""The last checkpoint and the one before it: written whole, and mended where the last one is damaged."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_info

from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.checkpoint import read_checkpoint, trained_network, write_checkpoint

LAST, BEFORE_LAST = "last.ckpt", "before_last.ckpt"

_PARTS = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step"}


class WholeCheckpointIO(TorchCheckpointIO):
    """Checkpoints written whole or not at all, and read without running code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside, then rename; the last one but one is kept, for a disk that spoils the last."""
        path = Path(path)
        if path.name == LAST and path.exists():
            before = path.with_name(BEFORE_LAST)
            before.unlink(missing_ok=True)
            with suppress(OSError):  # a file system without links keeps one checkpoint
                before.hardlink_to(path)
        write_checkpoint(checkpoint, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read tensors and plain values only, whatever Lightning asks for."""
        return read_checkpoint(Path(path))


def mend_last(folder: Path) -> None:
    """Let the last checkpoint but one take the place of one that is damaged, and say so.

    Args:
        folder: The folder of the checkpoints.

    Raises:
        InputError: The last one is damaged, and there is no other, or that is damaged, too.
    """
    last, before = folder / LAST, folder / BEFORE_LAST
    try:
        _check_whole(last)
    except InputError as error:
        if not before.exists():
            raise
        _check_whole(before)
        before.replace(last)
        rank_zero_info(f"{error}: going on from the checkpoint before it")


def _check_whole(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    stored = trained_network(checkpoint, path)
    if lacking := _PARTS - checkpoint.keys():
        raise InputError(f"{path}: not whole: it has no {', '.join(sorted(lacking))}")
    stored.build()
