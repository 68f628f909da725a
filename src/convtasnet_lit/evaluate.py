"""Evaluate a checkpoint on unseen speakers: `python -m convtasnet_lit.evaluate checkpoint=runs/experiment-demo`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich import print as show

from convtasnet_lit.config import Config, DataConfig, EvaluateConfig, typed
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole
from convtasnet_lit.learning.trainer import pick_accelerator
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.model.checkpoint import checkpoint_config, find_checkpoint, network_from, read_checkpoint
from convtasnet_lit.reporting.scores import score_mixtures, summarize
from convtasnet_lit.reporting.tables import score_table


def evaluate(config: EvaluateConfig) -> tuple[dict[str, Any], Path]:
    """Score a checkpoint on the validation or test list and write what was measured.

    Args:
        config: The checkpoint, the metrics, where to write.

    Returns:
        What `metrics.json` holds, and the folder that holds it.

    Raises:
        InputError: The checkpoint or the data cannot be used.
    """
    file = find_checkpoint(Path(config.checkpoint))
    checkpoint = read_checkpoint(file)
    trained = typed(Config, checkpoint_config(checkpoint, file)).data
    data = MixtureDataModule(_evaluated_data(config.data, trained, file))
    mixtures = data.fixed_mixtures(config.split)
    listed = data.write_list(mixtures, config.split)
    folder = Path(config.output) if config.output else file.parent.parent / f"evaluation-{config.split.name}"
    network = network_from(checkpoint, file).to("cuda" if pick_accelerator(config.accelerator) == "gpu" else "cpu")
    names = [metric.name for metric in config.metrics]
    scores = score_mixtures(network, mixtures, names, trained.sample_rate, folder / "examples", config.examples)
    table = pd.concat([pd.read_csv(listed), scores], axis=1)
    report = {
        "checkpoint": str(file),
        "corpus": data.data.corpus.name,
        "split": config.split.name,
        "mixture_list": listed.name,
        "scores": summarize(table, names),
    }
    with written_whole(folder / "per_utterance.csv") as partial:
        table.to_csv(partial, index=False)
    with written_whole(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report, folder


def _evaluated_data(asked: DataConfig | None, trained: DataConfig, file: Path) -> DataConfig:
    """The data asked for, at the network's rate; else what it was trained on."""
    data = trained if asked is None else replace(asked, sample_rate=trained.sample_rate, normalize=trained.normalize)
    if data.num_speakers != trained.num_speakers:
        raise InputError(f"data.num_speakers: {file} separates {trained.num_speakers}, not {data.num_speakers}")
    return data


def _run(config: EvaluateConfig, _: Path) -> None:
    report, folder = evaluate(config)
    show(score_table(report))
    show(f"{folder}/metrics.json, per_utterance.csv and examples/")


main = hydra_door("evaluate", EvaluateConfig, _run)

if __name__ == "__main__":
    main()
