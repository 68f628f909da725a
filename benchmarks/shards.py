"""Measure stores of many shards: `python -m benchmarks.shards`, some minutes, 2 GB of memory, sparse files.

How opening, planning and looking up grow with hours; a cold and a warm cache; drawing by active shards.
`--hours 1 --epochs 1` is the smallest of it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import pandas as pd

from benchmarks.contestants import SAMPLE_RATE
from benchmarks.corpora import write_corpus
from benchmarks.loading import quietly
from benchmarks.timing import in_fresh_process, resident_bytes
from convtasnet_lit.corpus.preparation import SHARD_BYTES
from convtasnet_lit.corpus.store import ABOUT, FORMAT_VERSION, INDEX, LEFT_OUT, Store, shard_name
from convtasnet_lit.data_config import CorpusName, DataConfig
from convtasnet_lit.mixing.active import active_shards, within
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.dataset import Mixture, TrainingMixtures
from convtasnet_lit.mixing.plan import Draw, MixtureSpec, Speakers, training_mixture

T = TypeVar("T")

HOURS = (1, 10, 100, 1000)
SECONDS = 3.5  # of an utterance, as in AISHELL-3
SPEAKERS = 200
PLANNED = 2000  # mixtures whose planning and reading are timed
LOADED = 200  # mixtures that are rendered from a store and from a cache
ROUNDS = 5
UTTERANCES = 20  # of each speaker of the temporary corpus that is prepared
SHARDS = 100  # of the store that is drawn from by active shards
AN_EPOCH = 20_000  # mixtures whose pairs are counted


def growth(hours: Iterable[int]) -> None:
    """Print how opening, planning, looking up and reading grow with hours, and the memory of a loader."""
    header("hours", "shards", "open, s", "plan, us", "look up, us", "read, us", "opened, MB", "after reading, MB")
    for count in hours:
        shards = max(1, round(2 * SAMPLE_RATE * 3600 * count / SHARD_BYTES))
        with TemporaryDirectory() as name:
            synthetic(Path(name, "store"), count, shards)
            row(count, shards, *in_fresh_process(grown, Path(name, "store")))


def grown(path: Path) -> list[float]:
    """Open a store and read from it; memory is a process's own, without the files it has mapped."""
    before = resident_bytes("RssAnon")
    store, opened = timed(lambda: Store.open(path))
    draw = drawing(store)
    after_opening = resident_bytes("RssAnon") - before
    specs, planned = timed(lambda: [plan(draw, number) for number in range(PLANNED)])
    pieces = [piece for spec in specs for piece in zip(spec.rows, spec.starts, spec.counts, strict=True)]
    _, looked_up = timed(lambda: [store.samples(*piece) for piece in pieces])  # views, of which nothing is read yet
    _, read = timed(lambda: [store.read(*piece).sum() for piece in pieces])
    after_reading = resident_bytes("RssAnon") - before
    times = 1e6 * planned / PLANNED, 1e6 * looked_up / len(pieces), 1e6 * read / len(pieces)
    return [opened, *times, after_opening / 1e6, after_reading / 1e6]


def caching() -> None:
    """Print the mixtures a second of a local store, and of the same through a cold and a warm cache, taken in turn.

    The store lies on the same disk, so that the cold cache shows what the cache costs; storage adds its own delay.
    """
    speeds: dict[str, list[float]] = {}
    with TemporaryDirectory() as name:
        root = write_corpus(Path(name, "corpus"), UTTERANCES, SAMPLE_RATE)
        local = DataConfig(corpus=CorpusName.folder, root=str(root), store=f"{name}/stores")
        address = f"file://{quietly(lambda: MixtureDataModule(local).corpus.store).folder}"
        for turn in range(1 + ROUNDS):
            away = replace(local, root=address, store=f"{name}/cache-{turn}")
            for title, data in (("local", local), ("cold cache", away), ("warm cache", away)):
                mixtures = quietly(MixtureDataModule(data).training_mixtures)
                _, seconds = timed(partial(rendered, mixtures))
                speeds.setdefault(title, []).append(LOADED / seconds)
    header("store", "mixtures a second")
    for title, each in speeds.items():
        row(title, statistics.median(each[1:]))  # the first turn warms up


def rendered(mixtures: TrainingMixtures) -> list[Mixture]:
    """Render the first mixtures of an epoch."""
    return [mixtures[0, number] for number in range(LOADED)]


def departing(hours: int, epochs: int) -> None:
    """Print how far the pairs of speakers of some active shards depart from those of free drawing.

    The distance is half the sum of the differences between shares of pairs, from 0 to 1. The last row is free drawing
    against free drawing: what chance alone makes of it.

    Args:
        hours: Of the store.
        epochs: Over which the distance is averaged, and after which it is taken of all pairs.
    """
    with TemporaryDirectory() as name:
        synthetic(Path(name, "store"), hours, SHARDS)
        store = Store.open(Path(name, "store"))
    draw = drawing(store)
    free = [pairs(draw, store, epochs + epoch) for epoch in range(epochs)]
    header("active shards", "speakers", "distance in an epoch", "distance over all epochs")
    for count in (1, 5, 20, SHARDS):
        draws = [within(draw, store.index, active_shards(SHARDS, count, 0, epoch)) for epoch in range(epochs)]
        drawn = [pairs(each, store, epoch) for epoch, each in enumerate(draws)]
        people = statistics.mean(len(each.speakers.rows) for each in draws)
        in_an_epoch = statistics.mean(map(distance, drawn, free))
        row(count, people, in_an_epoch, distance(np.sum(drawn, 0), np.sum(free, 0)))


def synthetic(path: Path, hours: int, shards: int) -> None:
    """Write a store of silence, whose shards are sparse files.

    Args:
        path: A folder to make.
        hours: Of all utterances.
        shards: How many.
    """
    path.mkdir(parents=True)
    length, numbers = round(SECONDS * SAMPLE_RATE), np.arange(round(hours * 3600 / SECONDS))
    speakers = [f"S{number * SPEAKERS // len(numbers):04d}" for number in numbers]
    names = [f"{speaker}-{number:07d}" for speaker, number in zip(speakers, numbers, strict=True)]
    who = {"utterance": names, "speaker": speakers, "gender": "female", "part": "train"}
    places = {"shard": numbers % shards, "offset": numbers // shards * length, "length": length}
    pd.DataFrame({**who, **places, "rms": 0.05, "sha256": "0123456789abcdef"}).to_csv(path / INDEX, index=False)
    (path / LEFT_OUT).write_text("path,reason\n")
    for shard in range(shards):
        with (path / shard_name(shard)).open("wb") as file:
            file.truncate(2 * length * len(numbers[shard::shards]))
    counts = {"utterances": len(numbers), "samples": length * len(numbers), "shards": shards}
    (path / ABOUT).write_text(json.dumps({"format": FORMAT_VERSION, "sample_rate": SAMPLE_RATE, **counts}))


def drawing(store: Store) -> Draw:
    """Draw pairs of all speakers of a store."""
    return Draw(Speakers.of(store.index, np.arange(len(store.index))), 2, 2.5, balanced=False)


def plan(draw: Draw, number: int, epoch: int = 0) -> MixtureSpec:
    """Plan a mixture of two seconds."""
    return training_mixture(draw, 2 * SAMPLE_RATE, True, 0.0, 0, epoch, number)


def pairs(draw: Draw, store: Store, epoch: int) -> np.ndarray:
    """Count the pairs of speakers of an epoch, (speakers, speakers)."""
    codes = store.index["speaker"].str[1:].astype(int).to_numpy()
    drawn = np.sort([codes[list(plan(draw, number, epoch).rows)] for number in range(AN_EPOCH)], axis=1)
    counts = np.zeros((SPEAKERS, SPEAKERS))
    np.add.at(counts, (drawn[:, 0], drawn[:, 1]), 1)
    return counts


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Half the sum of the differences between two distributions that are given by counts."""
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """Return what a call returns, and its seconds."""
    started = time.perf_counter()
    found = run()
    return found, time.perf_counter() - started


def header(*titles: str) -> None:
    """Begin a table."""
    print("\n| " + " | ".join(titles) + " |\n|" + " --- |" * len(titles))


def row(*cells: str | float) -> None:
    """Print a row of a table once it is known."""
    shown = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("| " + " | ".join(shown) + " |", flush=True)


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards", description="Measure stores of many shards.")
    parser.add_argument("--hours", type=int, nargs="+", default=HOURS, help="of the stores that are opened")
    parser.add_argument("--epochs", type=int, default=20, help="that are drawn by active shards")
    arguments = parser.parse_args()
    growth(arguments.hours)
    caching()
    departing(min(100, max(arguments.hours)), arguments.epochs)


if __name__ == "__main__":
    main()
