"""The parts that time the network, and count what it keeps: training step, forward pass, saved bytes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from benchmarks.contestants import (
    SAMPLE_RATE,
    build_all,
    example_batch,
    model_shape,
    surroundings,
)
from benchmarks.floor import MatrixProducts
from benchmarks.timing import (
    Part,
    Row,
    Settings,
    absent,
    compared,
    interleaved,
    ratios,
)
from benchmarks.workloads import forward_pass, precision, size, training_step

FLOOR = "matrix products alone"


def step(settings: Settings) -> Part:
    """Time a training step."""
    rows = _times(settings, training_step, MatrixProducts.step)
    note = (
        "zero_grad, forward, the same PIT loss for all, backward; without the optimizer, which costs all the same. "
        "SpeechBrain's network has no skip outputs: a third fewer products in a block."
    )
    return Part(f"Training step, {size(settings)}", note, rows)


def forward(settings: Settings) -> Part:
    """Time a forward pass as in inference."""
    rows = _times(settings, forward_pass, MatrixProducts.forward)
    return Part(f"Forward pass, {size(settings)}", "In inference mode.", rows)


def saved(settings: Settings) -> Part:
    """Count what is kept between forward and backward."""
    networks, missing = build_all(model_shape(settings.model))
    mixture, figures = example_batch(1, settings.seconds).sum(1), {}
    for name, network in networks.items():
        with surroundings(name, settings.bfloat16):
            figures[name] = saved_bytes(network, mixture) / settings.seconds / 1e6
    rows: list[Row] = [{"": name, "MB": figure, **ratios(figures, name)} for name, figure in figures.items()]
    note = "Storages that autograd keeps for the backward pass, each once, without parameters; a count, not a timing."
    title = f"Saved for backward, a second of audio, {settings.model} model at {SAMPLE_RATE} Hz{precision(settings)}"
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


def _times(
    settings: Settings, run: Callable[[nn.Module, Tensor], None], floor: Callable[[MatrixProducts], None]
) -> list[Row]:
    shape, sources = model_shape(settings.model), example_batch(settings.batch, settings.seconds)
    networks, missing = build_all(shape)
    products = MatrixProducts(shape, settings.batch, sources.shape[-1], settings.bfloat16)

    def turn(name: str) -> None:
        with surroundings(name, settings.bfloat16):
            run(networks[name], sources)

    runs: dict[str, Callable[[], None]] = {name: lambda name=name: turn(name) for name in networks}  # type: ignore[misc]
    runs[FLOOR] = lambda: floor(products)
    return compared(interleaved(run.__name__.replace("_", " "), runs, settings.rounds), missing)
