"""The part that measures streaming: what a hop takes on one core, and whether that stays so."""

import statistics
import time

import numpy as np

from convtasnet_lit.benchmarks.contestants import SAMPLE_RATE, example_batch, model_shape
from convtasnet_lit.benchmarks.timing import Part, Row, Settings, followed, threads_of_torch
from convtasnet_lit.inference.streaming import StreamingSeparator
from convtasnet_lit.model.network import ConvTasNet

MODELS = ("causal", "causal_small")
HOP = SAMPLE_RATE // 100  # samples: 10 ms
MINUTE = 6000  # hops
WARMING = 20  # hops


def latency(settings: Settings) -> Part:
    """Time each hop of a stream."""
    with threads_of_torch(1):
        rows = [_row(model, round(max(settings.long_seconds) * SAMPLE_RATE) // HOP) for model in MODELS]
    note = (
        "One hop after another, nothing between. The first columns: how much later than a sample its estimate can be "
        "there at the earliest. First and last: medians of the first and the last minute, or half of the stream."
    )
    return Part(f"Streaming, {1000 * HOP // SAMPLE_RATE} ms hops at {SAMPLE_RATE} Hz, 1 thread", note, rows)


def _row(model: str, hops: int) -> Row:
    separator = StreamingSeparator(ConvTasNet(**model_shape(model)))
    mixture = example_batch(1, hops * HOP / SAMPLE_RATE).sum(1)[0].numpy()
    times = 1000 * _hop_seconds(separator, mixture)
    part = min(MINUTE, hops // 2)
    return {
        "": model,
        "latency, samples": separator.latency,
        "latency, ms": 1000 * separator.latency / SAMPLE_RATE,
        "ms a hop": statistics.median(times),
        "p99": float(np.percentile(times, 99)),
        "most": float(times.max()),
        "of real time": float(times.mean()) * SAMPLE_RATE / HOP / 1000,
        "first": statistics.median(times[:part]),
        "last": statistics.median(times[-part:]),
        "state, MB": separator.state_bytes / 1e6,
    }


def _hop_seconds(separator: StreamingSeparator, mixture: np.ndarray) -> np.ndarray:
    """Of each hop, after some to warm up."""
    for hop in mixture[: WARMING * HOP].reshape(-1, HOP):
        separator.push(hop)
    separator.reset()
    seconds = []
    for hop in followed(list(mixture.reshape(-1, HOP)), "hops"):
        started = time.perf_counter()
        separator.push(hop)
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)
