"""The runs of a sweep on this machine: a process each, several at once, with an estimate of the time left."""

import math
import os
import queue
import signal
import sys
import time
from collections.abc import Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path

import pandas as pd
import torch

from convtasnet_lit.command_line import STOPPED, leave
from convtasnet_lit.config import Config
from convtasnet_lit.devices import cores, find_device
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.sweeps.jobs import Job, Sweep, quoted
from convtasnet_lit.sweeps.processes import TERMINATED, Processes
from convtasnet_lit.training.budget import room_here, settled, step_of
from convtasnet_lit.training.losses import pit_loss
from convtasnet_lit.training.memory import Step
from convtasnet_lit.training.trainer import pick_precision

LOG = "sweep.log"  # in a run's folder: what it printed
SAY_EVERY = 300.0  # seconds
STEPS = 3  # that are timed before the first epoch has told more


def run_locally(sweep: Sweep) -> list[str]:
    """Train and evaluate each run of a sweep that is not done yet.

    A run goes on where it was stopped, and one that fails does not stop the others. Where this process is asked to
    stop, its runs save their state first; where it is killed, they end with it.

    Args:
        sweep: The runs, and how many at once.

    Returns:
        One line for each run that failed.

    Raises:
        SystemExit: Ctrl-C or SIGTERM.
    """
    waiting, threads = [job for job in sweep.jobs if not job.is_done], sweep.launcher.threads
    gpus = _gpus()
    at_once = min(sweep.launcher.parallel or len(gpus) or max(1, cores() // threads), max(1, len(waiting)))
    slots: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number in range(at_once):
        slots.put(gpus[number % len(gpus)] if gpus else "")
    if len(waiting) < len(sweep.jobs):
        print(f"{len(sweep.jobs) - len(waiting)} of {len(sweep.jobs)} runs are done already")
    each = f"{threads} thread{'s' * (threads > 1)} each"
    print(f"{_runs(waiting)}, {at_once} at once with {each}: {_left(waiting, at_once, threads)}", flush=True)
    failed, processes = [], Processes()
    with processes.told_of_signals(), ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(_run, job, sweep, slots, processes): job for job in waiting}
        try:
            while running:
                ended, _ = wait(running, SAY_EVERY, FIRST_COMPLETED)
                for future in ended:
                    job, problem = running.pop(future), future.result()
                    failed += [f"{job.folder}: {problem}"] if problem else []
                    print(f"failed: {job.folder}: {problem}" if problem else f"done: {job.folder}")
                if running:
                    print(f"{_runs(running)} left: {_left(list(running.values()), at_once, threads)}", flush=True)
        except (KeyboardInterrupt, SystemExit) as asked:
            print("stopping the runs after this step or validation; Ctrl-C again stops at once", file=sys.stderr)
            pool.shutdown(cancel_futures=True)
            code = TERMINATED if isinstance(asked, SystemExit) else STOPPED
            leave("stopped; the same command goes on with the runs", code)
    return failed


def _runs(some: Sized) -> str:
    return f"{len(some)} run{'s' * (len(some) != 1)}"


def _run(job: Job, sweep: Sweep, slots: "queue.SimpleQueue[str]", processes: Processes) -> str:
    """Train and evaluate one run; returns what was wrong, or nothing."""
    threads, slot = str(sweep.launcher.threads), slots.get()
    environment = os.environ | {"OMP_NUM_THREADS": threads} | ({"CUDA_VISIBLE_DEVICES": slot} if slot else {})
    started = [*sweep.started(job), "trainer.progress_bar=false"]
    commands = ["train", *job.overrides, *started], ["evaluate", f"checkpoint={quoted(job.folder)}"]
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        for door, *arguments in commands:
            with (job.folder / LOG).open("ab") as log:
                command = [sys.executable, "-m", f"convtasnet_lit.{door}", *arguments]
                code = processes.run(command, environment, log)
            if code < 0:
                return f"{door} was ended by {signal.Signals(-code).name}"
            if code:
                return _last_line(job.folder / LOG)
        job.mark.write_text(job.digest + "\n", encoding="utf-8")
        return ""
    except OSError as error:
        return error.strerror or str(error)
    finally:
        slots.put(slot)


def _left(jobs: Sequence[Job], at_once: int, threads: int) -> str:
    """How long the runs will take, from the epochs of each so far, or from a few steps."""
    ends = [0.0] * at_once  # of each slot; a run begins in the one that is free first
    for job in jobs:
        done, each = _history(job.folder)
        seconds = max(0, job.config.trainer.max_epochs - done) * (each or _guess(job.config, threads))
        ends[ends.index(min(ends))] += seconds
    hours, minutes = divmod(math.ceil(max(ends) / 60), 60)
    return f"about {hours} h {minutes} min, less where runs stop early"


def _guess(config: Config, threads: int) -> float:
    """Seconds of an epoch, validation aside."""
    config = settled(config, room_here(config))
    step, batch = step_of(config, pick_precision(config.trainer)), config.data.mixtures_per_batch
    steps = config.data.train_mixtures / batch / config.trainer.devices
    return steps * _seconds_of_step(step, batch, config.trainer.accelerator.name, threads)


@cache
def _seconds_of_step(step: Step, batch: int, accelerator: str, threads: int) -> float:
    """The shortest of some training steps on noise."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    device = find_device(accelerator)
    network = ConvTasNet(step.num_speakers, **step.model).to(device)
    sources, times = torch.randn(batch, step.num_speakers, step.samples, device=device), []
    for _ in range(STEPS):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=step.precision != "fp32"):
            estimates = network(sources.sum(1))
        pit_loss(estimates.float(), sources).backward()  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - started)
    torch.set_num_threads(before)
    return min(times)


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


def _gpus() -> list[str]:
    """The GPUs that runs may use, as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return named.split(",")[:count]
