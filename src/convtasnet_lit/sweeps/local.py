"""The runs of a sweep on this machine: a process each, several at a time, with an estimate of the time left."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path

import pandas as pd

from convtasnet_lit.sweeps.jobs import Job

LOG = "sweep.log"  # in a run's folder: what it printed
SAY_EVERY = 300  # seconds


def run_locally(jobs: Sequence[Job], at_once: int, threads: int, name: str, guess: Callable[[Job], float]) -> list[Job]:
    """Train and evaluate each run of a sweep that is not done yet.

    A run goes on where it was stopped, and one that fails does not stop the others. Where this process is killed, so
    are its runs.

    Args:
        jobs: The runs.
        at_once: How many processes there are at a time.
        threads: Of torch in each of them; results are bit-exact at equal numbers only.
        name: Of the sweep, which groups its runs in dashboards.
        guess: Seconds that a run's epoch takes, before the first one has told.

    Returns:
        The runs that failed.
    """
    waiting = [job for job in jobs if not job.is_done]
    if len(waiting) < len(jobs):
        print(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are done already")
    at_once = max(1, min(at_once, len(waiting)))
    print(f"{len(waiting)} runs, {at_once} at a time with {threads} thread{'s'[: threads - 1]} each")
    times = {job.folder: guess(job) for job in waiting}
    print(f"about {_left(waiting, times, at_once)}", flush=True)
    failed: list[Job] = []
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(_run, job, threads, name): job for job in waiting}
        try:
            while running:
                done, _ = wait(running, SAY_EVERY, FIRST_COMPLETED)
                failed += [job for job in map(running.pop, done) if not job.is_done]
                _say(done, list(running.values()), times, at_once)
        except KeyboardInterrupt:  # the runs heard it, too, and save their state
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def _run(job: Job, threads: int, name: str) -> str:
    """Train and evaluate one run; returns the line that says how it ended."""
    job.folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    grouped = [f"trainer.threads={threads}", f"logger.group={name}"]
    commands = (
        ["convtasnet_lit.train", *job.overrides, *grouped, "resume=true", "trainer.progress_bar=false"],
        ["convtasnet_lit.evaluate", f"checkpoint={_quoted(job.folder)}"],
    )
    for command in commands:
        with (job.folder / LOG).open("ab") as log:
            ended = subprocess.run(
                [sys.executable, "-m", *command], stdout=log, stderr=log, env=environment, preexec_fn=_end_with_parent
            )
        if ended.returncode:
            return f"failed: {job.folder}: {_last_line(job.folder / LOG)}"
    return f"done: {job.folder}"


def _say(done: set["Future[str]"], jobs: list[Job], times: dict[Path, float], at_once: int) -> None:
    for future in done:
        print(future.result())
    if jobs:
        print(f"{len(jobs)} runs left, about {_left(jobs, times, at_once)}", flush=True)


def _left(jobs: Sequence[Job], times: dict[Path, float], at_once: int) -> str:
    """How long the runs will take, from their own epochs or from a guess."""
    seconds = 0.0
    for job in jobs:
        epochs, each = _history(job.folder)
        seconds += max(0, job.config.trainer.max_epochs - epochs) * (each or times[job.folder])
    return f"{timedelta(minutes=round(seconds / at_once / 60))} (hours:minutes), less where a run stops early"


def _history(folder: Path) -> tuple[int, float]:
    """How many epochs a run has done, and the mean seconds of each."""
    try:
        seconds = pd.read_csv(folder / "history.csv")["seconds"]
    except (OSError, ValueError, KeyError):
        return 0, 0.0
    return len(seconds), float(seconds.mean())


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it said nothing"


def _quoted(folder: Path) -> str:
    """A path as the value of a Hydra override."""
    return "'" + str(folder).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _end_with_parent() -> None:
    """Let Linux end a run when the sweep's process is killed, so that the next one finds its folder free."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
