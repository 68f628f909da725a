"""The parts that measure the network: training step, forward, saved bytes, peak memory, long recordings."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from convtasnet_lit.benchmarks.contestants import (
    SAMPLE_RATE,
    build,
    build_all,
    example_batch,
    model_shape,
    surroundings,
)
from convtasnet_lit.benchmarks.floor import MatrixProducts
from convtasnet_lit.benchmarks.timing import (
    Part,
    Row,
    Settings,
    absent,
    compared,
    followed,
    in_fresh_process,
    interleaved,
    measured_growth,
    ratios,
    threads_of_torch,
)
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.learning.losses import pit_loss
from convtasnet_lit.model.network import ConvTasNet

FLOOR = "matrix products alone"
WHOLE = {"lean": "ours, Separator", "torchaudio": "torchaudio, whole at once"}
MOST_LONG_ROUNDS = 3  # each is a process of its own and takes long


def training_step(network: nn.Module, sources: Tensor) -> None:
    """Zero the gradients, separate, take the loss of the best permutation, go back; no optimizer, no clipping.

    Args:
        network: (batch, samples) -> (batch, sources, samples).
        sources: (batch, sources, samples).
    """
    network.zero_grad(set_to_none=True)
    pit_loss(network(sources.sum(1)), sources).backward()  # type: ignore[no-untyped-call]


@torch.inference_mode()
def forward_pass(network: nn.Module, sources: Tensor) -> None:
    """Separate, and keep nothing for a backward pass.

    Args:
        network: (batch, samples) -> (batch, sources, samples).
        sources: (batch, sources, samples).
    """
    network(sources.sum(1))


def step(settings: Settings) -> Part:
    """Time a training step."""
    rows = _times(settings, training_step, MatrixProducts.step)
    note = (
        "zero_grad, forward, the same PIT loss for all, backward; without the optimizer, which costs all the same. "
        "SpeechBrain's network has no skip outputs: a third fewer products in a block."
    )
    return Part(f"Training step, {_size(settings)}", note, rows)


def forward(settings: Settings) -> Part:
    """Time a forward pass as in inference."""
    rows = _times(settings, forward_pass, MatrixProducts.forward)
    return Part(f"Forward pass, {_size(settings)}", "In inference mode.", rows)


def saved(settings: Settings) -> Part:
    """Count what is kept between forward and backward."""
    networks, missing = build_all(model_shape(settings.model))
    mixture, figures = example_batch(1, settings.seconds).sum(1), {}
    for name, network in networks.items():
        with surroundings(name):
            figures[name] = saved_bytes(network, mixture) / settings.seconds / 1e6
    rows: list[Row] = [{"": name, "MB": figure, **ratios(figures, name)} for name, figure in figures.items()]
    note = "Storages that autograd keeps for the backward pass, each once, without parameters; a count, not a timing."
    title = f"Saved for backward, a second of audio, {settings.model} model at {SAMPLE_RATE} Hz"
    return Part(title, note, rows + absent(missing, "MB"))


def saved_bytes(network: nn.Module, mixture: Tensor) -> int:
    """Count the bytes of all storages that a forward pass keeps for the backward pass, parameters aside.

    Args:
        network: (batch, samples) -> (batch, sources, samples).
        mixture: (batch, samples).
    """
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # alive, so that no other storage takes its address

    def keep(tensor: Tensor) -> None:  # the graph is given nothing: nobody goes back, and a tensor in it would never go
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()

    with saved_tensors_hooks(keep, lambda nothing: nothing):
        network(mixture)
    return sum(storage.nbytes() for address, storage in kept.items() if address not in own)


def peak(settings: Settings) -> Part:
    """Measure the memory a training step takes, each contestant in a process of its own."""
    shape = model_shape(settings.model)
    networks, missing = build_all(shape)
    figures = {
        name: in_fresh_process(_peak_bytes, name, shape, settings) / 1e6
        for name in followed(list(networks), "peak memory")
    }
    rows: list[Row] = [{"": name, "MB": figure, **ratios(figures, name)} for name, figure in figures.items()]
    note = (
        "By how much a fresh process's memory (Linux: VmHWM) rises in its first whole training step; imports, the "
        "network and a tenth of a second to warm up were there before."
    )
    return Part(f"Peak memory of a training step, {_size(settings)}", note, rows + absent(missing, "MB"))


def long(settings: Settings) -> Part:
    """Measure the separation of long recordings, each in a process of its own."""
    shape, rounds = model_shape(settings.model), min(settings.rounds, MOST_LONG_ROUNDS)
    turns = [(name, seconds) for seconds in settings.long_seconds for _ in range(rounds) for name in WHOLE]
    found: dict[tuple[str, float], list[tuple[float, int]]] = {turn: [] for turn in turns}
    for name, seconds in followed(turns, "long recordings"):
        found[name, seconds].append(in_fresh_process(_long_pass, name, shape, seconds, settings.threads))
    note = f"One pass in a fresh process, in turn; medians of {rounds}; memory as in peak."
    title = f"A long recording, {settings.model} model at {SAMPLE_RATE} Hz, {settings.threads} threads"
    return Part(title, note, [_long_row(*turn, measured) for turn, measured in found.items()])


def _long_row(name: str, seconds: float, measured: list[tuple[float, int]]) -> Row:
    taken, growth = (statistics.median(figures) for figures in zip(*measured, strict=True))
    speed = seconds / taken
    return {"": f"{seconds:g} s, {WHOLE[name]}", "s": taken, "times real time": speed, "peak MB": growth / 1e6}


def _times(
    settings: Settings, run: Callable[[nn.Module, Tensor], None], floor: Callable[[MatrixProducts], None]
) -> list[Row]:
    shape, sources = model_shape(settings.model), example_batch(settings.batch, settings.seconds)
    networks, missing = build_all(shape)
    products = MatrixProducts(shape, settings.batch, sources.shape[-1])

    def turn(name: str) -> None:
        with surroundings(name):
            run(networks[name], sources)

    runs: dict[str, Callable[[], None]] = {name: lambda name=name: turn(name) for name in networks}  # type: ignore[misc]
    runs[FLOOR] = lambda: floor(products)
    return compared(interleaved(run.__name__.replace("_", " "), runs, settings.rounds), missing)


def _peak_bytes(name: str, shape: dict[str, Any], settings: Settings) -> int:
    network, sources = build(name, shape), example_batch(settings.batch, settings.seconds)
    with threads_of_torch(settings.threads), surroundings(name):
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


def _size(settings: Settings) -> str:
    many = f"batch {settings.batch} x {settings.seconds:g} s at {SAMPLE_RATE} Hz"
    return f"{settings.model} model, {many}, {settings.threads} threads"
