"""Many recordings one after the other, or one through a pipe, with progress and a summary on standard error."""

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import Progress

from convtasnet_lit.audio import AudioInput
from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.inputs import Input
from convtasnet_lit.inference.likeness import Sample
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.inference.timeline import write_timeline


def separate_all(
    separator: Separator,
    inputs: Sequence[Input],
    problems: list[str],
    channel: int | None = None,
    like: Sample | None = None,
    timeline: bool = False,
) -> None:
    """Separate recordings, print the files written, and say how fast it went.

    Args:
        separator: Which separates them.
        inputs: The recordings and where their results go.
        problems: A line for each recording that had to be left out; one that cannot be separated gets one, too.
        channel: The channel to separate, counted from 1; None for the mean of all.
        like: The voice of whoever shall come first.
        timeline: Whether to write who speaks when, too.
    """
    seconds, started, asked = 0.0, time.monotonic(), len(inputs) + len(problems)
    bars = Progress(console=Console(stderr=True), redirect_stdout=False, disable=not sys.stderr.isatty())
    with bars:
        for item in inputs:
            task = bars.add_task(item.path.name)
            try:
                show = lambda done, total, task=task: bars.update(task, completed=done, total=total)  # noqa: E731
                files = separator.separate_file(item.path, item.folder, channel, show, like)
                print(*files, *(write_timeline(item.path, files) if timeline else ()), sep="\n", flush=True)
                seconds += bars.tasks[-1].completed
            except InputError as error:
                problems.append(str(error))
            bars.remove_task(task)
    took = time.monotonic() - started
    separated = f"separated {asked - len(problems)} of {asked} recordings"
    print(f"{separated}, {seconds:.1f} s of audio in {took:.1f} s", file=sys.stderr)


def separate_pipe(
    separator: Separator,
    source: BinaryIO,
    target: BinaryIO,
    channel: int | None = None,
    like: Sample | None = None,
) -> None:
    """Separate a file that comes through a pipe into one with a channel a speaker.

    Args:
        separator: Which separates it.
        source: Where it comes from; WAV, or what else libsndfile reads.
        target: Where the result goes, in the same format.
        channel: The channel to separate, counted from 1; None for the mean of all.
        like: The voice of whoever shall be the first channel.

    Raises:
        InputError: It cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # so that messages name the files without a folder
        path, joined = Path("standard input"), Path("standard output")
        with path.open("wb") as file:
            shutil.copyfileobj(source, file)
        separator.write_separated(AudioInput(path, channel), [joined], like=like)
        with joined.open("rb") as file:
            shutil.copyfileobj(file, target)
        target.flush()
