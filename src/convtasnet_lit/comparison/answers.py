"""What a sweep answers: means, differences from the baseline, and how soon a level is reached."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from convtasnet_lit.comparison.arms import Arm, Sweep
from convtasnet_lit.comparison.runs import Run
from convtasnet_lit.comparison.statistics import Estimate, estimate, holm, ratio

GROUPS = {"FF": "two women", "FM": "a woman and a man", "MM": "two men"}


@dataclass(frozen=True)
class Comparison:
    """An arm against the baseline; `p_holm` is its p value adjusted for the number of such comparisons."""

    arm: str
    found: Estimate
    p_holm: float
    level: float = 0.0  # dB of validation SI-SDRi, where the time to reach it is compared
    diverged: tuple[str, ...] = ()  # runs of either arm without a finite score: what is left bears no claim


@dataclass(frozen=True)
class Answers:
    """All that the page shows of a sweep in numbers.

    Args:
        sweep: The arms.
        means: By arm, over all test mixtures.
        groups: By gender group, then by arm.
        differences: Of each other arm's SI-SDRi from the baseline's, on the same mixtures and seeds.
        levels: Of validation SI-SDRi, dB, whose first reaching is shown.
        speed: Each other arm's epochs to each level that all its runs and the baseline's reached, as a share of these.
    """

    sweep: Sweep
    means: dict[str, Estimate]
    groups: dict[str, dict[str, Estimate]]
    differences: list[Comparison]
    levels: list[float]
    speed: list[Comparison]


def answer(sweep: Sweep) -> Answers:
    """Compute what the page shows.

    Args:
        sweep: The arms.
    """
    means = {arm.name: estimate(arm.scores(), arm.voices()) for arm in sweep.scored}
    names = sorted({group for arm in sweep.scored for group in arm.rows["group"]})
    groups = {name: {arm.name: _mean_of_group(arm, name) for arm in _with_group(sweep, name)} for name in names}
    differences = [_compared(arm, sweep.baseline) for arm in sweep.others]
    levels = _levels([run for arm in sweep.arms for run in arm.runs])
    speed = [found for arm in sweep.others for found in _speed(arm, sweep.baseline, levels)]
    return Answers(sweep, means, groups, _adjusted(differences), levels, _adjusted(speed))


def time_to(run: Run, level: float) -> tuple[float, float]:
    """Return after how many epochs and seconds a run's validation SI-SDRi first reaches a level; NaN if it never does.

    Between two epochs it is taken to rise in a straight line.

    Args:
        run: With its history.
        level: dB.
    """
    curve = _curve(run)
    if not (curve >= level).any():
        return np.nan, np.nan
    first = int(np.argmax(curve >= level))
    ends = [max(0, first - 1), first]  # an epoch's figure is that at its end
    epochs = float(np.interp(level, curve[ends], np.add(ends, 1)))
    seconds = np.concatenate([[0.0], run.history["seconds"].cumsum()])
    return epochs, float(np.interp(epochs, np.arange(len(seconds)), seconds))


def _curve(run: Run) -> np.ndarray:
    return run.history["val/si_sdri"].to_numpy(float) if "val/si_sdri" in run.history else np.array([])


def _with_group(sweep: Sweep, group: str) -> list[Arm]:
    return [arm for arm in sweep.scored if (arm.rows["group"] == group).any()]


def _mean_of_group(arm: Arm, group: str) -> Estimate:
    among = (arm.rows["group"] == group).to_numpy()
    return estimate(arm.scores()[:, among], arm.voices()[among])


def _compared(arm: Arm, baseline: Arm) -> Comparison:
    seeds, found = _common_seeds(arm.scored, baseline.scored), Estimate(np.nan, np.nan, np.nan, np.nan, 0, ())
    if seeds:
        found = estimate(arm.scores(seeds) - baseline.scores(seeds), arm.voices())
    diverged = tuple(run.folder.name for run in (*arm.runs, *baseline.runs) if run.diverged)
    return Comparison(arm.name, found, np.nan, diverged=diverged)


def _common_seeds(some: Sequence[Run], others: Sequence[Run]) -> list[int]:
    return sorted({run.seed for run in some} & {run.seed for run in others})


def _levels(runs: Sequence[Run]) -> list[float]:
    """Choose up to five levels of whole dB, which every run passes after its first epoch and the best one reaches."""
    curves = [curve for run in runs if np.isfinite(curve := _curve(run)).any()]
    if not curves:
        return []
    start, end = np.nanmax([curve[0] for curve in curves]), max(np.nanmax(curve) for curve in curves)
    step = next((step for step in (1.0, 2.0, 5.0) if (end - start) / step < 5), 10.0)
    return [float(level) for level in np.arange(np.floor(start / step) * step + step, end, step)]


def _speed(arm: Arm, baseline: Arm, levels: Sequence[float]) -> list[Comparison]:
    """Compare the epochs to each level that all runs of both arms reach, of the seeds that both have."""
    seeds, found = _common_seeds(arm.runs, baseline.runs), []
    for level in levels if seeds else ():
        epochs = np.array(
            [[time_to(run, level)[0] for run in each.runs if run.seed in seeds] for each in (arm, baseline)]
        )
        if np.isfinite(epochs).all():
            found.append(Comparison(arm.name, ratio(*epochs), np.nan, level))
    return found


def _adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    adjusted = holm([comparison.found.p for comparison in comparisons])
    return [replace(comparison, p_holm=p) for comparison, p in zip(comparisons, adjusted, strict=True)]


def tables(answers: Answers) -> dict[str, pd.DataFrame]:
    """Lay the answers out, a table by name, figures in full.

    Args:
        answers: What was found.
    """
    sweep = answers.sweep
    arms = [{"arm": name, **_columns(found)} for name, found in answers.means.items()]
    differences = [
        {"arm": one.arm, **_columns(one.found), "p (Holm)": np.nan if one.diverged else one.p_holm}
        for one in answers.differences
    ]
    groups = [
        {"mixtures of": GROUPS.get(group, group), "arm": name, **_columns(found)}
        for group, by_arm in answers.groups.items()
        for name, found in by_arm.items()
    ]
    times = [_times(arm, level) for level in answers.levels for arm in sweep.arms]
    speed = [
        {"arm": one.arm, "level (dB)": one.level, **_columns(one.found), "p (Holm)": one.p_holm}
        for one in answers.speed
    ]
    settings = [
        {"setting": key} | {arm.name: arm.runs[0].settings.get(key) for arm in sweep.arms} for key in sweep.differing
    ]
    runs = [_run_row(arm, run) for arm in sweep.arms for run in arm.runs]
    listed = {"arms": arms, "differences": differences, "groups": groups, "levels": times, "speed": speed}
    return {name: pd.DataFrame(rows) for name, rows in (listed | {"settings": settings, "runs": runs}).items() if rows}


def _columns(found: Estimate) -> dict[str, object]:
    return {"seeds": found.seeds, "mean": found.mean, "low": found.low, "high": found.high}


def _times(arm: Arm, level: float) -> dict[str, object]:
    epochs, seconds = np.array([time_to(run, level) for run in arm.runs]).T
    reached = np.isfinite(epochs)
    row = {"level (dB)": level, "arm": arm.name, "runs that reach it": f"{reached.sum()} of {len(reached)}"}
    for name, values in (("epochs", epochs[reached]), ("minutes", seconds[reached] / 60)):
        row |= {f"{name}, median": np.median(values) if len(values) else np.nan}
        row |= {f"{name}, range": f"{values.min():.2f} to {values.max():.2f}" if len(values) else ""}
    return row


def _run_row(arm: Arm, run: Run) -> dict[str, object]:
    scores = float(np.mean(arm.scores([run.seed]))) if len(run.scores) else np.nan
    hours = run.history["seconds"].sum() / 3600 if "seconds" in run.history else np.nan
    evaluated = run.evaluation.get("epoch")
    return {
        "arm": arm.name,
        "seed": run.seed,
        "folder": run.folder.name,
        "epochs": len(run.history),
        "hours": hours,
        "evaluated epoch": np.nan if evaluated is None else evaluated + 1,
        "SI-SDRi (dB)": scores,
    }
