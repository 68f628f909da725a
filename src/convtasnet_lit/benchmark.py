"""Measure speed on this machine: `python -m convtasnet_lit.benchmark`."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich import print as show
from rich.table import Table

from convtasnet_lit.config import CorpusName, DataConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule

ROUNDS = 5


def loading(data: DataConfig) -> dict[str, float]:
    """Count training mixtures a second that one worker renders on one core, straight from the store.

    Args:
        data: The corpus and the segment.
    """
    mixtures = MixtureDataModule(data).training_mixtures()
    numbers = iter(range(10_000_000))
    return {"mixtures a second": 200 / median_seconds(lambda: [mixtures[0, next(numbers)] for _ in range(200)])}


def median_seconds(run: Callable[[], object]) -> float:
    """Return the median time of a few rounds, after one to warm up.

    Args:
        run: What to time.
    """
    run()
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    """Measure, print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser("benchmark", description="Median speeds on this machine, one thread.")
    parser.add_argument("--corpus", choices=[name.name for name in CorpusName], default="demo")
    parser.add_argument("--root", default="data/demo", help="folder of the corpus")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        data = DataConfig(corpus=CorpusName[options.corpus], root=options.root, segment="4s")
        figures = {"loading, 2 speakers, 4 s, 16 kHz, one core": loading(data)}
    except InputError as error:
        sys.exit(f"error: {error}")
    table = Table("part", "figure", "")
    for part, values in figures.items():
        for name, value in values.items():
            table.add_row(part, name, f"{value:,.0f}")
    show(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
