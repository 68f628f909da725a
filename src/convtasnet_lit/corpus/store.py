"""The prepared corpus: 16-bit samples in one memory-mapped file, an index beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convtasnet_lit.corpus.recording import FULL_SCALE
from convtasnet_lit.errors import InputError

FORMAT_VERSION = 1
ABOUT, SAMPLES, INDEX, LEFT_OUT = "store.json", "samples.i16", "index.csv", "left_out.csv"

_TEXT = dict.fromkeys(("utterance", "speaker", "gender", "part", "sha256", "path", "reason"), str)  # "001" is a name
_INTO_UNIT = np.float32(1 / FULL_SCALE)


class Store:
    """A prepared corpus, open for reading.

    Attributes:
        folder: The folder that holds the store.
        sample_rate: In Hz.
        index: One row an utterance: utterance, speaker, gender, part, offset and length (samples), rms (full scale 1.0)
            and sha256 (of its 16-bit samples, 16 hexadecimal digits).
        left_out: The recordings that could not be used: path and reason.
        about: What it was made of, beside the counts: corpus, root, newest (nanoseconds) and made_of.
        samples: All samples one after the other, 16 bits, read-only, in the file.
        lengths: The index's column, by row.
        rms: The index's column, by row.
    """

    def __init__(self, folder: Path) -> None:
        self.about, self.index, self.left_out = _read_tables(folder)
        self.folder, self.sample_rate = folder, int(self.about["sample_rate"])
        self.samples: np.memmap[Any, np.dtype[np.int16]] = np.memmap(folder / SAMPLES, np.dtype("<i2"), mode="r")
        self._flat = self.samples.view(np.ndarray)  # slicing a memmap itself takes ten times as long
        self._offsets: list[int] = self.index["offset"].tolist()
        self.lengths: list[int] = self.index["length"].tolist()  # plain lists: a table's cell takes longer than a read
        self.rms: list[float] = self.index["rms"].tolist()

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open what `prepare_store` made.

        Raises:
            InputError: It is not complete.
        """
        return cls(folder)

    def __reduce__(self) -> tuple[Any, ...]:  # a worker process opens the file itself
        return Store.open, (self.folder,)

    def read(self, row: int, start: int, length: int) -> NDArray[np.float32]:
        """Read a piece of an utterance; nothing is checked, as this runs thousands of times a second.

        Args:
            row: A row of the index.
            start: First sample within the utterance.
            length: In samples; start + length must not be above the utterance's length.

        Returns:
            Samples in [-1, 1), shape (length,).
        """
        first = self._offsets[row] + start
        return np.multiply(self._flat[first : first + length], _INTO_UNIT, dtype=np.float32)


def read_about(folder: Path) -> dict[str, Any]:
    """Read a store's `store.json`; of a folder that is none, nothing."""
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _read_tables(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    advice = f"{folder} is not a complete store; delete the folder, and the same command makes it anew"
    about = read_about(folder)
    try:
        int(about["sample_rate"])
        index, left_out = (pd.read_csv(folder / name, dtype=_TEXT, na_filter=False) for name in (INDEX, LEFT_OUT))
        found = (FORMAT_VERSION, len(index), int(index["length"].sum()), (folder / SAMPLES).stat().st_size)
        expected = (about["format"], about["utterances"], about["samples"], 2 * about["samples"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{advice} ({type(error).__name__}: {' '.join(str(error).split())})") from error
    if found != expected:
        raise InputError(f"{advice} (format, utterances, samples and bytes are {found}, should be {expected})")
    return about, index, left_out
