"""Whether the people of a corpus are as many as it says: how alike their speaker embeddings are.

    python benchmarks/alike.py data/voices/train/wav SSB91

Needs the package Resemblyzer, which no other part of the project does.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import soxr
from rich import print as show
from rich.progress import track
from rich.table import Table

RATE = 16_000  # Hz, of the encoder
LEVEL = 0.0316  # RMS (-30 dB), that of its training
PIECES, LONGEST = 14, 5  # of each person, evenly spread; seconds of each


def pieces(folder: Path) -> list[np.ndarray]:
    """Read the beginnings of some utterances of a person, at one level."""
    paths = sorted(folder.glob("*.wav"))
    spread = np.unique(np.linspace(0, len(paths) - 1, PIECES).round().astype(int))
    read = [soundfile.read(paths[place], dtype="float32") for place in spread]
    resampled = [soxr.resample(samples[: LONGEST * rate], rate, RATE) for samples, rate in read]
    return [samples * LEVEL / np.sqrt(np.mean(samples**2)) for samples in resampled]


def similarities(people: list[np.ndarray]) -> np.ndarray:
    """Average the cosines of all pairs of pieces of two people, on the diagonal of all pairs of one's own.

    Args:
        people: Embeddings of length 1, (pieces, dimensions) of each.

    Returns:
        (people, people).

    Example:
        >>> similarities([np.eye(2)[[0, 0]], np.eye(2)[[0, 1]]])
        array([[1. , 0.5],
               [0.5, 0. ]])
    """
    table = np.array([[np.mean(one @ other.T) for other in people] for one in people])
    counts = np.array([len(one) for one in people])
    np.fill_diagonal(table, (np.diag(table) * counts - 1) / (counts - 1))  # none with itself
    return table


def main() -> None:
    """Print a person a row, and the mean over all pairs of different people."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="a folder with one folder a person")
    parser.add_argument("prefix", nargs="?", default="", help="only people whose names begin so are shown")
    asked = parser.parse_args()
    from resemblyzer import VoiceEncoder  # here, so that all else runs without it

    encoder = VoiceEncoder("cpu", verbose=False)
    folders = sorted(path for path in asked.root.iterdir() if len(list(path.glob("*.wav"))) > 1)
    people = [np.array([encoder.embed_utterance(piece) for piece in pieces(path)]) for path in track(folders)]
    found = similarities(people)
    others = found - 2 * np.eye(len(found))
    table = Table("person", "with oneself", "with the most alike", "who is")
    for number, path in enumerate(folders):
        if path.name.startswith(asked.prefix):
            nearest = int(others[number].argmax())
            figures = (f"{found[number, number]:.2f}", f"{others[number, nearest]:.2f}")
            table.add_row(path.name, *figures, folders[nearest].name)
    show(table, f"different people on average: {found[np.triu_indices(len(found), 1)].mean():.2f}")


if __name__ == "__main__":
    main()
