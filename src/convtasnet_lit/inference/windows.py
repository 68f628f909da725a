"""Recordings of any length in bounded memory: windows that overlap, each separated alone, faded into one another."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, cast

import numpy as np

from convtasnet_lit.inference.tracking import Tracker
from convtasnet_lit.model import fast
from convtasnet_lit.model.blocks import ConvBlock
from convtasnet_lit.model.network import ConvTasNet

OVERLAP = 0.25  # of a window
SHORTEST_WINDOW = 1.0  # seconds
WINDOW_BYTES = 300e6  # that a window takes by default: the longer, the better, see docs/separating.md


class Piece(NamedTuple):
    """A stretch of a recording and what came of it."""

    mixture: np.ndarray  # (samples,)
    estimates: np.ndarray  # (speakers, samples)


def window_seconds(network: ConvTasNet, sample_rate: int) -> float:
    """Return how many seconds of a recording a network separates in about 300 MB, but a second at least.

    Args:
        network: The network, on a CPU and in float32.
        sample_rate: Hz.

    Example:
        >>> round(window_seconds(ConvTasNet(), 16_000))  # the paper's
        23
    """
    separator, hidden = network.separator, cast(ConvBlock, network.separator.blocks[0]).expand.out_channels
    copies = 1 if separator.norm == "gLN" and fast.has_kernels() else 5  # fast blocks, plain ones
    state = separator.bottleneck.out_channels + separator.output.in_channels
    channels: int = network.encoder.filters.out_channels + 2 * state + copies * hidden
    samples = 8 * network.num_sources  # the mixture and its estimates, on their way from one stage to the next
    return max(SHORTEST_WINDOW, WINDOW_BYTES / (4 * sample_rate * (channels / network.stride + samples)))


def windows(blocks: Iterable[np.ndarray], length: int, overlap: int) -> Iterator[np.ndarray]:
    """Cut a stream of samples into windows that overlap.

    Args:
        blocks: Pieces of the recording in their order, each (samples,).
        length: Length of a window in samples.
        overlap: Samples that a window shares with the one before.

    Returns:
        Windows (length,); the last may be shorter, but not as short as the overlap, unless it is the only one.

    Example:
        >>> [w.tolist() for w in windows([np.arange(4.0), np.arange(4.0, 8.0)], 4, 1)]
        [[0.0, 1.0, 2.0, 3.0], [3.0, 4.0, 5.0, 6.0], [6.0, 7.0]]
    """
    waiting, held = list[np.ndarray](), np.zeros(0, np.float32)
    for block in blocks:
        waiting.append(block)
        if len(held) + sum(map(len, waiting)) > length:
            held = np.concatenate([held, *waiting])
            waiting.clear()
        while len(held) > length:
            yield held[:length]
            held = held[length - overlap :]
    held = np.concatenate([held, *waiting])
    yield held if len(held) else np.zeros(1, np.float32)  # what resampling left of a sample or two


def separate_windows(
    blocks: Iterable[np.ndarray],
    separate: Callable[[np.ndarray], np.ndarray],
    length: int,
    overlap: int,
    batch: int,
    tracker: Tracker,
) -> Iterator[Piece]:
    """Separate a stream of samples window by window, with each speaker on one track throughout.

    Near its ends a window knows less than in its middle, so of the overlap the first quarter is taken from the window
    before, the last from the one after, and between them one is faded into the other.

    Args:
        blocks: Pieces of the recording in their order, each (samples,).
        separate: (windows, samples) -> (windows, speakers, samples).
        length: Length of a window in samples.
        overlap: Samples that a window shares with the one before, at most half of it.
        batch: How many windows are separated at once.
        tracker: Which says whose an estimate is.

    Returns:
        Pieces, one a window, which together are the recording.
    """
    rest: Piece | None = None  # of the window before, where this one overlaps it
    for mixture, unordered in _separated(windows(blocks, length, overlap), separate, batch):
        estimates = unordered[tracker.order(unordered, rest and rest.estimates)]
        if rest is not None:
            fade = np.clip(np.linspace(-0.5, 1.5, overlap, dtype=np.float32), 0, 1)
            estimates[:, :overlap] = rest.estimates + fade * (estimates[:, :overlap] - rest.estimates)
        done = max(0, len(mixture) - overlap)
        yield Piece(mixture[:done], estimates[:, :done])
        rest = Piece(mixture[done:], estimates[:, done:])
    if rest is not None:
        yield rest


def _separated(
    pieces: Iterator[np.ndarray], separate: Callable[[np.ndarray], np.ndarray], batch: int
) -> Iterator[Piece]:
    """Separate windows a batch at a time; the last window is alone where it is shorter."""
    while group := list(islice(pieces, batch)):
        whole = [window for window in group if len(window) == len(group[0])]
        for windows_ in (whole, group[len(whole) :]):
            if windows_:
                yield from map(Piece, windows_, separate(np.stack(windows_)))
