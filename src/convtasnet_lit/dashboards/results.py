"""The evaluation of a run in the W&B run of its training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from convtasnet_lit.training.trainer import wandb_run


def log_evaluation(run: Path, settings: Mapping[str, Any], report: Mapping[str, Any], utterances: pd.DataFrame) -> None:
    """Add a table of utterances, one by gender pair, and the means with 95 % intervals to a run that W&B knows.

    Args:
        run: The folder of the run.
        settings: Its `logger` group: project and group.
        report: What `metrics.json` holds.
        utterances: What `per_utterance.csv` holds.
    """
    import wandb

    split = "-".join([report["split"], *report.get("conditions", [])])
    pairs = pd.json_normalize([{"pair": pair, **scores} for pair, scores in report["scores"].items()])
    known = pairs.drop(columns=[name for name in pairs if str(name).endswith("ci95")])
    place = run.absolute()  # W&B writes from a process of its own, which may have begun in another folder
    with wandb.init(dir=place, resume="allow", **wandb_run(run, settings["project"], settings["group"])) as board:
        board.log(
            {f"{split}/utterances": wandb.Table(dataframe=utterances), f"{split}/pairs": wandb.Table(dataframe=known)}
        )
        for name, scores in report["scores"]["all"].items():
            if isinstance(scores, dict):
                low, high = scores["ci95"] or (None, None)
                ends = {"": scores["mean"], "_low": low, "_high": high}
                board.summary.update({f"{split}/{name}{end}": value for end, value in ends.items()})
