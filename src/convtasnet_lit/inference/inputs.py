"""Which recordings a command line means, and where the results of each go."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import soundfile

from convtasnet_lit.files import find_audio

SUFFIXES = frozenset(f".{name.lower()}" for name in soundfile.available_formats()) | {".oga", ".opus", ".aif"}
_RESULT = re.compile(r"_speaker\d+$")


@dataclass(frozen=True)
class Input:
    """A recording, and the folder of its results."""

    path: Path
    folder: Path

    @property
    def target(self) -> Path:
        """Where the results go, but for the speaker's number."""
        return _real(self.folder) / self.path.name


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
    found: dict[Path, Input] = {}  # by the place of its results
    problems = []
    for name in names:
        try:
            items = _inputs(name, out) if name else []
        except OSError as error:  # a name too long, a folder that may not be looked into
            problems.append(f"{name}: {error.strerror}")
            continue
        if not items:
            reason = "holds no recordings" if name and Path(name).is_dir() else "there is no such file"
            problems.append(f"{name or repr(name)}: {reason}")
        for item in items:
            other = found.setdefault(item.target, item)
            if _real(other.path) != _real(item.path):
                problems.append(f"{item.path}: left out, as its results would replace those of {other.path}")
    for item in list(found.values()):
        replacing = found.get(_source(_real(item.path)))
        if replacing is not None and replacing is not item:
            problems.append(f"{replacing.path}: left out, as its results would replace {item.path}")
            del found[replacing.target]
    return list(found.values()), problems


def _inputs(name: str, out: Path | None) -> list[Input]:
    path = Path(name)
    if path.is_dir():
        files = [file for file in find_audio(path, SUFFIXES) if not _is_result(file, out)]
        return [Input(file, file.parent if out is None else out / file.parent.relative_to(path)) for file in files]
    if path.exists():
        return [Input(path, path.parent if out is None else out)]
    matching = [Path(match) for match in sorted(glob(name, recursive=True))]  # noqa: PTH207
    files = [file for file in matching if file.is_file() and not _is_result(file, out)]
    return [Input(file, file.parent if out is None else out) for file in files]


def _is_result(file: Path, out: Path | None) -> bool:
    """Whether a file is named like a result and lies where an earlier call would have written it."""
    source = _source(file)
    beside_results = out is not None and _real(file).is_relative_to(_real(out))
    others = SUFFIXES if file.suffix == ".wav" else ()  # a format that can only be read has results in WAV
    sources = (source, *map(source.with_suffix, others))
    return source != file and (beside_results or any(candidate.exists() for candidate in sources))


def _real(path: Path) -> Path:
    """Where links lead; those that lead in a circle stop nothing here, as they do `Path.resolve` of Python 3.11."""
    return Path(os.path.realpath(path))


def _source(file: Path) -> Path:
    """The recording that a file named like a result comes from; of any other file itself."""
    return file.with_stem(_RESULT.sub("", file.stem) or file.stem)
