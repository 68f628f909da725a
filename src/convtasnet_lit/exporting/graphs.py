"""Networks as graphs of operations, traced once for every length, with all that one must know to use them."""

import json
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_shapes

from convtasnet_lit import __version__
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.transforms import TARGET_DBFS, TARGET_RMS
from convtasnet_lit.model.blocks import ConvBlock
from convtasnet_lit.model.streaming import StreamingNetwork
from convtasnet_lit.weights.pretrained import Pretrained


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph.

    Args:
        name: The name by which a runtime knows it.
        shape: A number for each axis, or the name of one that is open.
        dtype: NumPy's name of its type.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(map(str, self.shape))}) {self.dtype}"


@dataclass(frozen=True)
class Graph:
    """A network as a graph of operations.

    Args:
        program: The operations and the weights.
        inputs: In order.
        outputs: In order.
        metadata: Goes into the file; docs/exporting.md says what each entry means.
    """

    program: ExportedProgram
    inputs: list[Port]
    outputs: list[Port]
    metadata: dict[str, str]


def separation_graph(pretrained: Pretrained) -> Graph:
    """Trace a network for any number of mixtures of any length.

    Args:
        pretrained: The network.

    Example:
        >>> from convtasnet_lit.model.network import ConvTasNet
        >>> network = ConvTasNet(num_filters=8, hidden_channels=8, num_blocks=1, num_repeats=1).eval()
        >>> graph = separation_graph(Pretrained(network, sample_rate=8000, normalized=True, fewest_speakers=2))
        >>> print(*graph.inputs, *graph.outputs, sep=" -> ")
        mixture (batch, samples) float32 -> estimates (batch, 2, samples) float32
    """
    network = pretrained.network
    mixture = torch.zeros(2, 10 * network.kernel_size)
    program = _traced(network, (mixture,), ({0: Dim.DYNAMIC(min=1), 1: Dim.DYNAMIC(min=1)},))
    estimates = Port("estimates", ("batch", network.num_sources, "samples"))
    metadata = {"format": "offline", **_metadata(pretrained)}
    return Graph(program, [Port("mixture", ("batch", "samples"))], [estimates], metadata)


def streaming_graph(pretrained: Pretrained) -> Graph:
    """Trace the step of a causal network from state to state: see `StreamingNetwork`.

    Args:
        pretrained: The network.

    Raises:
        InputError: It is not causal.
    """
    try:
        network = StreamingNetwork(pretrained.network)
    except ValueError as error:
        raise InputError(f"--streaming: {error}") from error
    stride, state = network.network.stride, dict(zip(network.state_names, network.initial_state(), strict=True))
    samples, open_axes = torch.zeros(1, 5 * stride), {1: stride * Dim("strides", min=1)}
    program = _traced(network, (samples, *state.values()), (open_axes, (None,) * len(state)))
    estimates = Port("estimates", (1, network.network.num_sources, "samples"))
    old, new = ([_port(f"{when}_{name}", value) for name, value in state.items()] for when in ("old", "new"))
    metadata = {
        "format": "streaming",
        **_metadata(pretrained),
        "stride": str(stride),
        "lag": str(network.lag),
        "latency": str(network.latency),
        "state": json.dumps([_start(port, value) for port, value in zip(old, state.values(), strict=True)]),
    }
    return Graph(program, [Port("samples", (1, "samples")), *old], [estimates, *new], metadata)


def _port(name: str, value: Tensor) -> Port:
    return Port(name, tuple(value.shape), str(value.numpy().dtype))


def _start(port: Port, value: Tensor) -> dict[str, Any]:
    """How a part of the state begins: filled with one value."""
    assert (value == value.max()).all()
    return {"name": port.name, "shape": port.shape, "dtype": port.dtype, "value": value.max().item()}


def _metadata(pretrained: Pretrained) -> dict[str, str]:
    network = pretrained.network
    causal = all(block.causal for block in cast(Iterable[ConvBlock], network.separator.blocks))
    level = {"normalization": f"{TARGET_DBFS:.0f} dBFS RMS, peak at most 1", "target_rms": f"{TARGET_RMS:.9f}"}
    return {
        "package": f"convtasnet_lit {__version__}",
        "sample_rate": str(pretrained.sample_rate),
        "num_speakers": str(network.num_sources),
        "fewest_speakers": str(pretrained.fewest_speakers),
        "causal": str(causal).lower(),
        **(level if pretrained.normalized else {"normalization": "none"}),
    }


def _traced(network: nn.Module, inputs: tuple[Tensor, ...], dynamic_shapes: tuple[Any, ...]) -> ExportedProgram:
    # Else torch takes for granted that no axis is 1 long: neither the batch, nor the frames of a very short mixture.
    any_length = symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with quiet(), torch.no_grad(), any_length:
        program = torch.export.export(network, inputs, dynamic_shapes=dynamic_shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    return program


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what torch says to itself while it exports."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")  # torchvision is not installed
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        registration.setLevel(level)
