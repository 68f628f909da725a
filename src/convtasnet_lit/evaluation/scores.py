"""Scores of each mixture; their means, medians and intervals over all and by gender group."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from scipy.stats import bootstrap

from convtasnet_lit.evaluation.pictures import write_example
from convtasnet_lit.inference.counting import heard
from convtasnet_lit.mixing.dataset import FixedMixtures
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training.metrics import separation_scores


def score_mixtures(
    network: ConvTasNet,
    mixtures: FixedMixtures,
    names: list[str],
    sample_rate: int,
    examples: Path,
    num_examples: int,
    bfloat16: bool = False,
    counting: bool = False,
) -> pd.DataFrame:
    """Separate and score each mixture of a list, and write the first ones to listen to.

    Args:
        network: In evaluation mode, where it shall compute.
        mixtures: The list.
        names: The metrics.
        sample_rate: Hz.
        examples: Folder of the example mixtures.
        num_examples: How many.
        bfloat16: Let the network multiply in bfloat16.
        counting: Count the speakers that are heard in the estimates.

    Returns:
        One row a mixture, one column a metric; with `counting` also how many `speakers` it holds, and how many `heard`.
    """
    device, rows = next(network.parameters()).device, []
    for number in track(range(len(mixtures)), "evaluating"):
        item = mixtures[number]
        mixture, sources = item.mixture.to(device).unsqueeze(0), item.sources.to(device).unsqueeze(0)
        with torch.inference_mode():
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                estimates = network(mixture).float()
            scores = separation_scores(names, estimates, sources, mixture, sample_rate)
        counts = {"speakers": len(mixtures.specs[number].rows), "heard": int(heard(estimates[0].cpu().numpy()).sum())}
        rows.append({name: value.item() for name, value in scores.items()} | (counts if counting else {}))
        if number < num_examples:
            write_example(examples / f"{number}", item, estimates[0].cpu(), sample_rate)
    return pd.DataFrame.from_records(rows)


def summarize(scores: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Summarize per-mixture scores over all mixtures and by gender group.

    A metric is summarized over the mixtures that have it: improvements leave out those of one speaker, and a group of
    them alone has none.

    Args:
        scores: One row a mixture, with a column `group` and one a metric.
        names: The metrics.

    Returns:
        `{"all": {"mixtures": ..., METRIC: {"mean": ..., "median": ..., "ci95": [low, high]}}, "FF": ..., ...}`.
    """
    groups = {"all": scores} | {str(group): rows for group, rows in scores.groupby("group")}
    return {
        group: {"mixtures": len(rows)}
        | {name: describe(rows[name].dropna().to_numpy(float)) for name in names if rows[name].notna().any()}
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
