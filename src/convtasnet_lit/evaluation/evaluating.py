"""An evaluation from a checkpoint to what is written of it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from convtasnet_lit.config import EvaluateConfig
from convtasnet_lit.devices import find_device
from convtasnet_lit.evaluation.guard import evaluated_data, output_folder, refuse_known_speakers
from convtasnet_lit.evaluation.scores import summarize, summarize_counts, summarize_margins
from convtasnet_lit.evaluation.separating import choose_examples, score_mixtures, write_examples
from convtasnet_lit.files import written_whole
from convtasnet_lit.weights.pretrained import read_stored
from convtasnet_lit.weights.shipped import DEFAULT


def evaluate(config: EvaluateConfig) -> tuple[dict[str, Any], Path]:
    """Score a checkpoint on the validation or test list and write what was measured.

    Args:
        config: The checkpoint, the metrics, where to write.

    Returns:
        What `metrics.json` holds, and the folder that holds it.

    Raises:
        InputError: The checkpoint or the data cannot be used.
    """
    checkpoint = DEFAULT if config.checkpoint is None else config.checkpoint
    stored = read_stored(checkpoint)
    data = evaluated_data(config.data, stored, config.conditions)
    refuse_known_speakers(data, stored, config.split)
    mixtures = data.fixed_mixtures(config.split)
    listed = data.write_list(mixtures, config.split)
    by_default = output_folder(stored, checkpoint, config.split, config.conditions)
    folder = Path(config.output) if config.output else by_default
    network = stored.build().to(find_device(config.accelerator.name, "accelerator"))
    names = [metric.name for metric in config.metrics]
    counting = data.data.mixed_counts
    scores = score_mixtures(network, mixtures, names, stored.sample_rate, config.bfloat16, counting)
    examples = choose_examples(scores, config.examples)
    write_examples(network, mixtures, examples, folder / "examples", stored.sample_rate, config.bfloat16)
    table = pd.concat([mixtures.table(), scores], axis=1)
    report: dict[str, Any] = {
        "checkpoint": str(stored.file),
        "weights": stored.digest,
        "epoch": stored.epoch,
        "corpus": data.data.corpus.name,
        "split": config.split.name,
        "conditions": [condition.name for condition in config.conditions],
        "target": data.data.target.name,
        "bfloat16": config.bfloat16,
        "mixture_list": listed.name,
        "not_finite": table["mixture"][~table["finite"]].tolist(),
        "examples": examples,
        "scores": summarize(table, names),
    }
    if counting:
        report["counting"] = summarize_counts(table)
    if "margin_db" in table:
        report["lone_held"] = summarize_margins(table)
    with written_whole(folder / "per_utterance.csv") as partial:
        table.to_csv(partial, index=False)
    with written_whole(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return report, folder
