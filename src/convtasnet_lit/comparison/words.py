"""Sentences and figures as they are printed: never stronger than the interval."""

import math

import pandas as pd

from convtasnet_lit.comparison.answers import Answers, Comparison
from convtasnet_lit.comparison.statistics import LEVEL, Estimate, sign_test_floor

NARROWEST = 1 - LEVEL


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
    found, is_ratio = comparison.found, comparison.level > 0
    pair, what = f"{comparison.arm} and {baseline}", ""
    if is_ratio:
        what = f" in epochs to {comparison.level:g} dB"
        figure = f"{found.mean:.2f} times as many {bracket(found)}, {_seeds(found)}".replace(" ,", ",")
        more, less = "needs more epochs than", "needs fewer epochs than"
    else:
        figure = f"{printed(found, ' dB', signed=True)}, {_seeds(found)}"
        more, less = "over", "under"
    if found.seeds == 0:
        return f"{pair}: not compared{what}, as they have no seed in common"
    if math.isnan(found.low):
        return f"{pair}: no difference can be told{what}, for want of an interval: {figure}"
    low, high = outward(found)
    neutral = 1.0 if is_ratio else 0.0
    if low <= neutral <= high:
        return f"{pair}: no difference can be told{what}: {figure}"
    if comparison.p_holm >= NARROWEST:
        chance = f"one of {count} comparisons may look so by chance (p = {comparison.p_holm:.2f} by Holm)"
        return f"{pair}: no difference is claimed{what}: {figure}; {chance}"
    verb = more if low > neutral else less
    reaches = f" to reach {comparison.level:g} dB" if is_ratio else ""
    return f"{comparison.arm} {verb} {baseline}{reaches}: {figure}"


def caution(answers: Answers) -> str:
    """Say what so few seeds cannot show.

    Args:
        answers: What was found.
    """
    seeds = max((one.found.seeds for one in answers.differences), default=0)
    floor = sign_test_floor(seeds) if seeds else 0.0
    if floor <= NARROWEST:
        return ""
    return (
        f"With {seeds} seeds an exact sign test cannot go below p = {floor:g}, even if all agree. The intervals "
        "are narrower than that because they take the scores of seeds and of voices to be normally distributed."
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
    mean = f"{round(found.mean, 2) + 0.0:{'+' if signed else ''}.2f}{unit}"
    return f"{mean} {bracket(found)}".strip()


def bracket(found: Estimate) -> str:
    """Write an interval rounded outward to two places; nothing if there is none."""
    if math.isnan(found.low):
        return ""
    low, high = outward(found)
    return f"[{low:.2f}, {high:.2f}]"


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
        table: As `tables` lays it out.
        signed: Whether means are differences.
    """
    shown = table.copy()
    if {"mean", "low", "high"} <= set(shown.columns):
        found = [Estimate(*row, math.nan, 0, ()) for row in shown[["mean", "low", "high"]].to_numpy(float)]
        title = "difference (dB) [95 %]" if signed else "SI-SDRi (dB) [95 %]"
        shown.insert(shown.columns.get_loc("mean"), title, [printed(one, "", signed) for one in found])
        shown = shown.drop(columns=["mean", "low", "high"])
    return shown.map(_cell)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}" if value.is_integer() else f"{value:.3g}"
    return "" if value is None else str(value)


def _seeds(found: Estimate) -> str:
    return "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
