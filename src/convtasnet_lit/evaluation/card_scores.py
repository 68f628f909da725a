"""What a model card says of the scores of its network: on clean mixtures, and under conditions."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from convtasnet_lit.errors import InputError
from convtasnet_lit.evaluation.scores import HELD_DB
from convtasnet_lit.evaluation.tables import METRICS, score_cell
from convtasnet_lit.weights.stored import StoredNetwork

CORPORA = {
    "aishell3": "AISHELL-3 (OpenSLR SLR93), Mandarin read by native speakers",
    "demo": "synthetic Mandarin by espeak-ng, no human speech",
    "voices": "real speech in nine languages and more, from Debian packages",
    "folder": "a corpus of the publisher's own",
    "mixed": "several corpora together",
    "librimix": "LibriMix, two or three readers of LibriSpeech",
}


def described(corpus: str) -> str:
    """Say what a corpus is, after its name."""
    return f"`{corpus}`: {CORPORA.get(corpus, 'a corpus')}"


def scored(scores: Mapping[str, Any]) -> list[str]:
    """List the metrics that a group was scored by."""
    return [name for name in METRICS if name in scores]


def clean_scores(stored: StoredNetwork) -> Mapping[str, Any] | None:
    """Read the test scores of these very weights on clean mixtures.

    Args:
        stored: The network.

    Raises:
        InputError: A file of scores is damaged.
    """
    return next((report for report in _reports(stored, "evaluation-test") if not report.get("conditions")), None)


def results(report: Mapping[str, Any]) -> str:
    """Write the section on clean mixtures.

    Args:
        report: What `clean_scores` returned.
    """
    rows = [
        {"mixtures of": group, "number": str(scores["mixtures"])}
        | {METRICS[name]: score_cell(scores.get(name)) for name in scored(report["scores"]["all"])}
        for group, scores in report["scores"].items()
    ]
    where = (
        f"{described(report['corpus'])}; {report['split']} speakers, mean and 95 % bootstrap interval over mixtures."
    )
    parts = [f"## Results\n\n{where}", _table(rows)]
    if "counting" in report:
        share, interval = report["counting"]["accuracy"], report["counting"]["ci95"]
        between = f" ({interval[0]:.1%} to {interval[1]:.1%})" if interval else ""
        parts.append(f"The number of speakers is found right in {share:.1%}{between} of the mixtures.")
    return "\n\n".join(parts)


def hardships(stored: StoredNetwork) -> list[str]:
    """Write the section on mixtures under conditions, if these weights were scored on some.

    Args:
        stored: The network.

    Raises:
        InputError: A file of scores is damaged.
    """
    rows, held = [], []
    for report in _reports(stored, "evaluation-test-*"):
        scores, condition = report["scores"]["all"], " and ".join(report["conditions"])
        number = scores["mixtures"]
        if "lone_held" in report:
            share = f"{report['lone_held']['share']:.0%}"
            held.append(f"Of {number} lone speakers {share} came out on one output, the other {HELD_DB:g} dB under it.")
        else:
            cells = {METRICS[name]: score_cell(scores[name]) for name in scored(scores)}
            rows.append({"condition": condition, "number": str(number), **cells})
    parts = ([_table(rows)] if rows else []) + held
    return ["\n\n".join(["## Under conditions", *parts])] if parts else []


def _reports(stored: StoredNetwork, folders: str) -> Iterator[Mapping[str, Any]]:
    """What was scored of these very weights; a folder may be of another checkpoint, or of an older one of its name."""
    for path in sorted(stored.run.glob(f"{folders}/metrics.json")) if stored.run else []:
        try:
            report: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if report.get("weights") == stored.digest and report["scores"]["all"]:
                yield report
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not as convtasnet_lit.evaluate writes it, perhaps cut short") from error


def _table(rows: list[dict[str, str]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([row.get(column, "") for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
