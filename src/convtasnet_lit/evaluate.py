"""Evaluate a checkpoint on unseen speakers: `python -m convtasnet_lit.evaluate checkpoint=runs/experiment-demo`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich import print as show

from convtasnet_lit.config import Config, DataConfig, DataOverrides, EvaluateConfig, PrepareConfig, Split, plain, typed
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole
from convtasnet_lit.learning.trainer import pick_device
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.plan import mixture_table
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
    _refuse_known_speakers(data, trained, checkpoint, config.split)
    mixtures = data.fixed_mixtures(config.split)
    listed = data.write_list(mixtures, config.split)
    folder = Path(config.output) if config.output else file.parent.parent / f"evaluation-{config.split.name}"
    network = network_from(checkpoint, file).to(pick_device(config.accelerator))
    names = [metric.name for metric in config.metrics]
    examples = folder / "examples"
    scores = score_mixtures(network, mixtures, names, trained.sample_rate, examples, config.examples, config.bfloat16)
    table = pd.concat([mixture_table(mixtures.specs, data.corpus.store.index), scores], axis=1)
    report = {
        "checkpoint": str(file),
        "corpus": data.data.corpus.name,
        "split": config.split.name,
        "bfloat16": config.bfloat16,
        "mixture_list": listed.name,
        "scores": summarize(table, names),
    }
    with written_whole(folder / "per_utterance.csv") as partial:
        table.to_csv(partial, index=False)
    with written_whole(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report, folder


def _evaluated_data(overrides: DataOverrides, trained: DataConfig, file: Path) -> DataConfig:
    """What was trained on, or the corpus asked for, with what else was asked for, at the network's rate."""
    asked = {key: value for key, value in plain(overrides).items() if value is not None}
    base = {} if "corpus" in asked else plain(trained)
    kept = {"sample_rate": trained.sample_rate, "normalize": trained.normalize}
    data = typed(PrepareConfig, {"data": {**base, **asked, **kept}}).data.at_absolute_paths()
    if data.num_speakers != trained.num_speakers:
        raise InputError(f"data.num_speakers: {file} separates {trained.num_speakers}, not {data.num_speakers}")
    return data


def _refuse_known_speakers(
    data: MixtureDataModule, trained: DataConfig, checkpoint: dict[str, Any], split: Split
) -> None:
    """Refuse to call those test speakers whom this network has met."""
    same = (data.data.corpus, data.data.root) == (trained.corpus, trained.root)
    met = set(checkpoint.get("MixtureDataModule", {}).get("speakers", ())) & set(data.corpus.splits.test)
    if same and split is Split.test and met:
        names = ", ".join(sorted(met)[:5])
        raise InputError(f"data.test_speakers: {names} were in this network's training or validation")


def _run(config: EvaluateConfig, _: Path) -> None:
    report, folder = evaluate(config)
    show(score_table(report))
    print(f"{folder}/metrics.json, per_utterance.csv and examples/")


main = hydra_door("evaluate", EvaluateConfig, _run)

if __name__ == "__main__":
    main()
