"""Times taken in turn, and what comes of them."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from rich.console import Console
from rich.progress import track

from convtasnet_lit.errors import require

P = ParamSpec("P")
T = TypeVar("T")
Row = dict[str, float | str]  # a column's title to a figure, or to why there is none

PEERS = ("torchaudio", "Asteroid", "SpeechBrain")


@dataclass(frozen=True)
class Settings:
    """What is measured, and how often.

    Args:
        model: A file of `conf/model`.
        seconds: Of audio in a mixture.
        batch: Mixtures in a batch.
        rounds: How often each contestant is measured, after once to warm up.
        threads: Of torch.
        long_seconds: Lengths of the long recordings.
        utterances: Of each of the 12 speakers in the temporary corpus.
        bfloat16: Whether networks compute in bfloat16, by autocast; in the parts about a step or a forward pass.
    """

    model: str = "paper"
    seconds: float = 2.0
    batch: int = 2
    rounds: int = 5
    threads: int = 1
    long_seconds: Sequence[float] = (60.0, 120.0)
    utterances: int = 20
    bfloat16: bool = False

    def __post_init__(self) -> None:
        shortest = 0.1  # seconds: about a syllable
        for seconds in (self.seconds, *self.long_seconds):
            require(shortest <= seconds <= 3600, "--seconds, --long-seconds", seconds, "from 0.1 to 3600")
        for key in ("batch", "rounds", "threads"):
            require(getattr(self, key) >= 1, f"--{key}", getattr(self, key), "at least 1")
        require(self.utterances >= 2, "--utterances", self.utterances, "at least 2")


@dataclass(frozen=True)
class Part:
    """What one part found.

    Args:
        title: What was measured.
        note: How, and how to read it.
        rows: One a contestant; the first column names it.
    """

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)


def interleaved(what: str, runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time contestants in turn, A B A B, so that what else the machine does meets them all alike.

    Args:
        what: Shown beside the progress on standard error.
        runs: What to time, by contestant.
        rounds: How often each; one more before them warms up and is not counted.

    Returns:
        Seconds of each round, by contestant.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    turns = [(number, name) for number in range(rounds + 1) for name in runs]
    for number, name in followed(turns, what):
        started = time.perf_counter()
        runs[name]()
        elapsed = time.perf_counter() - started
        if number:
            seconds[name].append(elapsed)
    return seconds


def followed(turns: Sequence[T], what: str) -> Iterable[T]:
    """Iterate with a bar and an estimate of the time left, on standard error.

    Args:
        turns: What to iterate over.
        what: Shown before the bar.
    """
    console = Console(file=sys.stderr)  # as it is now: a bar drawn by what is measured may be sent elsewhere
    return track(turns, what, console=console, transient=True, disable=not console.is_terminal)


def compared(seconds: Mapping[str, list[float]], missing: Mapping[str, str], calls: int = 1) -> list[Row]:
    """Make a table of times: the median, the spread, and the ratios to torchaudio and to the fastest peer.

    Args:
        seconds: Of each round, by contestant.
        missing: Why a contestant has none.
        calls: How many calls a round is made of.

    Returns:
        A row a contestant, in milliseconds; a ratio of 0.5 is half the other's time.
    """
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = []
    for name, times in seconds.items():
        fastest, median, slowest = (1000 / calls * figure for figure in (min(times), medians[name], max(times)))
        rows.append({"": name, "ms": median, "fastest": fastest, "slowest": slowest, **ratios(medians, name)})
    return rows + absent(missing, "ms")


def ratios(medians: Mapping[str, float], name: str) -> Row:
    """Divide a contestant's figure by torchaudio's and by the best peer's, where they are there.

    Args:
        medians: Figures of which less is better, by contestant.
        name: The contestant.

    Example:
        >>> ratios({"lean": 1.0, "torchaudio": 4.0, "Asteroid": 2.0}, "lean")
        {'of torchaudio': 0.25, 'of the best peer': 0.5}
    """
    row: Row = {}
    if "torchaudio" in medians:
        row["of torchaudio"] = medians[name] / medians["torchaudio"]
    if peers := [medians[peer] for peer in PEERS if peer in medians]:
        row["of the best peer"] = medians[name] / min(peers)
    return row


def absent(missing: Mapping[str, str], column: str) -> list[Row]:
    """Say in a table's cell why a contestant has no figure.

    Args:
        missing: Why, by contestant.
        column: Where it is said.
    """
    return [{"": name, column: why} for name, why in missing.items()]


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """Let torch compute on so many cores.

    Args:
        count: Nothing is touched where it is that already.
    """
    before = torch.get_num_threads()
    if before != count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if before != count:
            torch.set_num_threads(before)


def in_fresh_process(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function of a module in a process of its own, whose memory nobody has used before.

    Args:
        function: What to call; it and its arguments must be picklable.
        *arguments: For it.
        **named: For it.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named).result()


def resident_bytes(what: str) -> int:
    """Read this process's memory from Linux: not from `ru_maxrss`, which a process inherits from its parent.

    Args:
        what: `VmRSS`, the memory in use; `RssAnon`, that without mapped files; or `VmHWM`, the most there ever was.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {what}")


def measured_growth(run: Callable[[], Any]) -> tuple[float, int]:
    """Call once, and return the seconds it took and the bytes by which memory rose at its highest.

    Args:
        run: What to call.
    """
    before, started = resident_bytes("VmRSS"), time.perf_counter()
    run()
    return time.perf_counter() - started, resident_bytes("VmHWM") - before
