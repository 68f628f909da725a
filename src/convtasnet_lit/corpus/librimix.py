"""LibriMix's tree: `test/{mix_clean,s1,s2}/ID.wav`, and lists such as `metadata/mixture_test_mix_clean.csv`."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from convtasnet_lit.audio import AudioInput, UnusableError
from convtasnet_lit.corpus.folder import read_genders
from convtasnet_lit.corpus.recording import FULL_SCALE, UNKNOWN, Recording
from convtasnet_lit.data_config import DataConfig, MixtureType
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.files import find_audio, printable

SUBSETS = {"validation": "dev", "test": "test"}
METADATA = "metadata"


class Row(NamedTuple):
    """One mixture of a list: its name, who speaks, the files, and how many samples the list says they have."""

    name: str
    speakers: tuple[str, ...]
    mixture: Path
    sources: tuple[Path, ...]
    length: str  # as written; empty where the list has no such column


def find_tree(data: DataConfig) -> Path:
    """Return the folder that holds the lists: `data.root`, or such as `wav8k/min` below it.

    Raises:
        InputError: There is none.
    """
    root = Path(data.root)
    below = root / f"wav{data.sample_rate // 1000}k" / data.length_mode.name
    for folder in (root, below):
        if (folder / METADATA).is_dir():
            return folder
    raise InputError(f"data.root: {root} is no LibriMix tree: the folder {METADATA} must be in it or in {below}")


def genders_of(tree: Path) -> dict[str, str]:
    """Read who is a woman and who a man from `speakers.csv` beside the lists; without it nobody is known."""
    return read_genders(tree / "speakers.csv")


def scan(data: DataConfig) -> list[Recording]:
    """List the single utterances of the training subset, which are in its folders `s1`, `s2`, ...

    Args:
        data: Where the tree is, and which subset is trained on.

    Raises:
        InputError: There is no such subset.
    """
    tree = find_tree(data)
    folders = sorted((tree / data.train_subset).glob("s[0-9]"))
    there = ", ".join(sorted(path.parent.name for path in tree.glob("*/s1"))) or "none"
    require(bool(folders), "data.train_subset", data.train_subset, f"a folder of {tree} with s1 and s2 in it: {there}")
    genders, found = genders_of(tree), []
    for number, folder in enumerate(folders, start=1):
        for path in find_audio(folder, {".wav"}):
            name = f"{folder.name}/{printable(path.stem)}"
            speaker = _speaker(printable(path.stem), number)
            problem = "" if speaker else "no speaker: its name is not SPEAKER-..._SPEAKER-..., one for each source"
            found.append(Recording(path, name, speaker, genders.get(speaker, UNKNOWN), "", problem))
    return found


def read_list(tree: Path, subset: str, kind: MixtureType) -> list[Row]:
    """Read a list.

    The paths in it are those of the machine that made it. So a file is looked for in the tree, by the last three parts
    of its path, and only then where the path says.

    Args:
        tree: What `find_tree` returned.
        subset: Such as `test`.
        kind: What the mixtures hold; in those of one speaker there is one source.

    Raises:
        InputError: The list or a file in it is missing, or it lacks a column.
    """
    path = tree / METADATA / f"mixture_{subset}_{kind.name}.csv"
    if not path.is_file():
        there = ", ".join(sorted(each.name for each in path.parent.glob("mixture_*.csv"))) or "no list"
        raise InputError(f"{path}: is not there; data.mixture_type says which is read, and there is {there}")
    try:
        table = pd.read_csv(path, dtype=str, na_filter=False)
    except ValueError as error:
        raise InputError(f"{path}: is no table ({' '.join(str(error).split())})") from error
    count = 1 if kind is MixtureType.mix_single else max(1, sum(table.columns.str.fullmatch(r"source_\d+_path")))
    columns = ["mixture_path", *(f"source_{number}_path" for number in range(1, count + 1))]
    if missing := sorted({"mixture_ID", *columns} - set(table.columns)):
        raise InputError(f"{path}: lacks the column {' and '.join(missing)}")
    if table.empty:
        raise InputError(f"{path}: lists no mixture")
    return [_row(path, record, columns) for record in table.to_dict("records")]


def _row(path: Path, record: Mapping[Any, str], columns: Sequence[str]) -> Row:
    name, files = printable(record["mixture_ID"]), []
    for column in columns:
        places = _places(path.parents[1], record[column])
        there = [place for place in places if place.is_file()]
        if not there:
            raise InputError(f"{path}: {name}: {column}: neither {' nor '.join(map(str, places))} is there")
        files.append(there[0])
    speakers = tuple(_speaker(name, number) or f"{name}/s{number}" for number in range(1, len(columns)))
    return Row(name, speakers, files[0], tuple(files[1:]), record.get("length", ""))


def _places(tree: Path, written: str) -> list[Path]:
    return [tree.joinpath(*PureWindowsPath(written).parts[-3:]), tree / written]  # either kind of slash


def _speaker(name: str, number: int) -> str:
    """Tell who speaks in a source of `61-70968-0040_3570-5694-0021`; empty where the name is not of that form."""
    speaker, dash, _ = "".join(name.split("_")[number - 1 : number]).partition("-")
    return speaker if dash else ""


def read_row(row: Row, sample_rate: int, kind: MixtureType) -> np.ndarray:
    """Read a mixture and its sources.

    Args:
        row: Of a list.
        sample_rate: Hz, which the files must have.
        kind: Of the list; clean mixtures must be the sum of their sources, but for the rounding of 16 bits.

    Returns:
        The mixture and then its sources, (1 + sources, samples) in float32.

    Raises:
        InputError: A file cannot be used, or they do not fit together.
    """
    signals = [_samples(path, sample_rate) for path in (row.mixture, *row.sources)]
    length = len(signals[0])
    for path, signal in zip(row.sources, signals[1:], strict=True):
        if len(signal) != length:
            raise UnusableError(path, f"{len(signal)} samples, but its mixture {row.mixture} has {length}")
        if not signal.any():
            raise UnusableError(path, "silent: it holds zeros alone")
    if row.length and row.length not in (f"{length}", f"{length}.0"):
        raise UnusableError(row.mixture, f"{length} samples, but its list says {row.length}")
    read = np.stack(signals)
    most, off = len(signals) / FULL_SCALE, float(np.abs(read[0] - read[1:].sum(0)).max())
    if kind is MixtureType.mix_clean and off > most:
        raise UnusableError(row.mixture, f"differs from the sum of its sources by {off:.2g}; rounding makes {most:.2g}")
    return read


def _samples(path: Path, sample_rate: int) -> np.ndarray:
    file = AudioInput(path)
    if file.sample_rate != sample_rate:
        raise UnusableError(path, f"{file.sample_rate} Hz; data.sample_rate is {sample_rate}, and nothing is resampled")
    return np.concatenate(list(file.blocks()))
