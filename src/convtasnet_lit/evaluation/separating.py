"""Separate and score each mixture of a list."""

from pathlib import Path

import pandas as pd
import torch
from rich.progress import track
from torch import nn

from convtasnet_lit.evaluation.pictures import write_example
from convtasnet_lit.evaluation.scores import score
from convtasnet_lit.inference.counting import heard
from convtasnet_lit.mixing.dataset import FixedMixtures
from convtasnet_lit.model.processor import warn_of_slow_bfloat16


def score_mixtures(
    network: nn.Module,
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
        network: (batch, samples) -> (batch, sources, samples), in evaluation mode, where it shall compute.
        mixtures: The list.
        names: The metrics.
        sample_rate: Hz.
        examples: Folder of the example mixtures.
        num_examples: How many.
        bfloat16: Let the network multiply in bfloat16.
        counting: Count the speakers that are heard in the estimates.

    Returns:
        One row a mixture, as of `score`; with `counting` also how many `speakers` it holds, and how many are `heard`.
    """
    device, rows = next(network.parameters()).device, []
    if bfloat16:
        warn_of_slow_bfloat16(device.type)
    for number in track(range(len(mixtures)), "evaluating"):
        item = mixtures[number]
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            estimates = network(item.mixture.to(device).unsqueeze(0))[0].float()
        counts = {"speakers": len(mixtures.specs[number].rows), "heard": int(heard(estimates.cpu().numpy()).sum())}
        rows.append(score(names, estimates, item, sample_rate) | (counts if counting else {}))
        if number < num_examples:
            write_example(examples / f"{number}", item, estimates.cpu(), sample_rate)
    return pd.DataFrame.from_records(rows)
