"""Means, medians and intervals of per-mixture scores, over all and by gender group."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap


def summarize(scores: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Summarize per-mixture scores over all mixtures and by gender group.

    Args:
        scores: One row a mixture, with a column `group` and one a metric.
        names: The metrics.

    Returns:
        `{"all": {"mixtures": ..., METRIC: {"mean": ..., "median": ..., "ci95": [low, high]}}, "FF": ..., ...}`.
    """
    groups = {"all": scores} | {str(group): rows for group, rows in scores.groupby("group")}
    return {
        group: {"mixtures": len(rows)} | {name: describe(rows[name].to_numpy(float)) for name in names}
        for group, rows in groups.items()
    }


def describe(values: np.ndarray) -> dict[str, Any]:
    """Return the mean, the median and the 95 % bootstrap interval of the mean.

    Args:
        values: One a mixture.

    Example:
        >>> describe(np.array([1.0, 2.0, 3.0, 6.0]))["mean"]
        3.0
    """
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
