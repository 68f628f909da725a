"""Tables for the terminal."""

from typing import Any

from rich.table import Table


def score_table(report: dict[str, Any]) -> Table:
    """Lay out a `metrics.json`: a row a gender group, a column a metric.

    Args:
        report: Its content.
    """
    names = [name for name in report["scores"]["all"] if name != "mixtures"]
    table = Table("group", "mixtures", *names, title=f"{report['corpus']}, {report['split']} speakers")
    for group, scores in report["scores"].items():
        table.add_row(group, str(scores["mixtures"]), *(score_cell(scores[name]) for name in names))
    return table


def score_cell(score: dict[str, Any]) -> str:
    """Write a score as its mean and its interval.

    Args:
        score: As `describe` gives it.

    Example:
        >>> score_cell({"mean": 6.03, "median": 6.1, "ci95": [5.86, 6.2]})
        '6.03 (5.86 to 6.20)'
    """
    if score["ci95"] is None:
        return f"{score['mean']:.2f}"
    low, high = score["ci95"]
    return f"{score['mean']:.2f} ({low:.2f} to {high:.2f})"
