"""What happens beside the steps: history, an estimate of the time left, and a stop that can be resumed."""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole
from convtasnet_lit.training.keeping import LAST

# fp16's scale starts at 2^16 and is halved by each step that is skipped: fifty in a row are no search for a scale.
LOST_STEPS = 50

_STOPPING = [signal.SIGINT, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]  # Windows has one


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
        self._started = time.monotonic()
        self._validation_seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, and how long the epoch that is under way has taken."""
        return {"rows": self.rows, "seconds": time.monotonic() - self._started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; Lightning announces no start of an epoch in whose middle that is."""
        self.rows = list(state_dict["rows"])
        self._started = time.monotonic() - state_dict.get("seconds", 0.0)

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
        left = (max_epochs - row["epoch"] - 1) * row["seconds"]
        return (
            f"epoch {row['epoch'] + 1}/{max_epochs}  train loss {row['train/loss']:.2f}  validation: {scores}  "
            f"lr {row['lr']:.2g}  {row['seconds']:.0f} s, at most {left / 60:.0f} min left"
        )


class Interrupted(Exception):  # noqa: N818 - it says what happened, and is no error
    """Training was stopped by a signal, which is its argument, after its state was saved."""


class SaveOnInterrupt(Callback):
    """At Ctrl-C or SIGUSR1, finish the step or validation, save `last.ckpt`, and stop; a second one stops at once.

    SIGUSR1 is what a cluster sends before a job's time ends. A run of several processes saves at the ends of epochs
    alone; SIGTERM ends it at once.

    Args:
        path: The file that the checkpoint is written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._asked = 0  # the signal
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, where one process decides alone, and where Python hears signals."""
        self._asked = 0
        # At SIGTERM Lightning would broadcast amid the sums of gradients, and several processes would wait forever.
        heard = dict.fromkeys(_STOPPING, self._ask) if trainer.world_size == 1 else {signal.SIGTERM: signal.SIG_DFL}
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, handler) for number, handler in heard.items()}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at the end of an optimizer step: gradients half accumulated are in no checkpoint."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self._asked and stepped and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            refuse_lost_weights(trainer, pl_module)
            trainer.save_checkpoint(self.path)
            raise Interrupted(self._asked)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop between epochs, where the last one's checkpoint was just written."""
        if self._asked:
            raise Interrupted(self._asked)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _ask(self, number: int, _: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = number
        rank_zero_info("stopping after this step or validation; Ctrl-C again stops at once")


class EarlyStopping(LightningEarlyStopping):  # of the same name, by which checkpoints know its state
    """Stop a training without progress, and leave it stopped: Lightning would train one more epoch at each resume."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop again where a checkpoint says so."""
        trainer.should_stop = self.wait_count >= self.patience


class BestAndLast(ModelCheckpoint):
    """Keep the epoch with the lowest validation loss as `best.ckpt`, and the last one as `last.ckpt`.

    The best score is kept when the run's folder was moved or renamed.

    Args:
        folder: The folder to write to.
    """

    def __init__(self, folder: Path) -> None:
        # At the training epoch's end: after the schedule's step and the history's row, so that both are in it.
        super().__init__(
            folder, "best", "val/loss", mode="min", save_on_train_epoch_end=True, enable_version_counter=False
        )

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Tell whether a validation loss is the lowest; Lightning would take the first one even if it is NaN."""
        finite = current is not None and bool(current.isfinite())
        return finite and super().check_monitor_top_k(trainer, current)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best epoch, and the last one whatever its loss: `save_last` would skip those that are not best."""
        refuse_lost_weights(trainer, pl_module)
        super().on_train_epoch_end(trainer, pl_module)
        trainer.save_checkpoint(Path(str(self.dirpath)) / LAST)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read the paths of a checkpoint as if they had always been here."""
        before, here = str(state_dict["dirpath"]), str(self.dirpath)
        moved = {key: value.replace(before, here, 1) for key, value in state_dict.items() if isinstance(value, str)}
        scores = {path.replace(before, here, 1): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": scores})


class Gradients(Callback):
    """Log the norm of the gradients before they are clipped, and stop a training whose gradients are lost.

    The epoch's norm is that of the steps whose gradients are finite; the share of the others stands beside it. In fp16
    the gradient scaler skips those, and lowers its scale, which it has to do a few times at the start of each run. A
    loss that is not finite has no finite gradient, and what a process computes reaches the gradients of all, so they
    stop together.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count; Lightning announces no start of an epoch in whose middle it goes on."""
        self._lost_in_a_row = torch.zeros((), device=pl_module.device)
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch's means."""
        self._sum = self._finite = torch.zeros((), device=pl_module.device)
        self._steps = 0

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Take in the gradients of a step, which fp16's scaler has already brought back to scale."""
        norm = get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None])
        finite = norm.isfinite()
        self._sum, self._finite = self._sum + norm.where(finite, 0), self._finite + finite
        self._lost_in_a_row = (self._lost_in_a_row + 1).where(~finite, 0)
        self._steps += 1
        seldom = trainer.global_step % LOST_STEPS == 0  # a GPU's work is waited for
        if seldom and self._lost_in_a_row >= LOST_STEPS:
            raise _lost(trainer, f"no gradient was finite in {LOST_STEPS} steps")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's means; they are the same in all processes."""
        means = {"gradient_norm": self._sum / self._finite, "steps_not_finite": 1 - self._finite / self._steps}
        pl_module.log_dict({f"train/{name}": value for name, value in means.items()}, sync_dist=True)


def refuse_lost_weights(trainer: Trainer, module: LightningModule) -> None:
    """Stop before weights that are not finite replace those of a checkpoint; nothing leads back from them.

    Args:
        trainer: The run's.
        module: Its weights, and what its norms keep of the batches before.

    Raises:
        InputError: One of them is NaN or infinite.
    """
    if not all(bool(weights.isfinite().all()) for weights in module.state_dict().values()):  # the means of BN, too
        raise _lost(trainer, "weights of the network are not finite")


def _lost(trainer: Trainer, reason: str) -> InputError:
    return InputError(
        f"optimizer.lr: training was lost in epoch {trainer.current_epoch + 1}, because {reason}; the checkpoints from "
        "before were kept; try a lower rate or another trainer.precision"
    )
