"""Tables for the terminal."""

from typing import Any

from rich.table import Table

METRICS = {
    "si_sdr": "SI-SDR (dB)",
    "sdr": "SDR (dB)",
    "si_sdri": "SI-SDRi (dB)",
    "sdri": "SDRi (dB)",
    "pesq": "PESQ",
    "stoi": "STOI",
}


def score_table(report: dict[str, Any]) -> Table:
    """Lay out a `metrics.json`: a row a gender group, a column a metric.

    Args:
        report: Its content.
    """
    names = [name for name in report["scores"]["all"] if name != "mixtures"]
    title = ", ".join([report["corpus"], f"{report['split']} speakers", *report.get("conditions", [])])
    table = Table("group", "mixtures", *names, title=title)
    for group, scores in report["scores"].items():
        table.add_row(group, str(scores["mixtures"]), *(score_cell(scores.get(name)) for name in names))
    return table


def counting_table(counting: dict[str, Any]) -> Table:
    """Lay out how often how many speakers were heard: a row a true number, a column a number heard.

    Args:
        counting: What `summarize_counts` returned.
    """
    columns = sorted({number for row in counting["confusion"].values() for number in row})
    title = f"counted right: {counting['accuracy']:.0%}"
    table = Table("speakers", *(f"{number} heard" for number in columns), title=title)
    for speakers, row in counting["confusion"].items():
        table.add_row(speakers, *(str(row[number]) for number in columns))
    return table


def score_cell(score: dict[str, Any] | None) -> str:
    """Write a score as its mean and its interval.

    Args:
        score: As `describe` gives it; None where there is none. NaN is of estimates that are not finite.

    Example:
        >>> score_cell({"mean": 6.03, "median": 6.1, "ci95": [5.86, 6.2]})
        '6.03 (5.86 to 6.20)'
    """
    if score is None:
        return ""
    if score["mean"] is None:
        return "NaN"
    if score["ci95"] is None:
        return f"{score['mean']:.2f}"
    low, high = score["ci95"]
    return f"{score['mean']:.2f} ({low:.2f} to {high:.2f})"
