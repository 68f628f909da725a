"""Print the tables of docs/exporting.md: `python benchmarks/export_table.py`, some minutes. Needs the extra `onnx`."""

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import onnxruntime
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from convtasnet_lit.config import Config, plain, typed
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.exporting.formats import write_onnx
from convtasnet_lit.exporting.graphs import separation_graph, streaming_graph
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.model.streaming import StreamingNetwork
from convtasnet_lit.weights.pretrained import Pretrained

RATE = 8000
LENGTHS = (1, 7, 100, 1000, 4001, 8000, 15999, 16000, 40003, 160_000)  # samples
ROUNDS = 15


def untrained(model: str) -> Pretrained:
    """Return a network with random weights, of a file of conf/model."""
    torch.manual_seed(0)
    config = plain(typed(Config, compose("train", [f"model={model}"])))
    return Pretrained(ConvTasNet(2, **config["model"]).eval(), RATE, normalized=True, fewest_speakers=2)


def medians(*functions: Callable[[], object]) -> list[float]:
    """Return the milliseconds each takes, called in turn after a round to warm up."""
    times = [[_milliseconds(function) for function in functions] for _ in range(ROUNDS + 1)][1:]
    return [median(column) for column in zip(*times, strict=True)]


def _milliseconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return 1000 * (perf_counter() - start)


def session_of(path: Path) -> onnxruntime.InferenceSession:
    """Open a file for one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def difference(network: ConvTasNet, session: onnxruntime.InferenceSession, mixtures: Iterable[Tensor]) -> float:
    """Return how far onnxruntime is from torch at most, as a part of the greatest sample."""
    pairs = [(session.run(None, {"mixture": m.numpy()})[0], network(m).numpy()) for m in mixtures]
    return max(float(abs(there - here).max() / abs(here).max()) for there, here in pairs)


def offline_row(model: str, path: Path) -> str:
    """Return a row: what exporting takes, how far onnxruntime is from torch, and what 2 s take in either."""
    trained, start = untrained(model), perf_counter()
    write_onnx(separation_graph(trained), path)
    seconds, session, mixture = perf_counter() - start, session_of(path), 0.05 * torch.randn(1, 2 * RATE)
    error = difference(trained.network, session, (0.05 * torch.randn(b, n) for n in LENGTHS for b in (1, 2)))
    times = medians(lambda: trained.network(mixture), lambda: session.run(None, {"mixture": mixture.numpy()}))
    return row(model, seconds, path, error, times)


def streaming_row(model: str, path: Path) -> str:
    """Return a row: the same of hops of 10 ms."""
    trained, start = untrained(model), perf_counter()
    write_onnx(streaming_graph(trained), path)
    seconds, session, step = perf_counter() - start, session_of(path), StreamingNetwork(trained.network)
    parts = json.loads(session.get_modelmeta().custom_metadata_map["state"])
    here, there = step.initial_state(), {p["name"]: np.full(p["shape"], p["value"], p["dtype"]) for p in parts}
    greatest = apart = 0.0
    for samples in 0.05 * torch.randn(200, 1, RATE // 100):
        expected, *here = step(samples, *here)
        estimates, *new = session.run(None, {"samples": samples.numpy(), **there})
        there = dict(zip(there, new, strict=True))
        greatest = max(greatest, abs(expected).max().item())
        apart = max(apart, abs(estimates - expected.numpy()).max())
    times = medians(lambda: step(samples, *here), lambda: session.run(None, {"samples": samples.numpy(), **there}))
    return row(f"{model}, streaming", seconds, path, apart / greatest, times)


def row(name: str, seconds: float, path: Path, error: float, times: list[float]) -> str:
    """Return a row of the table."""
    size = path.stat().st_size / 1e6
    return f"| {name} | {seconds:.0f} | {size:.1f} | {error:.1g} | {times[0]:.3g} | {times[1]:.3g} |"


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        for model in ("tiny", "paper", "causal_small", "causal"):
            print(offline_row(model, file), flush=True)
        for model in ("causal_small", "causal"):
            print(streaming_row(model, file), flush=True)
        write_onnx(separation_graph(tiny := untrained("tiny")), file)
        long = difference(tiny.network, session_of(file), [0.05 * torch.randn(1, 300 * RATE)])
        print(f"tiny, 5 minutes at once: {long:.1g}")
