"""Measure stores of many shards: `python -m benchmarks.shards`, some minutes, 2 GB of memory, sparse files.

How joining, opening and drawing grow with hours; a store behind a cache; drawing by active shards.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import pandas as pd

from benchmarks.contestants import SAMPLE_RATE
from benchmarks.corpora import write_corpus
from benchmarks.loading import quietly
from convtasnet_lit.corpus import folder
from convtasnet_lit.corpus.preparation import SHARD_BYTES, Preparation
from convtasnet_lit.corpus.preparing import prepare_store
from convtasnet_lit.corpus.store import ABOUT, FORMAT_VERSION, INDEX, LEFT_OUT, Store, shard_name
from convtasnet_lit.data_config import CorpusName, DataConfig
from convtasnet_lit.files import written_whole
from convtasnet_lit.mixing.active import active_shards, within
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.plan import Draw, MixtureSpec, Speakers, training_mixture

T = TypeVar("T")

HOURS = (1, 10, 100, 1000)
SECONDS = 3.5  # of an utterance, as in AISHELL-3
SPEAKERS = 200
DRAWN = 2000  # mixtures
UTTERANCES = 20  # of each speaker of the temporary corpus that is prepared


def synthetic(folder: Path, hours: float, shards: int) -> Store:
    """Write a store of silence, whose shards are sparse files.

    Args:
        folder: Where; it is made.
        hours: Of all utterances.
        shards: How many.
    """
    folder.mkdir(parents=True)
    length, numbers = round(SECONDS * SAMPLE_RATE), np.arange(round(hours * 3600 / SECONDS))
    speakers = [f"S{number * SPEAKERS // len(numbers):04d}" for number in numbers]
    names = [f"{speaker}-{number:07d}" for speaker, number in zip(speakers, numbers, strict=True)]
    places = {"shard": numbers % shards, "offset": numbers // shards * length, "length": length}
    who = {"utterance": names, "speaker": speakers, "gender": "female", "part": "train"}
    index = pd.DataFrame({**who, **places, "rms": 0.05, "sha256": "0123456789abcdef"})
    index.to_csv(folder / INDEX, index=False)
    (folder / LEFT_OUT).write_text("path,reason\n")
    for shard in range(shards):
        with (folder / shard_name(shard)).open("wb") as file:
            file.truncate(2 * length * len(range(shard, len(numbers), shards)))
    about = {"format": FORMAT_VERSION, "sample_rate": SAMPLE_RATE, "utterances": len(index), "shards": shards}
    text = pd.Series({**about, "samples": length * len(index)}, dtype=object).to_json()
    with written_whole(folder / ABOUT) as partial:
        partial.write_text(text)
    return Store.open(folder)


def growth() -> None:
    """Print how opening, drawing and reading grow with hours, and the memory that is a loader's own."""
    print("| hours | shards | open, s | draw, us | read, us | own memory, MB | after the draws, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for hours in HOURS:
        shards = max(1, round(2 * SAMPLE_RATE * 3600 * hours / SHARD_BYTES))
        with TemporaryDirectory() as name:
            path = synthetic(Path(name, "store"), hours, shards).folder
            before = own_memory()
            store, opened = timed(lambda path=path: Store.open(path))
            draw = drawing(store)
            after_opening = own_memory() - before
            draws, drew = timed(lambda draw=draw: [planned(draw, number) for number in range(DRAWN)])
            pieces = [piece for spec in draws for piece in zip(spec.rows, spec.starts, spec.counts, strict=True)]
            _, read = timed(lambda store=store, pieces=pieces: [store.read(*piece) for piece in pieces])
            cells = [opened, 1e6 * drew / DRAWN, 1e6 * read / len(pieces), after_opening, own_memory() - before]
        print(f"| {hours} | {shards} | " + " | ".join(f"{cell:.3g}" for cell in cells) + " |", flush=True)


def preparing() -> None:
    """Print how long preparing takes of corpora that double, from WAVs to the store."""
    print("| minutes of WAVs | seconds |\n| --- | --- |")
    for factor in (1, 2, 4):
        with TemporaryDirectory() as name:
            root = write_corpus(Path(name, "corpus"), factor * UTTERANCES, SAMPLE_RATE)
            plan = Preparation(folder.scan(root, 1), root, Path(name, "stores"), "folder", SAMPLE_RATE)
            store, seconds = timed(lambda plan=plan: quietly(lambda: prepare_store(plan)))
            print(f"| {sum(store.lengths) / SAMPLE_RATE / 60:.1f} | {seconds:.2f} |", flush=True)


def caching() -> None:
    """Print the mixtures a second of a local store, and of one read through a cold and a warm cache."""
    with TemporaryDirectory() as name:
        root = write_corpus(Path(name, "corpus"), UTTERANCES, SAMPLE_RATE)
        local = DataConfig(corpus=CorpusName.folder, root=str(root), store=f"{name}/stores")
        store = quietly(lambda: MixtureDataModule(local).corpus.store)
        away = replace(local, root=f"file://{store.folder}", store=f"{name}/cache")
        print("| store | mixtures a second |\n| --- | --- |")
        for title, data in (("local", local), ("cold cache", away), ("warm cache", away)):
            mixtures = quietly(MixtureDataModule(data).training_mixtures)
            _, seconds = timed(lambda mixtures=mixtures: [mixtures[0, number] for number in range(DRAWN // 10)])
            print(f"| {title} | {DRAWN / 10 / seconds:.1f} |", flush=True)


def departing(shards: int = 100, epochs: int = 20) -> None:
    """Print how far the pairs of speakers of some active shards depart from those of all.

    The distance is half the sum of the differences between shares of pairs, from 0 to 1; two free draws have one, too.

    Args:
        shards: Of the store.
        epochs: Over which the distance is averaged.
    """
    with TemporaryDirectory() as name:
        store = synthetic(Path(name, "store"), 100, shards)
        draw = drawing(store)
        print(
            "| active shards | speakers | distance in an epoch | distance over all epochs |\n| --- | --- | --- | --- |"
        )
        free = [pairs(draw, store, epochs + epoch) for epoch in range(epochs)]
        for active in (1, 5, 20, shards):
            chosen = [within(draw, store.index, active_shards(shards, active, 0, epoch)) for epoch in range(epochs)]
            drawn = [pairs(each, store, epoch) for epoch, each in enumerate(chosen)]
            once = statistics.mean(map(distance, drawn, free))
            people = statistics.mean(len(each.speakers.rows) for each in chosen)
            print(f"| {active} | {people:.0f} | {once:.3f} | {distance(sum(drawn), sum(free)):.3f} |", flush=True)


def drawing(store: Store) -> Draw:
    """Draw pairs of all speakers of a store."""
    return Draw(Speakers.of(store.index, np.arange(len(store.index))), 2, 2.5, balanced=False)


def planned(draw: Draw, number: int, epoch: int = 0) -> MixtureSpec:
    """Plan a mixture of two seconds."""
    return training_mixture(draw, 2 * SAMPLE_RATE, True, 0.0, 0, epoch, number)


def pairs(draw: Draw, store: Store, epoch: int) -> np.ndarray:
    """Count the pairs of speakers of an epoch, (speakers, speakers)."""
    codes = store.index["speaker"].str[1:].astype(int).to_numpy()
    counts = np.zeros((SPEAKERS, SPEAKERS))
    for number in range(10 * DRAWN):
        first, second = sorted(codes[row] for row in planned(draw, number, epoch).rows)
        counts[first, second] += 1
    return counts


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Half the sum of the differences between two distributions that are given by counts."""
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def own_memory() -> float:
    """MB that are this process's own, without the files it has mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """Return what a call returns, and its seconds."""
    started = time.perf_counter()
    found = run()
    return found, time.perf_counter() - started


if __name__ == "__main__":
    for part in (growth, preparing, caching, departing):
        print(f"\n{part.__name__}\n")
        part()
