"""The part that measures streaming: what a hop takes on one core, and whether that stays so."""

import time

import numpy as np

from benchmarks.contestants import SAMPLE_RATE, example_batch, model_shape
from benchmarks.timing import Part, Row, Settings, followed, threads_of_torch
from convtasnet_lit.inference.live import StreamingSeparator
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
        "One hop after another, without a pause. Latency: how much later than a sample its estimate can be there, the "
        "hop aside. Processor: median and 99th percentile of the time spent computing, whatever else the machine does; "
        "then median, 99th percentile, most and mean of the time that passed. First, last: processor medians of the "
        "first and the last minute, or half of the stream. State: what is remembered of the stream, a count."
    )
    return Part(f"Streaming, {1000 * HOP // SAMPLE_RATE} ms hops at {SAMPLE_RATE} Hz, 1 thread", note, rows)


def _row(model: str, hops: int) -> Row:
    separator = StreamingSeparator(ConvTasNet(**model_shape(model)))
    mixture = example_batch(1, hops * HOP / SAMPLE_RATE).sum(1)[0].numpy()
    processor, passed = 1000 * _hop_seconds(separator, mixture)
    part = min(MINUTE, hops // 2)
    return {
        "": model,
        "latency, samples": separator.latency,
        "latency, ms": 1000 * separator.latency / SAMPLE_RATE,
        "processor, ms": float(np.median(processor)),
        "processor p99": float(np.percentile(processor, 99)),
        "ms a hop": float(np.median(passed)),
        "p99": float(np.percentile(passed, 99)),
        "most": float(passed.max()),
        "of real time": float(passed.mean()) * SAMPLE_RATE / HOP / 1000,
        "first": float(np.median(processor[:part])),
        "last": float(np.median(processor[-part:])),
        "state, MB": separator.state_bytes / 1e6,
    }


def _hop_seconds(separator: StreamingSeparator, mixture: np.ndarray) -> np.ndarray:
    """Processor time and time that passed of each hop, (2, hops), after some to warm up."""
    for hop in mixture[: WARMING * HOP].reshape(-1, HOP):
        separator.push(hop)
    separator.reset()
    clocks = [(time.thread_time(), time.perf_counter())]
    for hop in followed(list(mixture.reshape(-1, HOP)), "hops"):
        separator.push(hop)
        clocks.append((time.thread_time(), time.perf_counter()))
    return np.diff(np.array(clocks), axis=0).T
