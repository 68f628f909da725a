"""A study of trials, each a training, that several processes share.

A trial belongs to the process that holds the lock of its file. The system drops the lock when the process ends, however
it ends: a trial that runs, and whose lock is free, was left behind, and the next process goes on with it.
"""

import math
import time
import warnings
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
from filelock import BaseFileLock, FileLock, Timeout
from lightning import Callback, LightningModule, Trainer
from optuna.distributions import BaseDistribution
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole

PLOTS = {"history": "optimization_history", "importance": "param_importances", "slice": "slice"}
ENOUGH = 10  # complete trials, before a setting's importance is more than chance; as many are drawn at random first
MOST_STARTS = 3  # without an epoch between them: settings that kill their process must not hold up the study
Claimed = tuple[optuna.Trial, AbstractContextManager[object]]


class SharedStudy:
    """A study in a folder.

    Args:
        folder: Where its journal, its trials and its plots are.
        space: What is searched, by the key of the setting.
        settings: What all its processes must agree on, `seed` and `pruner` among it, as plain values.
        epochs: The most that a trial takes.
        wanted: How many trials it shall have.

    Raises:
        InputError: The folder holds a study of other settings.
    """

    def __init__(
        self, folder: Path, space: dict[str, BaseDistribution], settings: dict[str, Any], epochs: int, wanted: int
    ) -> None:
        self.folder, self.space, self.seed, self.epochs, self.wanted = folder, space, settings["seed"], epochs, wanted
        pruners = {"median": MedianPruner(), "hyperband": HyperbandPruner(max_resource=epochs), "none": NopPruner()}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        with self._lock("study"):
            storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
            pruner = pruners[settings["pruner"]]
            self.optuna = optuna.create_study(storage=storage, study_name="search", pruner=pruner, load_if_exists=True)
            before = self.optuna.user_attrs.get("settings", settings)
            for key in (key for key in settings if settings[key] != before[key]):
                raise InputError(f"{folder}: holds a study with {key} {before[key]}; name another folder with --out")
            self.optuna.set_user_attr("settings", settings)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials of all processes in these states; all of them if no state is named."""
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def claim(self) -> Claimed | None:
        """Take a trial that was left behind, else a new one, with its lock; None if there is nothing left to begin."""
        with self._lock("study"):
            return self._left_behind() or self._new()

    def end(self, trial: optuna.Trial, loss: float | None = None, error: str = "") -> None:
        """Record the lowest validation loss of a trial, or why it failed; without either it was given up."""
        state = TrialState.COMPLETE if loss is not None else TrialState.PRUNED
        if error:
            trial.set_user_attr("error", error)
            state = TrialState.FAIL
        self.optuna.tell(trial, loss, state)

    def describe(self, trial: FrozenTrial) -> str:
        """Say how a trial ended."""
        if trial.state is TrialState.FAIL:
            return f"trial {trial.number} failed: {trial.user_attrs['error']}"
        after = f", given up after epoch {trial.last_step}" if trial.state is TrialState.PRUNED else ""
        return f"trial {trial.number}: validation loss {trial.value:.2f} dB{after}"

    def outlook(self) -> str:
        """Say how far the study is, and how long the rest takes if no further trial is given up."""
        trials, running = self.trials(), self.trials(TrialState.RUNNING)
        epochs = sum(len(trial.intermediate_values) for trial in trials)
        seconds = sum(trial.user_attrs.get("seconds", 0.0) for trial in trials)
        left = self.epochs * (max(self.wanted - len(trials), 0) + len(running))
        left -= sum(len(trial.intermediate_values) for trial in running)
        minutes = left * seconds / max(epochs, 1) / max(len(running), 1) / 60
        rest = f"at most {minutes:.1f} min left" if epochs else "how long it takes is said after the first epoch"
        return f"{len(trials) - len(running)} of {self.wanted} trials done, {len(running)} running; {rest}"

    def draw(self) -> None:
        """Write the table of the trials and, once two of them are complete, the plots; of importance, once ten are."""
        with written_whole(self.folder / "trials.csv") as partial:
            self.optuna.trials_dataframe().to_csv(partial, index=False)
        complete = len(self.trials(TrialState.COMPLETE))
        if complete > 1:
            with plt.rc_context(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna's, of its interface to matplotlib and of few trials
                for name, plot in PLOTS.items():
                    if name == "importance" and complete < ENOUGH:
                        continue
                    self._draw(name, f"plot_{plot}", "share" if name == "importance" else "validation loss (dB)")

    def _draw(self, name: str, plot: str, label: str) -> None:
        with written_whole(self.folder / f"{name}.html") as partial:  # plotly's script goes beside them, once
            figure = getattr(optuna.visualization, plot)(self.optuna, target_name=label)
            figure.write_html(partial, include_plotlyjs="directory")
        with written_whole(self.folder / f"{name}.png") as partial:  # by matplotlib: plotly would need a browser
            getattr(optuna.visualization.matplotlib, plot)(self.optuna, target_name=label)
            if name == "slice":  # a panel a setting, wide enough for its tick labels
                plt.gcf().set_size_inches(max(6.4, 4 * len(self.space)), 4.8)
                for axis in plt.gcf().axes[: len(self.space)]:
                    axis.tick_params(axis="x", rotation=30)
            plt.savefig(partial, format="png", dpi=150, bbox_inches="tight")
            plt.close()

    def _lock(self, name: object) -> BaseFileLock:
        return FileLock(self.folder / "locks" / f"{name}.lock")

    def _left_behind(self) -> Claimed | None:
        for frozen in self.trials(TrialState.RUNNING):
            lock = self._lock(frozen.number)
            with suppress(Timeout):  # its process is alive
                held = lock.acquire(blocking=False)
                trial = optuna.Trial(self.optuna, frozen._trial_id)  # Optuna has no public way to go on with a trial
                starts = frozen.user_attrs.get("starts", MOST_STARTS)  # set when it began
                if starts < MOST_STARTS:
                    trial.set_user_attr("starts", starts + 1)
                    return trial, held
                epoch = len(frozen.intermediate_values) + 1
                self.end(trial, error=f"its process ended {starts} times in epoch {epoch}")
                lock.release()
        return None

    def _new(self) -> Claimed | None:
        number = len(self.trials())
        if number >= self.wanted:
            return None
        held = self._lock(number).acquire()
        # seeded by the trial and not by the process, of which no two may draw the same
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        self.optuna.sampler = optuna.samplers.TPESampler(seed=seed)
        trial = self.optuna.ask(self.space)
        trial.set_user_attr("sampler_seed", seed)
        trial.set_user_attr("starts", 1)
        return trial, held


class ReportEpochs(Callback):
    """Tell the study the validation loss of each epoch, and stop where its pruner gives up the trial.

    Args:
        study: Its study.
        trial: What is trained.

    Raises:
        InputError: The loss is not finite.
    """

    def __init__(self, study: SharedStudy, trial: optuna.Trial) -> None:
        self.study, self.trial, self.pruned = study, trial, False
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the loss, and ask whether to go on; the epoch's checkpoint is still written."""
        loss, epoch = float(trainer.callback_metrics["val/loss"]), trainer.current_epoch + 1
        if not math.isfinite(loss):
            raise InputError(f"the validation loss is {loss} after epoch {epoch}")
        seconds = self.trial.user_attrs.get("seconds", 0.0) + time.monotonic() - self._started
        self.trial.set_user_attr("seconds", round(seconds, 3))
        self.trial.set_user_attr("starts", 0)
        if epoch not in self.study.trials()[self.trial.number].intermediate_values:  # a kill can repeat an epoch
            self.trial.report(loss, epoch)
        self.pruned = epoch < (trainer.max_epochs or 0) and self.trial.should_prune()
        trainer.should_stop = trainer.should_stop or self.pruned
        if epoch == 1:
            print(self.study.outlook(), flush=True)
