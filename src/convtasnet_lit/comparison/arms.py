"""Arms: runs that differ in nothing but their seed, and what can be compared between them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convtasnet_lit.comparison.runs import METRIC, Run, read_run, run_folders
from convtasnet_lit.errors import InputError, require


@dataclass(frozen=True, eq=False)
class Arm:
    """Runs that differ in nothing but their seed.

    Args:
        name: What tells it from the other arms.
        runs: The runs by their seed, evaluated or not.
        mixtures: Those test mixtures that every run of the same list has a score for.
    """

    name: str
    runs: tuple[Run, ...]
    mixtures: pd.Index

    @property
    def scored(self) -> list[Run]:
        """The evaluated runs."""
        return [run for run in self.runs if len(run.scores)]

    @property
    def rows(self) -> pd.DataFrame:
        """What the mixtures are made of, a row each, beside one run's scores."""
        return self.scored[0].scores.loc[self.mixtures]

    @property
    def test_list(self) -> str:
        """That of its evaluated runs."""
        return self.scored[0].test_list

    def scores(self, seeds: Iterable[int] | None = None) -> np.ndarray:
        """Return the SI-SDRi of the arm's mixtures, dB, (seeds, mixtures).

        Args:
            seeds: Which; all by default.
        """
        chosen = [run for run in self.scored if seeds is None or run.seed in seeds]
        return np.array([run.scores.loc[self.mixtures, METRIC].to_numpy(float) for run in chosen])

    def softest(self) -> np.ndarray:
        """Return how far each mixture's softest speaker lies over the others together, dB, (mixtures,).

        It is the levels' part of this speaker's SI-SDR in the clean mixture, and NaN where one speaks alone.
        """
        levels = self.rows.filter(regex="^level_db_").apply(pd.to_numeric).to_numpy(float)  # (mixtures, speakers)
        power = 10 ** (levels / 10)
        least = np.nanmin(power, axis=1)
        others = np.nansum(power, axis=1) - least
        return np.asarray(10 * np.log10(least / np.where(others > 0, others, np.nan)))

    def voices(self) -> np.ndarray:
        """Return who speaks in which mixture, (mixtures, speakers): 1 or 0."""
        columns = self.rows.filter(regex="^speaker_")
        names = pd.unique(columns.to_numpy().ravel())
        return np.array([(columns == name).any(axis=1) for name in names if name], float).T


@dataclass(frozen=True)
class Sweep:
    """The arms, the baseline first, and what a reader must know of the runs, one line each."""

    arms: tuple[Arm, ...]
    notes: tuple[str, ...]

    @property
    def baseline(self) -> Arm:
        """What the others are compared with."""
        return self.arms[0]

    @property
    def lone(self) -> Run | None:
        """The run, if there is but one."""
        runs = [run for arm in self.arms for run in arm.runs]
        return runs[0] if len(runs) == 1 else None

    @property
    def scored(self) -> list[Arm]:
        """The arms with an evaluated run."""
        return [arm for arm in self.arms if arm.scored]

    @property
    def others(self) -> list[Arm]:
        """The arms that were scored on the baseline's mixtures."""
        return [arm for arm in self.scored[1:] if arm.test_list == self.baseline.test_list]

    @property
    def differing(self) -> list[str]:
        """The settings in which the arms differ."""
        return _differing([arm.runs[0].settings for arm in self.arms])

    @property
    def number(self) -> str:
        """The one setting in which the arms differ, if it is a number and there are three arms or more."""
        values = [arm.runs[0].settings.get(key) for key in self.differing for arm in self.arms]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return self.differing[0] if len(self.differing) == 1 and len(self.arms) > 2 and numbers else ""


def read_sweep(folders: Sequence[Path], baseline: str = "") -> Sweep:
    """Read runs and put them together into arms.

    Args:
        folders: Runs, or folders of runs.
        baseline: The arm to compare with; by default the one called baseline, else that of the first run.

    Raises:
        InputError: A folder holds no run or a damaged one; none is evaluated; two runs are the same arm and seed; the
            runs of an arm were evaluated on different lists; there is no such baseline.
    """
    runs = [read_run(folder) for folder in run_folders(folders)]
    arms = [list(group) for _, group in groupby(sorted(runs, key=_settings_text), _settings_text)]
    arms.sort(key=lambda arm: min(runs.index(run) for run in arm))
    kept, notes = _common_mixtures([run for run in runs if len(run.scores)])
    made = [
        Arm(name, tuple(sorted(arm, key=lambda run: run.seed)), _mixtures_of(arm, kept))
        for name, arm in zip(_names(arms), arms, strict=True)
    ]
    names = [arm.name for arm in made]
    first = baseline or ("baseline" if "baseline" in names else names[0])
    require(first in names, "--baseline", first, f"one of the arms: {', '.join(names)}")
    key = Sweep(tuple(made), ()).number
    made.sort(key=lambda arm: (arm.name != first, float(arm.runs[0].settings[key]) if key else 0.0))
    if not made[0].scored:
        advice = f"python -m convtasnet_lit.evaluate checkpoint={made[0].runs[0].folder}"
        raise InputError(f"{first}: no run of the baseline has scores; another --baseline, or first {advice}")
    return Sweep(tuple(made), (*notes, *_notes(made)))


def _settings_text(run: Run) -> str:
    return json.dumps(run.settings, sort_keys=True)


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings)]


def _names(arms: Sequence[Sequence[Run]]) -> list[str]:
    """Call arms by their files in `conf/ablation` where that tells them apart, else by what differs."""
    ablations = [arm[0].ablation for arm in arms]
    if len(set(ablations)) == len(arms):
        return ablations
    keys = _differing([arm[0].settings for arm in arms])
    values = [[(key, arm[0].settings.get(key)) for key in keys] for arm in arms]
    short = [
        ", ".join(value if isinstance(value, str) else f"{key.rpartition('.')[2]}={value}" for key, value in each)
        for each in values
    ]
    if len(set(short)) == len(arms):
        return short
    return [", ".join(f"{key}={value}" for key, value in each) for each in values]


def _common_mixtures(scored: Sequence[Run]) -> tuple[dict[str, pd.Index], list[str]]:
    """Find those mixtures of each list that all of its runs have scores for, and say which runs lack some."""
    kept: dict[str, pd.Index] = {}
    notes = []
    for name, group in groupby(sorted(scored, key=lambda run: run.test_list), lambda run: run.test_list):
        runs = list(group)
        known = pd.concat([run.scores[METRIC].notna() for run in runs], axis=1)
        kept[name] = known.index[known.all(axis=1)]
        if (nowhere := int((~known.any(axis=1)).sum())) > 0:
            notes.append(f"test list {name}: {nowhere} of {len(known)} mixtures have no SI-SDRi in any run")
        for run, column in zip(runs, known.to_numpy().T, strict=True):
            if (lost := int((~column).sum()) - nowhere) > 0:
                what = f"{lost} of {len(known)} mixtures have no score, as the output was not finite"
                notes.append(f"{run.folder}: {what}; they are left out of every run, which may flatter this one")
        if kept[name].empty:
            raise InputError(f"test list {name}: no mixture has a score in every run; leave out a run that lacks many")
    return kept, notes


def _mixtures_of(arm: Sequence[Run], kept: Mapping[str, pd.Index]) -> pd.Index:
    lists = {run.test_list: run for run in arm if len(run.scores)}
    seeds = {run.seed: run for run in arm}
    for run in arm:
        if seeds[run.seed] is not run:
            raise InputError(f"{run.folder} and {seeds[run.seed].folder}: the same arm and seed; give one of them")
    if len(lists) > 1:
        one, other = list(lists.values())[:2]
        raise InputError(f"{one.folder} and {other.folder}: one arm on two test lists; evaluate both on the same")
    return kept[next(iter(lists))] if lists else pd.Index([])


def _notes(arms: Sequence[Arm]) -> list[str]:
    runs = [run for arm in arms for run in arm.runs]
    notes = [note for run in runs for note in _notes_of(run)]
    if any(len(run.history) for run in runs):  # else nobody looks for a curve
        notes += [f"{run.folder}: no history.csv, so no learning curve" for run in runs if not len(run.history)]
    for arm in arms:
        if len(runs) > 1 and len(arm.scored) == 1:
            notes.append(f"{arm.name}: one seed; it has no interval, as nothing shows the spread over seeds")
        if arm.scored and arm.test_list != arms[0].test_list:
            lists = f"{arm.test_list}, not {arms[0].test_list}"
            notes.append(f"{arm.name}: scored on another test list ({lists}); it is not compared with {arms[0].name}")
    return notes


def _notes_of(run: Run) -> list[str]:
    notes = []
    if run.conditions:
        notes.append(f"{run.folder}: its test mixtures were under {', '.join(run.conditions)}")
    if not run.evaluation:
        notes.append(f"{run.folder}: not evaluated; python -m convtasnet_lit.evaluate checkpoint={run.folder}")
    elif run.diverged:
        lost = "evaluated, but no mixture has a finite SI-SDRi; it is left out, which flatters its arm"
        notes.append(f"{run.folder}: {lost}, so nothing is claimed of it")
    if "val/loss" in run.history and run.history["val/loss"].notna().any():
        best = int(run.history["epoch"].iloc[np.nanargmin(run.history["val/loss"])])
        scored = run.evaluation.get("epoch")
        if Path(str(run.evaluation.get("checkpoint"))).name == "best.ckpt" and scored not in (None, best):
            notes.append(f"{run.folder}: epoch {scored + 1} was evaluated, but {best + 1} is the best; evaluate again")
    return notes
