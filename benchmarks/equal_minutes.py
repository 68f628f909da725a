"""Train ours and the peers for the same minutes of one core: `python -m benchmarks.equal_minutes train --help`."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import process_time
from typing import Any

import pandas as pd
import torch
import yaml
from hydra import compose, initialize_config_dir
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks import printing
from benchmarks.contestants import build, not_installed
from benchmarks.recipes import SETTINGS, SYSTEMS, Recipe, recipe_of
from benchmarks.scoring import Loss
from benchmarks.standings import table
from benchmarks.timing import threads_of_torch
from convtasnet_lit.command_line import reported
from convtasnet_lit.comparison.runs import EVALUATION
from convtasnet_lit.config import Config, OptimizerConfig, Split, typed
from convtasnet_lit.doors import CONF_DIR, explained
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.evaluation.scores import summarize
from convtasnet_lit.evaluation.separating import score_mixtures
from convtasnet_lit.files import built_whole
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.plan import mixture_table
from convtasnet_lit.model.processor import warn_of_slow_bfloat16
from convtasnet_lit.training.module import make_optimizer

OUR_RUN = ("experiment=people", "schedule=warmup_cosine", "optimizer.name=muon", "optimizer.lr=3e-3")
METRICS = ["si_sdr", "si_sdri"]
OVERRIDES = Path(".hydra", "overrides.yaml")  # in the folder of a run, as Hydra leaves them


def run(
    config: Config,
    system: str,
    settings: str,
    minutes: float,
    seed: int,
    out: Path,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a contestant, score its last weights on the test mixtures, and leave what the package's own runs leave.

    Args:
        config: Our run, whose data all contestants train on.
        system: One of `SYSTEMS`.
        settings: One of `SETTINGS`.
        minutes: Of this process's CPU time.
        seed: Of the weights and of the mixtures.
        out: Folder of the results; a run that is there is not repeated.
        overrides: With which our run was composed.

    Returns:
        The folder of the run.

    Raises:
        InputError: The peer is not installed, the data cannot be used, or a run that is there had other overrides.
    """
    folder = out / f"{minutes:g}min" / f"{system}-{settings}-{seed}"
    if folder.exists():
        _refuse_others(folder, list(overrides))
        return folder
    recipe = recipe_of(system, settings, config)
    network, loss = _built(system, recipe, config.data.num_speakers, seed)
    data = replace(config.data, segment=f"{recipe.seconds:g}s")
    module = MixtureDataModule(data, replace(config.augment, speed_range=recipe.speed_range), seed)
    drawn, clip_norm = batches(module, recipe.batch), config.trainer.gradient_clip_norm
    steps, seconds = train(network, loss, drawn, recipe, clip_norm, 60 * minutes)
    about = {
        "system": system,
        "settings": settings,
        "minutes": minutes,
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "steps": steps,
        "audio_seconds": steps * recipe.batch * recipe.seconds,
        "cpu_seconds": round(seconds, 2),
    }
    _write(folder, about, list(overrides), network, _scored(network, module))
    return folder


def _refuse_others(folder: Path, overrides: list[str]) -> None:
    file = folder / OVERRIDES
    before = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else []
    if before != overrides:
        raise InputError(f"{folder}: was trained with {before}, not with {overrides}; choose another --out")


def _built(system: str, recipe: Recipe, num_sources: int, seed: int) -> tuple[nn.Module, Loss]:
    if recipe.bfloat16:
        warn_of_slow_bfloat16("cpu")
    torch.manual_seed(seed)
    try:
        return build(SYSTEMS[system].network, recipe.shape, num_sources), SYSTEMS[system].make_loss()
    except ImportError as error:
        raise InputError(f"--system: {system} is {not_installed(error)}") from error


def _scored(network: nn.Module, module: MixtureDataModule) -> pd.DataFrame:
    listed = module.fixed_mixtures(Split.test)
    scores = score_mixtures(network.eval(), listed, METRICS, module.data.sample_rate)
    return pd.concat([mixture_table(listed.specs, module.corpus.store.index), scores], axis=1)


def _write(folder: Path, about: dict[str, Any], overrides: list[str], network: nn.Module, table: pd.DataFrame) -> None:
    asked = {key: about[key] for key in ("system", "settings", "minutes", "seed")}
    report = json.dumps(about | {"scores": summarize(table, METRICS)}, indent=2)
    with built_whole(folder) as place:
        (place / EVALUATION).mkdir()
        (place / EVALUATION / "metrics.json").write_text(f"{report}\n", encoding="utf-8")
        table.assign(**about).to_csv(place / EVALUATION / "per_utterance.csv", index=False)
        save_file(network.state_dict(), place / "weights.safetensors")
        (place / ".hydra").mkdir()  # last, as it makes a folder a run
        (place / OVERRIDES).write_text(yaml.safe_dump(overrides), encoding="utf-8")
        (place / ".hydra" / "config.yaml").write_text(yaml.safe_dump(asked, sort_keys=False), encoding="utf-8")


def batches(module: MixtureDataModule, size: int) -> Iterator[Tensor]:
    """Draw training mixtures as a run draws them, epoch after epoch: (batch, sources + 1, samples).

    Args:
        module: Whose.
        size: Mixtures in a batch.
    """
    mixtures, epoch = module.training_mixtures(), module.data.train_mixtures
    for first in count(0, size):
        yield torch.stack([mixtures[divmod(number, epoch)].parts for number in range(first, first + size)])


def train(
    network: nn.Module,
    loss: Loss,
    batches: Iterator[Tensor],
    recipe: Recipe,
    clip_norm: float,
    seconds: float,
) -> tuple[int, float]:
    """Train a network as long as it may; a step that was begun in time is finished.

    Args:
        network: (batch, samples) -> (batch, sources, samples).
        loss: Of estimates and sources.
        batches: The sources and what else is heard, which are drawn within the time.
        recipe: Rate and precision.
        clip_norm: Of the gradients.
        seconds: Of this process's CPU time.

    Returns:
        The steps that were made, and the seconds they took.
    """
    optimizer = make_optimizer(network, OptimizerConfig(recipe.optimizer, recipe.learning_rate))
    started, steps = process_time(), 0
    while (used := process_time() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(used / seconds)
        parts = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            estimates = network(parts.sum(1))
        optimizer.zero_grad()
        loss(estimates.float(), parts[:, :-1]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
        optimizer.step()
        steps += 1
    return steps, used


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser("equal_minutes", description="Train for the same minutes of one core.")
    doors = parser.add_subparsers(dest="door", required=True)
    training = doors.add_parser("train", help="train and score one contestant; a run that is there is not repeated")
    training.add_argument("--system", choices=SYSTEMS, required=True, metavar="SYSTEM", help=", ".join(SYSTEMS))
    training.add_argument("--settings", choices=SETTINGS, default="recipe", help="its own, or ours; default recipe")
    training.add_argument("--minutes", type=float, default=10.0, help="of the process's CPU time; default 10")
    training.add_argument("--seed", type=int, default=0, help="of weights and mixtures; default 0")
    training.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"over {' '.join(OUR_RUN)}")
    tabling = doors.add_parser("table", help="print what was found as Markdown")
    for door in (training, tabling):
        door.add_argument("--out", type=Path, default=Path("equal_minutes"), help="folder; default equal_minutes")
    return parser


def composed(overrides: list[str]) -> Config:
    """Compose our run.

    Args:
        overrides: Of its settings.
    """
    with explained(), initialize_config_dir(str(CONF_DIR.absolute()), version_base="1.3"):
        return typed(Config, compose("train", [*OUR_RUN, *overrides]))


def main() -> None:
    """Train and score one contestant, or print the table."""
    with reported():
        options = arguments().parse_args()
        if options.door == "table":
            command = shlex.join(["python", "-m", "benchmarks.equal_minutes", *sys.argv[1:]])
            print(printing.markdown(printing.machine(), command, table(options.out)))
            return
        require(0 < options.minutes <= 24 * 60, "--minutes", options.minutes, "above 0 and at most 1440")
        require(0 <= options.seed < 2**32, "--seed", options.seed, "from 0 to 4294967295")
        with threads_of_torch(1):
            config = composed(options.overrides)
            asked = options.system, options.settings, options.minutes, options.seed, options.out
            folder = run(config, *asked, options.overrides)
        found = json.loads((folder / EVALUATION / "metrics.json").read_text(encoding="utf-8"))
        print(f"{folder}: {found['steps']} steps on {found['audio_seconds']:g} s of audio in {found['cpu_seconds']} s")


if __name__ == "__main__":
    main()
