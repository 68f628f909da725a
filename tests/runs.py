"""The folder of a run as training leaves it, made in a moment."""

import json
from pathlib import Path

import torch

from convtasnet_lit.config import Config, plain
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.weights.checkpoint import write_checkpoint
from convtasnet_lit.weights.pretrained import read_stored

SPEAKERS, RECORDINGS = ["S1", "S2"], ["0123456789ab"]
SCORE = {"mean": 6.034, "median": 6.1, "ci95": [5.86, 6.2]}


def write_run(config: Config, folder: Path, name: str = "best.ckpt", seed: int = 0, batches_done: int = 0) -> Path:
    """Write a checkpoint of the third of five epochs, its weights random, and the history."""
    torch.manual_seed(seed)
    module = SeparationModule(plain(config))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.2)
    state = {"state_dict": module.state_dict(), "hyper_parameters": {"config": plain(config)}, "epoch": 2}
    met = {"speakers": SPEAKERS, "recordings": RECORDINGS, "batches_done": batches_done}
    write_checkpoint({**state, "MixtureDataModule": met}, folder / "checkpoints" / name)
    rows = [f"{epoch},{9 - epoch}.5,{5.25 if epoch == 2 else 1.0}" for epoch in range(5)]
    (folder / "history.csv").write_text("\n".join(["epoch,val/loss,val/si_sdri", *rows]) + "\n")
    return folder


def write_scores(folder: Path, corpus: str) -> Path:
    """Write a `metrics.json` as evaluation does."""
    weights = read_stored(folder).digest
    groups = {"all": {"mixtures": 6, "si_sdri": SCORE}, "FM": {"mixtures": 1, "si_sdri": SCORE | {"ci95": None}}}
    report = {"weights": weights, "corpus": corpus, "split": "test", "scores": groups}
    path = folder / "evaluation-test" / "metrics.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report))
    return path
