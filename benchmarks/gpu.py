"""Measure on a GPU, and print Markdown: `python -m benchmarks.gpu`. It has not been run on a GPU yet."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from copy import deepcopy

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from benchmarks import printing
from benchmarks.contestants import build_all, example_batch, model_shape
from benchmarks.memory_table import PROFILES
from benchmarks.timing import PEERS, Part, Row, absent
from convtasnet_lit.command_line import BAD_INPUT, leave
from convtasnet_lit.config import Config, plain, typed
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.model.network import MEMORY, ConvTasNet
from convtasnet_lit.training.compiled import Compiled
from convtasnet_lit.training.losses import pit_loss

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
CONTESTANTS = (*MEMORY, *PEERS)
ROUNDS, WARMING = 10, 3


def main() -> None:
    """Compare a step of each profile with float64, then the time and the memory of a step with the peers'."""
    if not torch.cuda.is_available():
        leave("error: benchmarks.gpu: no GPU here; the other parts run on the CPU: python -m benchmarks", BAD_INPUT)
    parts = [accuracy(configs(), torch.device("cuda")), speed()]
    machine = {"card": torch.cuda.get_device_name(), **printing.machine()}
    print(printing.markdown(machine, "python -m benchmarks.gpu", parts))


def configs() -> dict[str, Config]:
    """Compose the runs of conf/gpu that are for a GPU."""
    with initialize_config_dir(str(CONF_DIR.absolute()), version_base="1.3"):
        return {name: typed(Config, compose("train", [f"gpu={name}"])) for name in PROFILES}


def accuracy(configs: dict[str, Config], device: torch.device) -> Part:
    """Compare the loss and the gradient of each profile, memory setting and precision with float64.

    Args:
        configs: Runs, by the profile's name.
        device: Where.
    """
    rows = [row for name, config in configs.items() for row in _accuracy_rows(name, config, device)]
    note = "Differences from the same step in float64: of the loss in dB, and of the gradient as a part of its norm."
    return Part("A training step against float64", note, rows)


def _accuracy_rows(name: str, config: Config, device: torch.device) -> Iterable[Row]:
    torch.manual_seed(0)
    network = ConvTasNet(config.data.num_speakers, **plain(config.model)).to(device)
    shape = config.data.mixtures_per_batch, config.data.num_speakers, config.data.segment_samples
    sources = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device) / 10
    exact = deepcopy(network).double()
    exact.memory = "checkpoint"
    loss, gradient = _step(exact, sources.double(), torch.float32)
    for precision, dtype in PRECISIONS.items():
        for memory in MEMORY:
            network.memory = memory
            found, found_gradient = _step(network, sources, dtype)
            error = torch.linalg.norm(found_gradient - gradient) / torch.linalg.norm(gradient)
            title = f"{name}, {precision}, {memory}"
            yield {"": title, "loss, dB": abs(float(found - loss)), "gradient": float(error)}


def _step(network: nn.Module, sources: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A scaled step as in training: the loss, and the gradient of all parameters in float64."""
    scaler = GradScaler(sources.device.type, enabled=dtype == torch.float16)
    network.zero_grad()
    with torch.autocast(sources.device.type, dtype, enabled=dtype != torch.float32):
        loss = pit_loss(network(sources.sum(1)), sources)
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    gradient = torch.cat([p.grad.flatten().double() for p in network.parameters() if p.grad is not None])
    return loss.detach().double(), gradient / scaler.get_scale()


def speed() -> Part:
    """Time a training step of the paper's size and count the bytes it takes at most, in each precision."""
    networks, missing = build_all(model_shape("paper"), CONTESTANTS)
    sources, rows = example_batch(2, 2.0).cuda(), list[Row]()
    for name, network in networks.items():
        rows += _speed_rows(name, network.cuda(), network, sources)
        if name == "plain" and isinstance(network, ConvTasNet):
            compiled = Compiled(network)
            rows += _speed_rows("plain, compiled", network, lambda x, compiled=compiled: compiled(x)[0], sources)  # type: ignore[misc]
        network.cpu()
    note = f"Medians of {ROUNDS} steps as of the part `step`; the most that torch had allocated, weights included."
    return Part("Training step, paper model, batch 2 x 2 s at 16000 Hz", note, rows + absent(missing, "ms"))


def _speed_rows(name: str, network: nn.Module, run: Callable[[Tensor], Tensor], sources: Tensor) -> Iterable[Row]:
    for precision, dtype in PRECISIONS.items():
        torch.cuda.reset_peak_memory_stats()
        times = [_seconds(network, run, sources, dtype) for _ in range(WARMING + ROUNDS)][WARMING:]
        peak = torch.cuda.max_memory_allocated()
        yield {"": f"{name}, {precision}", "ms": 1000 * statistics.median(times), "peak MB": peak / 1e6}
        print(f"{name}, {precision}", file=sys.stderr)


def _seconds(network: nn.Module, run: Callable[[Tensor], Tensor], sources: Tensor, dtype: torch.dtype) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    network.zero_grad(set_to_none=True)
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        loss = pit_loss(run(sources.sum(1)).float(), sources)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
