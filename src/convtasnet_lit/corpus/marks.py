"""By what a recording is known again, wherever it lies and whatever it is called."""

import hashlib
import math
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from convtasnet_lit.corpus.store import Store

PIECES = 8
KEPT = 8  # recordings of each speaker and part, the longest
_QUIET = 1e-6  # -60 dBFS: where a level would follow the last of 16 bits


def mark(samples: NDArray[np.float32]) -> str:
    """Name a recording by its sound: a hash of the levels of its eighths and of their treble, in steps of 0.1 dB.

    A hash of the samples would not do, as another version of the resampler changes some of them by one bit. The mark
    rarely follows, and one of the recordings kept of a speaker is enough to know the speaker again.

    Args:
        samples: Full scale 1.0, shape (T,).

    Returns:
        12 hexadecimal digits.

    Example:
        >>> tone = np.sin(np.arange(4000, dtype=np.float32))
        >>> mark(tone) == mark(tone + np.float32(1e-5)), mark(tone) == mark(0.9 * tone)
        (True, False)
    """
    pieces = [*_eighths(samples), *_eighths(np.diff(samples))]
    levels = [round(100 * math.log10(piece.sum() / max(len(piece), 1) + _QUIET)) for piece in pieces]
    return hashlib.sha256(str(levels).encode()).hexdigest()[:12]


def marks_of(store: Store, rows: Iterable[int]) -> list[str]:
    """Mark recordings of a store.

    Args:
        store: The prepared corpus.
        rows: Rows of the store's index.
    """
    return [mark(store.read(row, 0, store.lengths[row])) for row in rows]


def marks_of_speakers(store: Store, speakers: Collection[str]) -> list[str]:
    """Mark enough recordings of each speaker to know the speaker again in another copy, or in one part of the corpus.

    Args:
        store: The prepared corpus.
        speakers: The speakers whose recordings are marked.
    """
    theirs = store.index[store.index["speaker"].isin(speakers)].sort_values("length", kind="stable")
    return marks_of(store, theirs.groupby(["speaker", "part"]).tail(KEPT).index.sort_values())


def _eighths(signal: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return np.array_split(np.square(signal, dtype=np.float64), PIECES)
