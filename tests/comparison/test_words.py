"""What is said is never stronger than the interval."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from convtasnet_lit.comparison.answers import Comparison
from convtasnet_lit.comparison.statistics import Estimate
from convtasnet_lit.comparison.words import claimed, outward, printed, readable, statement

NAN = math.nan


def said(low: float, high: float, p: float, level: float = 0.0, count: int = 1, seeds: int = 3) -> str:
    found = Estimate((low + high) / 2, low, high, p, seeds, ())
    return statement(Comparison("relu", found, p, level), "sigmoid", count)


def test_a_difference_is_claimed_only_where_the_printed_interval_leaves_zero_out() -> None:
    rng = np.random.default_rng(0)
    for middle, half in zip(rng.normal(0, 0.02, 500), rng.exponential(0.02, 500), strict=True):
        line = said(middle - half, middle + half, 0.01)
        low, high = (float(end) for end in re.search(r"\[(.*), (.*)\]", line).groups())  # type: ignore[union-attr]
        assert low <= middle - half + 1e-8 and middle + half - 1e-8 <= high
        assert ("relu over sigmoid" in line) == (low > 0)
        assert ("relu under sigmoid" in line) == (high < 0)
        assert ("no difference can be told" in line) == (low <= 0 <= high)


def test_what_holm_does_not_bear_is_not_claimed() -> None:
    line = said(0.1, 0.7, 0.09, count=4)
    assert line.startswith("relu and sigmoid: no difference is claimed: +0.40 dB [0.10, 0.70], 3 seeds")
    assert line.endswith("it may be chance (p = 0.09 as one of 4)")
    assert said(0.1, 0.7, 0.0493, count=4).endswith("3 seeds, p = 0.0493 as one of 4")


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"), [(0.6, 0.8, 0.04, True), (0.6, 0.8, 0.06, False), (0.6, 1.1, 0.04, False)]
)
def test_the_epochs_to_a_level_are_claimed_by_interval_and_holm(
    low: float, high: float, p: float, expected: bool
) -> None:
    assert claimed(Comparison("relu", Estimate(0.7, low, high, p, 3, ()), p, level=3.0)) is expected


def test_without_a_run_that_diverged_nothing_is_claimed() -> None:
    found = Comparison("relu", Estimate(0.5, 0.4, 0.6, 0.001, 2, ()), 0.001, diverged=("relu-1",))
    expected = (
        "relu and sigmoid: no difference is claimed, as no score of relu-1 is finite; without: +0.50 dB [0.40, 0.60]"
    )
    assert statement(found, "sigmoid", 1).startswith(expected)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.55, 0.9, "relu sooner than sigmoid at 8 dB: 0.73 times the epochs [0.55, 0.90], 3 seeds, p = 0.01"),
        (1.1, 1.3, "relu later than sigmoid at 8 dB: 1.20 times the epochs [1.10, 1.30], 3 seeds, p = 0.01"),
    ],
)
def test_the_epochs_to_a_level_are_told_as_a_share(low: float, high: float, expected: str) -> None:
    assert said(low, high, 0.01, level=8.0).startswith(expected)


def test_without_an_interval_nothing_is_told_but_why() -> None:
    one = statement(Comparison("relu", Estimate(0.4, NAN, NAN, NAN, 1, (0.4,)), NAN), "sigmoid", 1)
    assert one == "relu and sigmoid: nothing can be told, as one seed shows no spread: +0.40 dB, 1 seed"
    shared = statement(Comparison("relu", Estimate(0.4, NAN, NAN, NAN, 3, ()), NAN), "sigmoid", 1)
    assert "any two test mixtures share a voice: +0.40 dB, 3 seeds" in shared
    none = statement(Comparison("relu", Estimate(NAN, NAN, NAN, NAN, 0, ()), NAN), "sigmoid", 1)
    assert none == "relu and sigmoid: nothing can be told, as they have no seed in common"


def test_intervals_are_rounded_outward_and_means_have_no_negative_zero() -> None:
    assert outward(Estimate(0.3, 0.29, 0.31, 0, 3, ())) == (0.29, 0.31)
    assert outward(Estimate(0.0, -0.0001, 0.0001, 1, 3, ())) == (-0.01, 0.01)
    assert printed(Estimate(-0.001, NAN, NAN, NAN, 1, ()), " dB", signed=True) == "+0.00 dB"


def test_tables_show_the_mean_with_its_interval_and_leave_unknown_cells_empty() -> None:
    table = pd.DataFrame({"arm": ["a", "b"], "mean": [1.0, NAN], "low": NAN, "high": NAN, "p (Holm)": NAN})
    shown = readable(table, signed=True)
    assert shown.to_numpy().tolist() == [["a", "+1.00", ""], ["b", "", ""]]
