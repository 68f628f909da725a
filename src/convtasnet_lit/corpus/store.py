"""The prepared corpus: shards of 16-bit samples, and one index of the utterances in them."""

import hashlib
import json
from array import array
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from convtasnet_lit.corpus.recording import FULL_SCALE
from convtasnet_lit.errors import InputError

FORMAT_VERSION = 2
ABOUT, INDEX, LEFT_OUT = "store.json", "index.csv", "left_out.csv"
SAMPLE = np.dtype("<i2")

_FIRST_FORMAT, _FIRST_SAMPLES = 1, "samples.i16"  # its one file
_TEXT = dict.fromkeys(("utterance", "speaker", "gender", "part", "sha256", "path", "reason"), str)  # "001" is a name
_NUMBERS = {**dict.fromkeys(("shard", "offset", "length"), np.int64), "rms": np.float64}
_INTO_UNIT = np.float32(1 / FULL_SCALE)


class Shards(Protocol):
    """The samples of a store, wherever they lie."""

    def piece(self, shard: int, start: int, length: int) -> NDArray[np.int16]:
        """Read samples of a shard.

        Args:
            shard: Its number.
            start: First sample within the shard.
            length: In samples.
        """


class Store:
    """A prepared corpus, open for reading.

    Args:
        folder: The folder that holds the store.
        elsewhere: Its samples, where only its tables are in the folder.

    Attributes:
        folder: The folder that holds the store.
        sample_rate: In Hz.
        shards: How many there are.
        index: One row an utterance: utterance, speaker, gender, part, shard, offset in it and length (samples), rms
            (full scale 1.0) and sha256 (of its 16-bit samples, 16 hexadecimal digits).
        left_out: The recordings that could not be used: path and reason.
        about: What it was made of, beside the counts: corpus, root, newest (nanoseconds) and made_of.
        lengths: The index's column, by row.
        rms: The index's column, by row.

    Raises:
        InputError: It is not complete.
    """

    def __init__(self, folder: Path, elsewhere: Shards | None = None) -> None:
        self.about, self.index, self.left_out = _read_tables(folder)
        self.folder, self.sample_rate, self.shards = folder, int(self.about["sample_rate"]), int(self.about["shards"])
        self._elsewhere = elsewhere
        self._source = elsewhere or _Mapped(self._files())
        # Arrays of plain numbers: a table's cell takes longer than a read, and a list of a million more memory.
        self._shard_of = array("q", self.index["shard"])
        self._offsets = array("q", self.index["offset"])
        self.lengths = array("q", self.index["length"])
        self.rms = array("d", self.index["rms"])

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open what `prepare_store` made.

        Raises:
            InputError: It is not complete.
        """
        return cls(folder)

    def __reduce__(self) -> tuple[Any, ...]:  # a worker process opens the files itself
        return Store, (self.folder, self._elsewhere)

    def read(self, row: int, start: int, length: int) -> NDArray[np.float32]:
        """Read a piece of an utterance; nothing is checked, as this runs thousands of times a second.

        Args:
            row: A row of the index.
            start: First sample within the utterance.
            length: In samples; start + length must not be above the utterance's length.

        Returns:
            Samples in [-1, 1), shape (length,).
        """
        return np.multiply(self.samples(row, start, length), _INTO_UNIT, dtype=np.float32)

    def samples(self, row: int, start: int, length: int) -> NDArray[np.int16]:
        """Read a piece of an utterance as it is kept, 16 bits; arguments as of `read`."""
        return self._source.piece(self._shard_of[row], self._offsets[row] + start, length)

    def _files(self) -> list[Path]:
        """List the shards, and refuse a store of which one is not there or cut."""
        of_first_format = self.about["format"] == _FIRST_FORMAT
        names = [_FIRST_SAMPLES] if of_first_format else [shard_name(shard) for shard in range(self.shards)]
        files = [self.folder / name for name in names]
        samples = self.index.groupby("shard")["length"].sum().to_dict()
        for shard, file in enumerate(files):
            size, expected = file.stat().st_size if file.is_file() else -1, 2 * samples.get(shard, 0)
            if size != expected:
                found = f"{file.name} has {size} bytes of {expected}" if size >= 0 else f"{file.name} is not there"
                raise InputError(f"{_advice(self.folder)} ({found})")
        return files


class _Mapped:
    """Shards in a folder, each memory-mapped where it is first read."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._open: dict[int, NDArray[np.int16]] = {}

    def piece(self, shard: int, start: int, length: int) -> NDArray[np.int16]:
        if shard not in self._open:
            mapped: np.memmap[Any, np.dtype[np.int16]] = np.memmap(self._files[shard], SAMPLE, mode="r")
            self._open[shard] = mapped.view(np.ndarray)  # slicing a memmap itself takes ten times as long
        return self._open[shard][start : start + length]


def shard_name(shard: int) -> str:
    """Name the file of a shard.

    Example:
        >>> shard_name(3)
        'shard-00003.s16'
    """
    return f"shard-{shard:05d}.s16"


def digest(data: bytes) -> str:
    """Hash the samples of an utterance, as the index does."""
    return hashlib.sha256(data).hexdigest()[:16]


def read_about(folder: Path) -> dict[str, Any]:
    """Read a store's `store.json`; of a folder that is none, nothing."""
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _read_tables(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    about, advice, types = read_about(folder), _advice(folder), {**_TEXT, **_NUMBERS}
    try:
        int(about["sample_rate"])
        index, left_out = (pd.read_csv(folder / name, dtype=types, na_filter=False) for name in (INDEX, LEFT_OUT))
        if about["format"] == _FIRST_FORMAT:
            about, index = {**about, "shards": 1}, index.assign(shard=0)
        is_known = about["format"] in (_FIRST_FORMAT, FORMAT_VERSION)
        is_sound = _is_sound(index, int(about["shards"]), most=len(index) + len(left_out))
        found = (is_known, is_sound, len(index), int(index["length"].sum()))
        expected = (True, True, about["utterances"], about["samples"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{advice} ({type(error).__name__}: {' '.join(str(error).split())})") from error
    if found != expected:
        what = "a known format, an index that fits the shards, utterances and samples"
        raise InputError(f"{advice} ({what} are {found}, should be {expected})")
    return about, index, left_out


def _is_sound(index: pd.DataFrame, shards: int, most: int) -> bool:
    """Whether the utterances of each shard follow one another from its first sample, so that none reaches beyond it."""
    before = index.groupby("shard")["length"].cumsum() - index["length"]
    one_after_another = bool((index["offset"] == before).all() and (index["length"] > 0).all())
    return one_after_another and 1 <= shards <= most and bool(index["shard"].between(0, shards - 1).all())


def _advice(folder: Path) -> str:
    return f"{folder} is not a complete store; delete the folder, and the same command makes it anew"
