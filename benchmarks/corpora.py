"""A temporary corpus of noise that rises and falls like speech: the same files for all who read."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

SPEAKERS = 12  # enough for all three splits
SHORTEST, LONGEST = 2.0, 5.0  # seconds: AISHELL-3's 88,035 utterances have 3.5 on average


class Triple(NamedTuple):
    """The three files of a mixture on disk."""

    mixture: Path
    first: Path
    second: Path


def write_corpus(root: Path, utterances: int, sample_rate: int) -> Path:
    """Write 16-bit WAVs, a folder a speaker, as `data=folder` reads them.

    Args:
        root: A folder to make.
        utterances: Of each speaker.
        sample_rate: Hz.

    Returns:
        root.
    """
    random = np.random.default_rng(0)
    for speaker in range(SPEAKERS):
        folder = root / f"speaker{speaker:02}"
        folder.mkdir(parents=True)
        for number in range(utterances):
            samples = _utterance(random, sample_rate)
            soundfile.write(folder / f"{number:03}.wav", samples, sample_rate, subtype="PCM_16")
    return root


def write_triples(files: Sequence[Path], folder: Path) -> list[Triple]:
    """Mix each file with the next, cut to the shorter, as LibriMix does in its mode `min`.

    Args:
        files: Utterances of one rate.
        folder: Where the mixtures go.
    """
    triples = []
    for number, pair in enumerate(zip(files, [*files[1:], files[0]], strict=True)):
        (first, rate), (second, _) = (soundfile.read(path, dtype="float32") for path in pair)
        shorter = min(len(first), len(second))
        sources = np.stack([first[:shorter], second[:shorter]]) / 2
        triple = Triple(*(folder / kind / f"{number:04}.wav" for kind in Triple._fields))
        for path, samples in zip(triple, (sources.sum(0), *sources), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples, rate, subtype="PCM_16")
        triples.append(triple)
    return triples


def hours(files: Sequence[Path]) -> float:
    """Add up the lengths of audio files."""
    return math.fsum(soundfile.info(path).duration for path in files) / 3600


def _utterance(random: np.random.Generator, sample_rate: int) -> np.ndarray:
    time = np.arange(round(random.uniform(SHORTEST, LONGEST) * sample_rate)) / sample_rate
    syllables = 0.05 + np.sin(2 * np.pi * random.uniform(1.5, 2.5) * time) ** 2  # three to five a second
    return 0.05 * syllables * random.standard_normal(len(time))
