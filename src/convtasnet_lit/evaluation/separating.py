"""Separate and score each mixture of a list."""

from pathlib import Path

import pandas as pd
import torch
from rich.progress import track
from torch import Tensor, nn

from convtasnet_lit.evaluation.pictures import write_example
from convtasnet_lit.evaluation.scores import margin_db, score
from convtasnet_lit.inference.counting import heard
from convtasnet_lit.mixing.dataset import FixedMixtures, Mixture
from convtasnet_lit.model.processor import warn_of_slow_bfloat16

EXTREMES = 2  # mixtures from either end of the scores that are written to listen to


def score_mixtures(
    network: nn.Module,
    mixtures: FixedMixtures,
    names: list[str],
    sample_rate: int,
    bfloat16: bool = False,
    counting: bool = False,
) -> pd.DataFrame:
    """Separate and score each mixture of a list.

    Args:
        network: (batch, samples) -> (batch, sources, samples), in evaluation mode, where it shall compute.
        mixtures: The list.
        names: The metrics.
        sample_rate: Hz.
        bfloat16: Let the network multiply in bfloat16.
        counting: Count the speakers that are heard in the estimates.

    Returns:
        One row a mixture, as of `score`; with `counting` also how many `speakers` it holds, and how many are `heard`;
        if all hold one speaker, also `margin_db`.
    """
    if bfloat16:
        warn_of_slow_bfloat16(next(network.parameters()).device.type)
    rows, lone = [], all(len(spec.rows) == 1 for spec in mixtures.specs)
    for number in track(range(len(mixtures)), "evaluating"):
        item = mixtures[number]
        estimates = _separated(network, item, bfloat16)
        counts = {"speakers": len(mixtures.specs[number].rows), "heard": int(heard(estimates.cpu().numpy()).sum())}
        margin = {"margin_db": margin_db(estimates)} if lone else {}
        rows.append(score(names, estimates, item, sample_rate) | (counts if counting else {}) | margin)
    return pd.DataFrame.from_records(rows)


def choose_examples(scores: pd.DataFrame, first: int) -> list[int]:
    """Return the mixtures to listen to: the first ones, which are the same for every network, the worst and the best.

    Args:
        scores: What `score_mixtures` returned; judged by SI-SDRi, else by the first metric.
        first: How many of the first ones; of 0 there are none at all.

    Example:
        >>> choose_examples(pd.DataFrame({"si_sdri": [3.0, 9.0, 2.0, 1.0, 8.0, 7.0]}), 1)
        [0, 3, 2, 4, 1]
    """
    judged = scores["si_sdri" if "si_sdri" in scores else scores.columns[0]].dropna().sort_values(kind="stable").index
    chosen = [*range(min(first, len(scores))), *judged[:EXTREMES], *judged[-EXTREMES:]] if first else []
    return list(dict.fromkeys(chosen))


def write_examples(
    network: nn.Module,
    mixtures: FixedMixtures,
    numbers: list[int],
    folder: Path,
    sample_rate: int,
    bfloat16: bool = False,
) -> None:
    """Separate some mixtures of a list, and write them to listen to.

    Args:
        network: In evaluation mode, where it shall compute.
        mixtures: The list.
        numbers: Which.
        folder: Gets a folder for each, called by its number.
        sample_rate: Hz.
        bfloat16: Let the network multiply in bfloat16.
    """
    for number in numbers:
        estimates = _separated(network, mixtures[number], bfloat16)
        write_example(folder / f"{number}", mixtures[number], estimates.cpu(), sample_rate)


def _separated(network: nn.Module, item: Mixture, bfloat16: bool) -> Tensor:
    device = next(network.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        estimates: Tensor = network(item.mixture.to(device).unsqueeze(0))[0].float()
    return estimates
