"""Write LibriMix's tree with soundfile alone: lists with the paths of another machine, 16-bit files, noise."""

import csv
from pathlib import Path

import numpy as np
import soundfile

from tests.corpus.trees import bursts

RATE = 8000


def write_tree(tree: Path, subset: str, pairs: list[tuple[str, str]], seconds: float = 0.6) -> Path:
    """Write one subset and its lists: the sum of the speakers, with noise, and the first speaker with noise."""
    rows: dict[str, list[list[object]]] = {"mix_clean": [], "mix_both": [], "mix_single": []}
    for number, (one, other) in enumerate(pairs):
        name = f"{one}-1-{number:04d}_{other}-2-{number:04d}"
        first = 0.5 * bursts(seconds, 7 * number + int(one), RATE)
        second = 0.3 * bursts(seconds, 7 * number + int(other), RATE)
        noise = np.random.default_rng(number).normal(0, 0.03, len(first))
        signals = {"s1": first, "s2": second, "noise": noise, "mix_clean": first + second}
        signals |= {"mix_both": first + second + noise, "mix_single": first + noise}
        for folder, samples in signals.items():
            (tree / subset / folder).mkdir(parents=True, exist_ok=True)
            soundfile.write(tree / subset / folder / f"{name}.wav", samples, RATE)
        paths = {folder: f"/elsewhere/wav8k/min/{subset}/{folder}/{name}.wav" for folder in signals}
        parts = {"mix_clean": ["s1", "s2"], "mix_both": ["s1", "s2", "noise"], "mix_single": ["s1", "noise"]}
        for kind, columns in parts.items():
            rows[kind].append([name, paths[kind], *(paths[column] for column in columns), len(first)])
    (tree / "metadata").mkdir(exist_ok=True)
    for kind, columns in (
        ("mix_clean", "source_1_path source_2_path"),
        ("mix_both", "source_1_path source_2_path noise_path"),
        ("mix_single", "source_1_path noise_path"),
    ):
        with (tree / "metadata" / f"mixture_{subset}_{kind}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["mixture_ID", "mixture_path", *columns.split(), "length"])
            writer.writerows(rows[kind])
    return tree
