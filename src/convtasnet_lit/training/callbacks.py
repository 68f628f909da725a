"""What happens beside the steps: history, an estimate of the time left, and a stop that can be resumed."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info

from convtasnet_lit.files import written_whole
from convtasnet_lit.weights.checkpoint import read_checkpoint, write_checkpoint


class WholeCheckpointIO(TorchCheckpointIO):
    """Checkpoints written whole or not at all, and read without running code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside, then rename."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read tensors and plain values only, whatever Lightning asks for."""
        return read_checkpoint(Path(path))


class EpochHistory(Callback):
    """One row an epoch in `history.csv`, and one line an epoch on the terminal.

    The rows are part of the checkpoint, so a resumed run's curves have neither a gap nor a repeated epoch.

    Args:
        path: The CSV file.
        seconds_per_epoch: Seconds of audio trained on in an epoch, over all processes.
    """

    def __init__(self, path: Path, seconds_per_epoch: float) -> None:
        self.path, self.seconds_per_epoch = path, seconds_per_epoch
        self.rows: list[dict[str, float]] = []
        self._started = 0.0
        self._validation_seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started, self._validation_seconds = time.monotonic(), 0.0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take validation's time out of the training speed."""
        self._validation_seconds -= time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take validation's time out of the training speed."""
        self._validation_seconds += time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the row and say the line."""
        seconds = time.monotonic() - self._started
        speed = self.seconds_per_epoch / max(seconds - self._validation_seconds, 1e-9)
        pl_module.log("train/audio_seconds_per_second", speed, sync_dist=True)
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k != "train/step_loss"}
        row = {"epoch": trainer.current_epoch, "seconds": seconds, "train/audio_seconds_per_second": speed}
        self.rows.append({**row, **metrics})
        if trainer.is_global_zero:
            self._write()
        rank_zero_info(self._line(trainer.max_epochs or 0))

    def _write(self) -> None:
        with written_whole(self.path) as partial:
            pd.DataFrame.from_records(self.rows).to_csv(partial, index=False)

    def _line(self, max_epochs: int) -> str:
        row = self.rows[-1]
        scores = "  ".join(f"{k.removeprefix('val/')} {v:.2f}" for k, v in row.items() if k.startswith("val/"))
        left = (max_epochs - row["epoch"] - 1) * sum(r["seconds"] for r in self.rows) / len(self.rows)
        return (
            f"epoch {row['epoch'] + 1}/{max_epochs}  train loss {row['train/loss']:.2f}  validation: {scores}  "
            f"lr {row['lr']:.2g}  {row['seconds']:.0f} s, at most {left / 60:.0f} min left"
        )


class Interrupted(Exception):  # noqa: N818 - it says what happened, and is no error
    """Training was stopped by Ctrl-C after its state was saved."""


class SaveOnInterrupt(Callback):
    """At Ctrl-C, finish the optimizer step or validation, save `last.ckpt`, and stop; a second one stops at once.

    Args:
        path: Where the checkpoint goes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._asked = False
        self._previous: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, where one process decides alone, and where Python hears signals."""
        self._asked = False
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._ask)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at the end of an optimizer step: gradients half accumulated are in no checkpoint."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self._asked and stepped and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            trainer.save_checkpoint(self.path)
            raise Interrupted

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop between epochs, where the last one's checkpoint was just written."""
        if self._asked:
            raise Interrupted

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _ask(self, *_: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        rank_zero_info("stopping after this step or validation; Ctrl-C again stops at once")


class MovableCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that keeps its best score when the run's folder was moved or renamed."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read the paths of a checkpoint as if they had always been here."""
        before, here = str(state_dict["dirpath"]), str(self.dirpath)
        moved = {key: value.replace(before, here, 1) for key, value in state_dict.items() if isinstance(value, str)}
        scores = {path.replace(before, here, 1): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": scores})


def checkpoint_callback(folder: Path) -> ModelCheckpoint:
    """Keep the epoch with the lowest validation loss as `best.ckpt`, and the last one as `last.ckpt`.

    Args:
        folder: Where they go.
    """
    return MovableCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="val/loss",
        mode="min",
        save_last=True,
        save_on_train_epoch_end=True,  # after the schedule's step and the history's row, so that both are in it
        enable_version_counter=False,
    )
