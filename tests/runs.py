"""The folder of a run as training leaves it, made in a moment."""

import json
from pathlib import Path

import torch

from convtasnet_lit.config import Config, plain
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.weights.checkpoint import write_checkpoint

SPEAKERS = ["S1", "S2"]
SCORE = {"mean": 6.034, "median": 6.1, "ci95": [5.86, 6.2]}


def write_run(config: Config, folder: Path, name: str = "best.ckpt") -> Path:
    """Write a checkpoint of the third of five epochs, its weights random, and the history."""
    torch.manual_seed(0)
    module = SeparationModule(plain(config))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.2)
    state = {"state_dict": module.state_dict(), "hyper_parameters": {"config": plain(config)}, "epoch": 2}
    write_checkpoint({**state, "MixtureDataModule": {"speakers": SPEAKERS}}, folder / "checkpoints" / name)
    rows = [f"{epoch},{9 - epoch}.5,{5.25 if epoch == 2 else 1.0}" for epoch in range(5)]
    (folder / "history.csv").write_text("\n".join(["epoch,val/loss,val/si_sdri", *rows]) + "\n")
    return folder


def write_scores(folder: Path, corpus: str, checkpoint: str = "runs/x/checkpoints/best.ckpt", epoch: int = 2) -> Path:
    """Write a `metrics.json` as evaluation does."""
    groups = {"all": {"mixtures": 6, "si_sdri": SCORE}, "FM": {"mixtures": 1, "si_sdri": SCORE | {"ci95": None}}}
    report = {"checkpoint": checkpoint, "epoch": epoch, "corpus": corpus, "split": "test", "scores": groups}
    path = folder / "evaluation-test" / "metrics.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report))
    return path
