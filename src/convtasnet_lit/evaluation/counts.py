"""How well a network counts the speakers it hears."""

from typing import Any

import pandas as pd

from convtasnet_lit.evaluation.scores import interval


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
