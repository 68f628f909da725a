"""Which recordings a command line means, and where the results of each go."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import soundfile

from convtasnet_lit.corpus.recording import find_audio

SUFFIXES = frozenset(f".{name.lower()}" for name in soundfile.available_formats()) | {".oga", ".opus", ".aif"}
_RESULT = re.compile(r"_speaker\d+$")


@dataclass(frozen=True)
class Input:
    """A recording, and the folder of its results."""

    path: Path
    folder: Path


def find_inputs(names: Iterable[str], out: Path | None) -> tuple[list[Input], list[str]]:
    """Find the recordings that files, folders and patterns stand for.

    Args:
        names: Files; folders, of which all audio files are meant but the results of an earlier call; patterns such as
            `calls/*.wav`, for shells that leave them as they are.
        out: The folder of the results, in which those of a folder keep their places; None for beside each recording.

    Returns:
        The recordings, each once, and a line for each name or recording that has to be left out.

    Example:
        >>> find_inputs(["there_is_no_such_folder/*.wav"], None)
        ([], ['there_is_no_such_folder/*.wav: there is no such file'])
    """
    found: dict[Path, Input] = {}
    problems = []
    for name in names:
        items = _inputs(name, out)
        if not items:
            problems.append(f"{name}: {'holds no audio files' if Path(name).is_dir() else 'there is no such file'}")
        for item in items:
            other = found.setdefault(item.folder / item.path.stem, item)  # by the place of its results
            if other.path.resolve() != item.path.resolve():
                problems.append(f"{item.path}: left out, as its results would replace those of {other.path}")
    return list(found.values()), problems


def _inputs(name: str, out: Path | None) -> list[Input]:
    path = Path(name)
    if path.is_dir():
        files = [file for file in find_audio(path, SUFFIXES) if not _is_result(file)]
        return [Input(file, file.parent if out is None else out / file.parent.relative_to(path)) for file in files]
    matching = [path] if path.exists() else [Path(match) for match in sorted(glob(name, recursive=True))]  # noqa: PTH207
    return [Input(file, file.parent if out is None else out) for file in matching if file.is_file()]


def _is_result(file: Path) -> bool:
    """Whether a file is what an earlier call made of a recording beside it."""
    source = file.with_stem(_RESULT.sub("", file.stem))
    return source != file and source.exists()
