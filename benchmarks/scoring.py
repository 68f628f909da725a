"""The parts that measure loss and metrics against the network they serve."""

import statistics
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants import (
    SAMPLE_RATE,
    build,
    example_batch,
    model_shape,
    not_installed,
)
from benchmarks.timing import Part, Row, Settings, interleaved
from benchmarks.workloads import forward_pass, training_step
from convtasnet_lit.training.losses import pit_loss
from convtasnet_lit.training.metrics import separation_scores

Loss = Callable[[Tensor, Tensor], Tensor]

COUNTS = range(2, 11)  # sources
PIT_BATCH, PIT_RATE = 4, 8_000  # Hz
CALLS = 3  # of a loss in a round: one is over too soon to time
SPEECHBRAIN_UP_TO = 6  # sources: it tries 6! = 720 orders for each mixture one by one; 10! are 3.6 million
ASTEROID_UP_TO = 9  # sources: it asserts so


def pit(settings: Settings) -> Part:
    """Time the loss of the best permutation for 2 to 10 sources against a training step of the tiny model."""
    rows = [_pit_row(count, settings) for count in COUNTS]
    note = (
        "ms of loss and its gradient; the step is ours, `lean`, loss included. Asteroid: PITLossWrapper("
        "pairwise_neg_sisdr); torchmetrics: permutation_invariant_training, speaker-wise; SpeechBrain: "
        "get_si_snr_with_pitwrapper, which tries every order."
    )
    title = f"PIT, batch {PIT_BATCH} x {settings.seconds:g} s at {PIT_RATE} Hz, {settings.threads} threads"
    return Part(title, note, rows)


def evaluation(settings: Settings) -> Part:
    """Time the metrics of an evaluation against the network on the same utterance."""
    network = build("lean", model_shape(settings.model)).eval()
    sources = example_batch(1, settings.seconds)
    estimates = sources + 0.1 * sources.flip(1)

    def score(*names: str) -> Callable[[], object]:
        return lambda: separation_scores(names, estimates, sources, sources.sum(1), SAMPLE_RATE)

    runs: dict[str, Callable[[], object]] = {
        "network": lambda: forward_pass(network, sources),
        "si_sdr, si_sdri": score("si_sdr", "si_sdri"),
        "sdr, sdri": score("sdr", "sdri"),
        "all four": score("si_sdr", "si_sdri", "sdr", "sdri"),
    }
    medians = {
        name: statistics.median(times) for name, times in interleaved("evaluation", runs, settings.rounds).items()
    }
    rows: list[Row] = [
        {"": name, "ms": 1000 * seconds, "% of the network": 100 * seconds / medians["network"]}
        for name, seconds in medians.items()
    ]
    title = f"Metrics of a {settings.seconds:g} s mixture, {settings.model} model at {SAMPLE_RATE} Hz"
    return Part(title, "As `evaluate` takes them; PESQ and STOI are extra.", rows)


def _pit_row(count: int, settings: Settings) -> Row:
    network = build("lean", model_shape("tiny"), count)
    sources = example_batch(PIT_BATCH, settings.seconds, PIT_RATE, count)
    estimates = (sources + 0.5 * torch.randn_like(sources)).requires_grad_()
    losses, missing = _losses(count)

    def run(loss: Loss) -> None:
        for _ in range(CALLS):
            torch.autograd.grad(loss(estimates, sources), estimates)

    runs: dict[str, Callable[[], object]] = {name: lambda loss=loss: run(loss) for name, loss in losses.items()}  # type: ignore[misc]
    runs["step"] = lambda: training_step(network, sources)
    seconds = interleaved(f"PIT, {count} sources", runs, settings.rounds)
    medians = {name: 1000 * statistics.median(times) for name, times in seconds.items()}
    step = medians.pop("step")
    times = {name: median / CALLS for name, median in medians.items()}
    return {"": f"{count} sources", "step": step, "% of the step": 100 * times["ours"] / step, **times, **missing}


def _losses(count: int) -> tuple[dict[str, Loss], dict[str, float | str]]:
    losses: dict[str, Loss] = {"ours": pit_loss}
    missing: dict[str, float | str] = {}
    limits = {"Asteroid": ASTEROID_UP_TO, "SpeechBrain": SPEECHBRAIN_UP_TO}
    for name, make in PEERS.items():
        if count > limits.get(name, count):
            missing[name] = f"up to {limits[name]}"
            continue
        try:
            losses[name] = make()
        except ImportError as error:
            missing[name] = not_installed(error)
    return losses, missing


def _asteroid() -> Loss:
    from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

    wrapper: Loss = PITLossWrapper(pairwise_neg_sisdr, pit_from="pw_mtx")

    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        with warnings.catch_warnings():  # it makes tensors from lists of arrays
            warnings.simplefilter("ignore")
            return wrapper(estimates, sources)

    return loss


def _torchmetrics() -> Loss:
    from torchmetrics.functional.audio import (
        permutation_invariant_training,
        scale_invariant_signal_noise_ratio,
    )

    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        best, _ = permutation_invariant_training(estimates, sources, scale_invariant_signal_noise_ratio)
        return -best.mean()

    return loss


def _speechbrain() -> Loss:
    from speechbrain.nnet.losses import get_si_snr_with_pitwrapper

    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        value: Tensor = get_si_snr_with_pitwrapper(sources.mT, estimates.mT).mean()
        return value

    return loss


PEERS: dict[str, Callable[[], Any]] = {
    "Asteroid": _asteroid,
    "torchmetrics": _torchmetrics,
    "SpeechBrain": _speechbrain,
}
