"""Scores of estimates; their means, medians and intervals over all mixtures and by gender group."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap
from torch import Tensor

from convtasnet_lit.mixing.dataset import Mixture
from convtasnet_lit.training.metrics import LIMIT_DB, separation_scores

HELD_DB = 20.0  # under the loudest output, the others are as good as silent


def score(names: list[str], estimates: Tensor, item: Mixture, sample_rate: int) -> dict[str, Any]:
    """Score the estimates of one mixture.

    Args:
        names: The metrics.
        estimates: (sources, samples), in any order, where the scores shall be computed.
        item: The mixture and its sources.
        sample_rate: Hz.

    Returns:
        Each metric, NaN where there is none; and whether the estimates are `finite`: if not, all metrics are NaN.
    """
    sources, mixture = (signal.to(estimates.device).unsqueeze(0) for signal in (item.sources, item.mixture))
    scores = separation_scores(names, estimates.unsqueeze(0), sources, mixture, sample_rate)
    return {name: value.item() for name, value in scores.items()} | {"finite": bool(estimates.isfinite().all())}


def summarize(scores: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Summarize per-mixture scores over all mixtures and by gender group.

    A metric is summarized over the mixtures that have it: improvements leave out those of one speaker, and a group of
    them alone has none. Estimates that are not finite are left out of nothing.

    Args:
        scores: One row a mixture, with columns `group` and `finite`, and one a metric.
        names: The metrics.

    Returns:
        `{"all": {"mixtures": ..., METRIC: {"mean": ..., "median": ..., "ci95": [low, high]}}, "FF": ..., ...}`.
    """
    groups = {"all": scores} | {str(group): rows for group, rows in scores.groupby("group")}
    scored = {name: scores[name].notna() | ~scores["finite"] for name in names}
    return {
        group: {"mixtures": len(rows)}
        | {
            name: describe(rows.loc[scored[name], name].to_numpy(float))
            for name in names
            if scored[name][rows.index].any()
        }
        for group, rows in groups.items()
    }


def describe(values: np.ndarray) -> dict[str, Any]:
    """Return the mean, the median and the 95 % bootstrap interval of the mean; None for each if a value is NaN.

    Args:
        values: One a mixture.

    Example:
        >>> describe(np.array([1.0, 2.0, 3.0, 6.0]))["mean"]
        3.0
    """
    if np.isnan(values).any():
        return {"mean": None, "median": None, "ci95": None}  # JSON knows no NaN
    return {"mean": float(values.mean()), "median": float(np.median(values)), "ci95": interval(values)}


def interval(values: np.ndarray) -> list[float] | None:
    """Return the 95 % percentile bootstrap interval of the mean; None for a single value, which shows no spread.

    Args:
        values: One a mixture.
    """
    if len(values) < 2:
        return None
    if np.ptp(values) == 0:
        return [float(values[0])] * 2
    found = bootstrap(
        (values,), np.mean, n_resamples=5000, batch=500, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return [float(found.low), float(found.high)]


def margin_db(estimates: Tensor) -> float:
    """Return how far under the loudest output the next one lies: how well one output holds a lone speaker.

    Args:
        estimates: (speakers, samples), of one mixture.

    Returns:
        Decibels up to 80; NaN where the estimates are silent or not finite.

    Example:
        >>> import torch
        >>> round(margin_db(torch.tensor([[0.01, 0.0], [0.0, 1.0]])), 3)
        40.0
    """
    loudest, following = estimates.double().square().sum(-1).topk(2).values
    return float((10 * (loudest / following).log10()).clamp(max=LIMIT_DB))


def summarize_margins(table: pd.DataFrame) -> dict[str, Any]:
    """Summarize how well lone speakers were held on one output.

    Args:
        table: One row a mixture of one speaker, with a column `margin_db`.

    Returns:
        The share of mixtures whose other outputs lie 20 dB or more under the loudest one, its 95 % bootstrap interval,
        and the median margin, None if one is NaN: `{"share": ..., "ci95": [low, high], "median_db": ...}`.

    Example:
        >>> summarize_margins(pd.DataFrame({"margin_db": [25.0, 31.0, 12.0]}))["median_db"]
        25.0
    """
    margins = table["margin_db"].to_numpy(float)
    held = (margins >= HELD_DB).astype(float)
    return {"share": float(held.mean()), "ci95": interval(held), "median_db": describe(margins)["median"]}


def summarize_counts(table: pd.DataFrame) -> dict[str, Any]:
    """Summarize how many speakers were heard in mixtures of how many.

    Args:
        table: One row a mixture, with columns `speakers` and `heard`.

    Returns:
        The share counted right and its 95 % bootstrap interval, and how many mixtures of each number were heard as
        each: `{"accuracy": ..., "ci95": [low, high], "confusion": {SPEAKERS: {HEARD: mixtures}}}`.

    Example:
        >>> summarize_counts(pd.DataFrame({"speakers": [1, 2, 2], "heard": [1, 2, 1]}))["confusion"]
        {'1': {'1': 1, '2': 0}, '2': {'1': 1, '2': 1}}
    """
    right = (table["speakers"] == table["heard"]).to_numpy(float)
    confusion = pd.crosstab(table["speakers"], table["heard"])
    return {
        "accuracy": float(right.mean()),
        "ci95": interval(right),
        "confusion": {str(n): {str(h): int(m) for h, m in row.items()} for n, row in confusion.iterrows()},
    }
