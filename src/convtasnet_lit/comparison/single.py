"""One run by itself, where nothing is compared: its scores by who speaks, and what is said of it."""

import numpy as np
import pandas as pd

from convtasnet_lit.comparison.answers import GROUPS, Answers
from convtasnet_lit.comparison.arms import Sweep
from convtasnet_lit.comparison.runs import METRIC, Run
from convtasnet_lit.comparison.statistics import Estimate
from convtasnet_lit.comparison.words import printed
from convtasnet_lit.evaluation.tables import METRICS, score_cell

TITLES = {  # where a page of several runs says more
    "scores": "Means over the mixtures, with 95 % intervals",
    "runs": "The run",
    "mixtures": "The mixtures that were separated worst and best",
}
CAPTIONS = {
    "scores": "SI-SDR improvement by who speaks. Diamond: mean. Line: 95 % interval over the mixtures.",
    "curves-by-epoch": "Learning curve: SI-SDR improvement on the validation speakers.",
    "loss": "Loss, the negative SI-SDR, of training and validation. Diamond: the lowest, which is kept.",
    "softest": "Improvement (mean of the speakers) by the softest speaker's level over the others, which in a clean "
    "mixture is about the SI-SDR that this speaker starts from. Points: mixtures. Line, of 100 mixtures "
    "or more: means of tenths.",
}


def by_group(sweep: Sweep) -> dict[str, Estimate]:
    """Return a lone run's SI-SDRi by who speaks, with the intervals over the mixtures that evaluation wrote.

    Args:
        sweep: Of one evaluated run.
    """
    run, found = sweep.baseline.scored[0], {}
    groups = {"all": run.scores[METRIC]} | {str(name): rows for name, rows in run.scores.groupby("group")[METRIC]}
    for group, values in groups.items():
        score = run.evaluation.get("scores", {}).get(group, {}).get(METRIC) or {}
        mean, (low, high) = float(values.mean()), score.get("ci95") or (np.nan, np.nan)
        if np.isfinite(mean):
            found[GROUPS.get(group, group)] = Estimate(mean, low, high, np.nan, 1, ())
    return found


def sentences(sweep: Sweep) -> list[str]:
    """Say what a lone run scored, and how it was trained.

    Args:
        sweep: Of one evaluated run.
    """
    run, found = sweep.baseline.scored[0], by_group(sweep)
    speakers = sweep.baseline.voices().shape[1]
    score = printed(found["all"], " dB")
    said = [f"SI-SDRi: {score} over {len(sweep.baseline.mixtures)} mixtures of {speakers} test speakers"]
    return [*said, _training(run)] if len(run.history) else said


def tables(answers: Answers) -> dict[str, pd.DataFrame]:
    """Lay out every score of a lone run by who speaks, and its training.

    Args:
        answers: Of one evaluated run.
    """
    scores = answers.sweep.baseline.scored[0].evaluation.get("scores", {})
    rows = [
        {"mixtures of": GROUPS.get(group, group), "mixtures": each.get("mixtures")}
        | {title: score_cell(each.get(metric)) for metric, title in METRICS.items() if metric in scores.get("all", {})}
        for group, each in scores.items()
    ]
    return {"scores": pd.DataFrame(rows)} if rows else {}


def _training(run: Run) -> str:
    minutes, epochs, evaluated = run.history["seconds"].sum() / 60, len(run.history), run.evaluation.get("epoch")
    time = f"{minutes:.2g} minutes" if minutes < 99 else f"{minutes / 60:.1f} hours"
    text = f"Trained for {epochs} epoch{'s' * (epochs != 1)} in {time}"
    return text if evaluated is None else f"{text}; the network of epoch {evaluated + 1} was evaluated"
