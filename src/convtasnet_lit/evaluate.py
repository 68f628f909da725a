"""Evaluate a checkpoint on unseen speakers: `python -m convtasnet_lit.evaluate checkpoint=runs/experiment-demo`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich import print as show
from rich.progress import track

from convtasnet_lit.config import Config, EvaluateConfig, typed
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import InputError
from convtasnet_lit.learning.metrics import separation_scores
from convtasnet_lit.learning.trainer import pick_accelerator
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.model.checkpoint import checkpoint_config, find_checkpoint, network_from, read_checkpoint
from convtasnet_lit.reporting.examples import write_example
from convtasnet_lit.reporting.scores import summarize
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
    trained = typed(Config, checkpoint_config(checkpoint, file))
    data_config = trained.data if config.data is None else replace(config.data, sample_rate=trained.data.sample_rate)
    if data_config.num_speakers != trained.data.num_speakers:
        raise InputError(
            f"data.num_speakers: {file} separates {trained.data.num_speakers}, not {data_config.num_speakers}"
        )
    data = MixtureDataModule(data_config)
    mixtures = data.fixed_mixtures(config.split)
    listed = data.write_list(mixtures, config.split)
    folder = Path(config.output) if config.output else file.parent.parent / f"evaluation-{config.split.name}"
    device = "cuda" if pick_accelerator(config.accelerator) == "gpu" else "cpu"
    network, names = network_from(checkpoint, file).to(device), [metric.name for metric in config.metrics]
    rows = []
    for number in track(range(len(mixtures)), "evaluating"):
        item = mixtures[number]
        with torch.inference_mode():
            estimates = network(item.mixture.to(device).unsqueeze(0))
            batch = (estimates, item.sources.to(device).unsqueeze(0), item.mixture.to(device).unsqueeze(0))
            scores = separation_scores(names, *batch, trained.data.sample_rate)
        rows.append({name: value.item() for name, value in scores.items()})
        if number < config.examples:
            write_example(folder / "examples" / f"{number}", item, estimates[0].cpu(), trained.data.sample_rate)
    table = pd.concat([pd.read_csv(listed), pd.DataFrame.from_records(rows)], axis=1)
    report = {
        "checkpoint": str(file),
        "corpus": data_config.corpus.name,
        "split": config.split.name,
        "mixture_list": listed.name,
        "scores": summarize(table, names),
    }
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "per_utterance.csv", index=False)
    (folder / "metrics.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report, folder


def _run(config: EvaluateConfig, _: Path) -> None:
    report, folder = evaluate(config)
    show(score_table(report))
    show(f"{folder}/metrics.json, per_utterance.csv and examples/")


main = hydra_door("evaluate", EvaluateConfig, _run)

if __name__ == "__main__":
    main()
