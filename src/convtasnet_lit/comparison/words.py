"""Sentences and figures as they are printed: never stronger than the interval."""

import math

import pandas as pd

from convtasnet_lit.comparison.answers import Answers, Comparison
from convtasnet_lit.comparison.statistics import LEVEL, Estimate, sign_test_floor

SMALL = 1 - LEVEL


def statements(answers: Answers) -> list[str]:
    """Say of each other arm how it differs from the baseline.

    Args:
        answers: What was found.

    Returns:
        One sentence an arm; where nothing is compared, one that says so.
    """
    baseline, count = answers.sweep.baseline.name, len(answers.differences)
    said = [statement(one, baseline, count) for one in answers.differences]
    said += [statement(one, baseline, len(answers.speed)) for one in answers.speed]
    return said or [f"Nothing is compared: no other arm was scored on the test list of {baseline}."]


def statement(comparison: Comparison, baseline: str, count: int) -> str:
    """Say how an arm differs from the baseline; only what the interval and Holm's adjustment both bear is a claim.

    Args:
        comparison: Of SI-SDRi, or of the epochs to a level.
        baseline: The other's name.
        count: How many comparisons are made beside it, itself included.

    Example:
        >>> statement(Comparison("relu", Estimate(0.4, 0.104, 0.696, 0.02, 3, ()), 0.02), "sigmoid", 1)
        'relu over sigmoid: +0.40 dB [0.10, 0.70], 3 seeds'
        >>> statement(Comparison("relu", Estimate(-0.1, -0.5, 0.3, 0.6, 3, ()), 0.6), "sigmoid", 1)
        'relu and sigmoid: no difference can be told: -0.10 dB [-0.50, 0.30], 3 seeds'
    """
    found, level, pair = comparison.found, comparison.level, f"{comparison.arm} and {baseline}"
    figure, more, less, neutral, what, end = f"{printed(found, ' dB', signed=True)}", "over", "under", 0.0, "", ""
    if level:
        figure, neutral = f"{printed(found, ' times the epochs')}", 1.0
        more, less, what, end = "later than", "sooner than", f" in the epochs to {level:g} dB", f" at {level:g} dB"
    figure = f"{figure}, {found.seeds} seed{'s' * (found.seeds != 1)}"
    if found.seeds == 0:
        return f"{pair}: nothing can be told{what}, as they have no seed in common"
    if math.isnan(found.low):
        return f"{pair}: nothing can be told{what}, as {_without_interval(comparison)}: {figure}"
    low, high = outward(found)
    if low <= neutral <= high:
        return f"{pair}: no difference can be told{what}: {figure}"
    if comparison.p_holm >= SMALL:
        chance = f"as one of {count} comparisons it may be chance (p = {comparison.p_holm:.3f} by Holm)"
        return f"{pair}: no difference is claimed{what}: {figure}; {chance}"
    return f"{comparison.arm} {more if low > neutral else less} {baseline}{end}: {figure}"


def _without_interval(comparison: Comparison) -> str:
    if comparison.found.seeds == 1:
        return "one seed shows no spread"
    return "all seeds agree to the digit" if comparison.level else "any two test mixtures share a voice"


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
        f"An exact sign test over {seeds} seeds cannot go below p = {floor:g}, even where all agree. Where an interval "
        "says more, it rests on taking the effects of seeds and voices to be normally distributed."
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


def readable(table: pd.DataFrame, signed: bool = False) -> pd.DataFrame:
    """Turn a table's figures into text, the mean and its interval into one column.

    Args:
        table: A table of `tables`.
        signed: Whether means are differences.
    """
    shown = table.copy()
    if {"mean", "low", "high"} <= set(shown.columns):
        rows = shown[["mean", "low", "high"]].to_numpy(float)
        found = [Estimate(mean, low, high, math.nan, 0, ()) for mean, low, high in rows]
        title = "difference (dB) [95 %]" if signed else "SI-SDRi (dB) [95 %]"
        shown.insert(list(shown).index("mean"), title, [printed(one, "", signed) for one in found])
        shown = shown.drop(columns=["mean", "low", "high"])
    return shown.map(_cell)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}" if value.is_integer() else f"{value:#.3g}".rstrip(".")
    return "" if value is None else str(value)
