"""The parts that measure memory in processes of their own: a training step, long recordings."""

import statistics
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.contestants import (
    SAMPLE_RATE,
    build,
    build_all,
    example_batch,
    model_shape,
    surroundings,
)
from benchmarks.timing import (
    Part,
    Row,
    Settings,
    absent,
    followed,
    in_fresh_process,
    measured_growth,
    ratios,
    threads_of_torch,
)
from benchmarks.workloads import forward_pass, size, training_step
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.model.network import ConvTasNet

WHOLE = {"lean": "ours, Separator in windows", "torchaudio": "torchaudio, whole at once"}
KILLED = "killed: not enough memory"
MOST_LONG_ROUNDS = 3  # each is a process of its own and takes long


def peak(settings: Settings) -> Part:
    """Measure the memory a training step takes, each contestant in a process of its own."""
    shape = model_shape(settings.model)
    networks, missing = build_all(shape)
    figures: dict[str, float] = {}
    for name in followed(list(networks), "peak memory"):
        try:
            figures[name] = in_fresh_process(_peak_bytes, name, shape, settings) / 1e6
        except BrokenProcessPool:
            missing[name] = KILLED
    rows: list[Row] = [{"": name, "MB": figure, **ratios(figures, name)} for name, figure in figures.items()]
    note = (
        "By how much a fresh process's memory (Linux: VmHWM) rises in its first whole training step; imports, the "
        "network and a tenth of a second to warm up were there before."
    )
    return Part(f"Peak memory of a training step, {size(settings)}", note, rows + absent(missing, "MB"))


def long(settings: Settings) -> Part:
    """Measure the separation of long recordings, each in a process of its own."""
    shape, rounds = model_shape(settings.model), min(settings.rounds, MOST_LONG_ROUNDS)
    turns = [(name, seconds) for seconds in settings.long_seconds for _ in range(rounds) for name in WHOLE]
    found: dict[tuple[str, float], list[tuple[float, int]]] = {turn: [] for turn in turns}
    for name, seconds in followed(turns, "long recordings"):
        with suppress(BrokenProcessPool):
            found[name, seconds].append(in_fresh_process(_long_pass, name, shape, seconds, settings.threads))
    note = f"One pass in a fresh process, in turn; medians of {rounds}; memory as in peak."
    title = f"A long recording, {settings.model} model at {SAMPLE_RATE} Hz, {settings.threads} threads"
    return Part(title, note, [_long_row(*turn, measured) for turn, measured in found.items()])


def _long_row(name: str, seconds: float, measured: list[tuple[float, int]]) -> Row:
    title = f"{seconds:g} s, {WHOLE[name]}"
    if not measured:
        return {"": title, "s": KILLED}
    taken, growth = (statistics.median(figures) for figures in zip(*measured, strict=True))
    return {"": title, "s": taken, "times real time": seconds / taken, "peak MB": growth / 1e6}


def _peak_bytes(name: str, shape: dict[str, Any], settings: Settings) -> int:
    network, sources = build(name, shape), example_batch(settings.batch, settings.seconds)
    with threads_of_torch(settings.threads), surroundings(name, settings.bfloat16):
        training_step(network, sources[..., : SAMPLE_RATE // 10])
        return measured_growth(lambda: training_step(network, sources))[1]


def _long_pass(name: str, shape: dict[str, Any], seconds: float, threads: int) -> tuple[float, int]:
    network, mixture = build(name, shape).eval(), example_batch(1, seconds).sum(1)[0]

    def separate(part: Tensor) -> None:
        if isinstance(network, ConvTasNet):
            Separator(network, SAMPLE_RATE).separate(np.asarray(part), SAMPLE_RATE)
        else:
            forward_pass(network, part[None, None])

    with threads_of_torch(threads):
        separate(mixture[: SAMPLE_RATE // 10])
        return measured_growth(lambda: separate(mixture))
