"""Sentences and figures as they are printed: never stronger than the interval."""

import math
from collections.abc import Sequence

import pandas as pd

from convtasnet_lit.comparison.answers import Answers, Comparison
from convtasnet_lit.comparison.statistics import LEVEL, Estimate, sign_test_floor

SMALL = 1 - LEVEL


def statements(answers: Answers) -> list[str]:
    """Say of each other arm how it differs from the baseline, and which reach a level sooner or later.

    Args:
        answers: What was found.

    Returns:
        A sentence an arm, one for each claim of epochs to a level, and one for those without; where nothing is
        compared, one that says so.
    """
    baseline, count = answers.sweep.baseline.name, len(answers.speed)
    said = [statement(one, baseline, _adjusted(answers.differences)) for one in answers.differences]
    claims = [statement(one, baseline, _adjusted(answers.speed)) for one in answers.speed if claimed(one)]
    said += claims
    if count > len(claims):
        levels = ", ".join(f"{level:g}" for level in sorted({one.level for one in answers.speed}))
        none = f"no difference is claimed in {count - len(claims)} of {count} comparisons with {baseline}"
        said.append(f"Epochs to {levels} dB of validation SI-SDRi: {none}")
    return said or [f"Nothing is compared: no other arm was scored on the test list of {baseline}."]


def _adjusted(comparisons: Sequence[Comparison]) -> int:
    """How many Holm adjusted for: those that have a p."""
    return sum(not math.isnan(one.p_holm) for one in comparisons)


def claimed(comparison: Comparison) -> bool:
    """Say whether the interval, as it is printed, and Holm's adjustment both bear a difference, and no run diverged.

    Args:
        comparison: Of SI-SDRi, or of the epochs to a level.
    """
    return not _includes_none(comparison) and comparison.p_holm < SMALL and not comparison.diverged


def _includes_none(comparison: Comparison) -> bool:
    """Whether no difference lies in the printed interval, or there is no interval."""
    if math.isnan(comparison.found.low):
        return True
    low, high = outward(comparison.found)
    return low <= (1 if comparison.level else 0) <= high


def statement(comparison: Comparison, baseline: str, count: int) -> str:
    """Say how an arm differs from the baseline; only what the interval and Holm's adjustment both bear is a claim.

    Args:
        comparison: Of SI-SDRi; or of the epochs to a level, if it is a claim.
        baseline: The other's name.
        count: How many comparisons its p was adjusted for, itself included.

    Example:
        >>> statement(Comparison("relu", Estimate(0.4, 0.104, 0.696, 0.02, 3, ()), 0.02), "sigmoid", 1)
        'relu over sigmoid: +0.40 dB [0.10, 0.70], 3 seeds, p = 0.02'
        >>> statement(Comparison("relu", Estimate(-0.1, -0.5, 0.3, 0.6, 3, ()), 0.6), "sigmoid", 1)
        'relu and sigmoid: no difference can be told: -0.10 dB [-0.50, 0.30], 3 seeds'
        >>> statement(Comparison("relu", Estimate(0.7, 0.6, 0.8, 0.004, 3, ()), 0.04, level=3), "sigmoid", 10)
        'relu sooner than sigmoid at 3 dB: 0.70 times the epochs [0.60, 0.80], 3 seeds, p = 0.04 as one of 10'
    """
    found, level, pair = comparison.found, comparison.level, f"{comparison.arm} and {baseline}"
    if found.seeds == 0:
        return f"{pair}: nothing can be told, as they have no seed in common"
    figure = printed(found, " times the epochs") if level else printed(found, " dB", signed=True)
    figure = f"{figure}, {found.seeds} seed{'s' * (found.seeds != 1)}"
    if math.isnan(found.low):
        reason = "one seed shows no spread" if found.seeds == 1 else "any two test mixtures share a voice"
        return f"{pair}: nothing can be told, as {reason}: {figure}"
    if comparison.diverged:
        lost = ", ".join(comparison.diverged)
        return f"{pair}: no difference is claimed, as no score of {lost} is finite; without: {figure}"
    if _includes_none(comparison):
        return f"{pair}: no difference can be told: {figure}"
    chance = f"p = {comparison.p_holm:.3g}" + (f" as one of {count}" if count > 1 else "")
    if not claimed(comparison):
        return f"{pair}: no difference is claimed: {figure}; it may be chance ({chance})"
    if level:
        how, end = "sooner than" if found.mean < 1 else "later than", f" at {level:g} dB"
    else:
        how, end = "over" if found.mean > 0 else "under", ""
    return f"{comparison.arm} {how} {baseline}{end}: {figure}, {chance}"


def caution(answers: Answers) -> str:
    """Say what so few seeds cannot show.

    Args:
        answers: What was found.
    """
    seeds = max((one.found.seeds for one in answers.differences), default=0)
    floor = sign_test_floor(seeds) if seeds else 0.0
    if floor <= SMALL:
        return ""
    return (
        f"An exact sign test over {seeds} seed{'s' * (seeds != 1)} cannot go below p = {floor:g}, even if all agree. "
        "Where an interval says more, it rests on taking the effects of seeds and voices to be normally distributed."
    )


def printed(found: Estimate, unit: str = "", signed: bool = False) -> str:
    """Write a mean with its interval.

    Args:
        found: The mean and its interval.
        unit: Set after the mean.
        signed: With + or -.

    Example:
        >>> printed(Estimate(7.123, 6.999, 7.241, 0.0, 3, ()))
        '7.12 [6.99, 7.25]'
    """
    if math.isnan(found.mean):
        return ""
    mean = f"{round(found.mean, 2) + 0.0:{'+' if signed else ''}.2f}{unit}"
    return mean if math.isnan(found.low) else f"{mean} [{outward(found)[0]:.2f}, {outward(found)[1]:.2f}]"


def outward(found: Estimate) -> tuple[float, float]:
    """Round an interval to two places so that it grows: what it is printed as never says more than it does.

    Example:
        >>> outward(Estimate(0.4, 0.001, 0.791, 0.05, 3, ()))
        (0.0, 0.8)
    """
    nearly = 1e-9  # 0.29 * 100 is 28.999999999999996
    return math.floor(found.low * 100 + nearly) / 100 + 0.0, math.ceil(found.high * 100 - nearly) / 100 + 0.0


def readable(table: pd.DataFrame, mean: str = "SI-SDRi (dB)", signed: bool = False) -> pd.DataFrame:
    """Turn a table's figures into text, the mean and its interval into one column.

    Args:
        table: A table of `tables`.
        mean: What the means are of.
        signed: Whether they are differences.
    """
    shown = table.copy()
    if {"mean", "low", "high"} <= set(shown.columns):
        rows = shown[["mean", "low", "high"]].to_numpy(float)
        found = [Estimate(middle, low, high, math.nan, 0, ()) for middle, low, high in rows]
        shown.insert(list(shown).index("mean"), f"{mean} [95 %]", [printed(one, "", signed) for one in found])
        shown = shown.drop(columns=["mean", "low", "high"])
    return shown.map(_cell)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}" if value.is_integer() else f"{value:#.3g}".rstrip(".")
    return "" if value is None else str(value)
