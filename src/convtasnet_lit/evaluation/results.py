"""What a run left behind beside its network: settings, progress, scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf.errors import OmegaConfBaseException

from convtasnet_lit.config import Config, typed
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.stored import StoredNetwork


@dataclass(frozen=True)
class Results:
    """What is known of the training of a network and of its scores.

    Args:
        config: The training's; none for networks that were not trained here.
        progress: Which epoch of how many the network is of, and its validation scores; empty where unknown.
        scores: What `evaluation-test/metrics.json` holds; none if it is not of these very weights.
    """

    config: Config | None = None
    progress: str = ""
    scores: Mapping[str, Any] | None = None


def results_of(stored: StoredNetwork) -> Results:
    """Collect what stands in the folder of a network's run.

    Args:
        stored: The network; of one that was not trained here nothing is known.

    Raises:
        InputError: A file of the run is damaged, or the configuration is none.
    """
    if stored.config is None:
        return Results()
    try:
        config = typed(Config, stored.config)
    except OmegaConfBaseException as error:
        raise InputError(
            f"{stored.file}: its configuration is none of convtasnet_lit: {str(error).splitlines()[0]}"
        ) from error
    if stored.run is None:
        return Results(config)
    return Results(config, _progress(stored.run / "history.csv", stored.epoch), _scores(stored.run, stored))


def _progress(history: Path, epoch: int | None) -> str:
    if epoch is None or not history.is_file():
        return ""
    try:
        table = pd.read_csv(history).set_index("epoch")
        scores = table.loc[epoch].filter(like="val/")
        listed = ", ".join(f"{str(name).removeprefix('val/')} {value:.2f}" for name, value in scores.items())
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{history}: has no row of epoch {epoch}, or is damaged") from error
    return f"epoch {epoch + 1} of {len(table)}; validation {listed}"


def _scores(run: Path, stored: StoredNetwork) -> Mapping[str, Any] | None:
    """Those of these very weights: another checkpoint of the run, or an older one of its name, may have been scored."""
    path = run / "evaluation-test" / "metrics.json"
    if not path.is_file():
        return None
    try:
        report: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return report if report.get("weights") == stored.digest and report["scores"]["all"] else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not as convtasnet_lit.evaluate writes it, perhaps cut short") from error
