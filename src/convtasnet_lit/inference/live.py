"""Separation while it is recorded: samples in, as they come, estimates out, as soon as they are there."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convtasnet_lit.audio import as_samples
from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.level import Level
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.model.streaming import StreamingNetwork
from convtasnet_lit.weights.pretrained import load_pretrained

FRAMES_AT_ONCE = 2048  # of a long push, so that its memory has a bound


class StreamingSeparator:
    """Separate one stream; what comes out in all is what the network makes of the whole.

    One object is one stream and is used by one thread at a time; several may share a network. A sample's estimate is
    there once `latency` samples have come in from it on: see `StreamingNetwork`.

    The estimates have the network's own scale, as `RunningLevel` explains. No level has to be set before: a network
    with cumulative norms takes any, and its estimates follow it. One with batch norms (`norm=BN`) expects about the
    level it was trained on, which is -25 dBFS unless `data.normalize=false` was.

    Args:
        network: A causal network.
        sample_rate: Hz, of the audio it was trained on; kept for those who ask, 0 for unknown.

    Raises:
        ValueError: The network is not causal.

    Example:
        >>> network = ConvTasNet(num_filters=32, hidden_channels=32, num_repeats=1, norm="cLN", causal=True)
        >>> separator, mixture = StreamingSeparator(network), np.random.default_rng(0).normal(0, 0.1, 1000)
        >>> pieces = [separator.push(mixture[:300]), separator.push(mixture[300:]), separator.flush()]
        >>> [piece.shape for piece in pieces]
        [(2, 288), (2, 704), (2, 8)]
    """

    def __init__(self, network: ConvTasNet, sample_rate: int = 0) -> None:
        self.sample_rate = sample_rate
        self._streaming, self._network = StreamingNetwork(network), network
        self.latency: int = self._streaming.latency  # samples
        self.lag: int = self._streaming.lag  # samples
        self.num_speakers = network.num_sources
        self.reset()

    @classmethod
    def from_pretrained(cls, path: str | Path) -> "StreamingSeparator":
        """Load a trained network.

        Args:
            path: What `weights.pretrained.load_pretrained` takes: a .ckpt file, the folder of a run, ...

        Raises:
            InputError: It is missing, damaged, would run code, or is not causal.
        """
        trained = load_pretrained(path)
        try:
            return cls(trained.network, trained.sample_rate)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error

    def reset(self) -> None:
        """Forget the stream and begin another."""
        self._state: Sequence[Tensor] = self._streaming.initial_state()
        self._waiting = np.zeros(0, np.float32)  # less than a stride
        self._taken, self._given = 0, -self.lag  # samples; the first stride of estimates is to be dropped

    @property
    def state_bytes(self) -> int:
        """What is remembered of the stream, however long it has been."""
        return sum(tensor.nbytes for tensor in self._state) + self._waiting.nbytes

    def push(self, samples: np.ndarray | Tensor) -> np.ndarray:
        """Take the next samples of the mixture.

        Args:
            samples: (samples,), any number of them, also none.

        Returns:
            The estimates that are ready, (speakers, ready samples) in float32, often more or fewer than went in.

        Raises:
            InputError: They are not one channel, or not finite; the stream goes on as if they had not come. Or the
                estimates are not finite; the stream is lost.
        """
        chunk = as_samples(samples, "samples")
        if chunk.ndim != 1:
            raise InputError(f"samples: of shape {chunk.shape}; it must be (samples,)")
        self._taken += len(chunk)
        return self._separated(chunk)

    def flush(self) -> np.ndarray:
        """Return the estimates that are still to come, (speakers, samples), and begin another stream."""
        missing = self._taken - max(0, self._given)
        _, zeros = self._network.padding(self._taken)
        rest = [self._separated(np.zeros(zeros, np.float32)), self._array(self._streaming.overlap(*self._state))]
        if not self._network.edge_padding:  # an incomplete last frame is left out, and silent
            rest.append(np.zeros((self.num_speakers, self.lag), np.float32))
        self.reset()
        return np.concatenate(rest, 1)[:, :missing]

    @torch.inference_mode()
    def _separated(self, samples: np.ndarray) -> np.ndarray:
        """(samples,) -> (speakers, ready samples)."""
        stride, most = self.lag, self.lag * FRAMES_AT_ONCE
        waiting = np.concatenate([self._waiting, samples])
        whole = len(waiting) // stride * stride
        self._waiting = waiting[whole:].copy()
        pieces = [self._step(waiting[start : min(start + most, whole)]) for start in range(0, whole, most)]
        return np.concatenate([np.zeros((self.num_speakers, 0), np.float32), *pieces], 1)

    def _step(self, samples: np.ndarray) -> np.ndarray:
        """Whole strides (samples,) -> (speakers, samples), the first time a stride less."""
        weight = self._network.encoder.filters.weight
        estimates, *self._state = self._streaming(torch.from_numpy(samples).to(weight).unsqueeze(0), *self._state)
        early = max(0, -self._given)
        self._given += len(samples)
        return self._array(estimates)[:, early:]

    @staticmethod
    def _array(estimates: Tensor) -> np.ndarray:
        """(1, speakers, samples) -> (speakers, samples)."""
        array: np.ndarray = estimates[0].float().cpu().numpy()
        if not np.isfinite(array).all():
            raise InputError("the network makes NaN or infinite estimates; are its weights damaged?")
        return array


class RunningLevel:
    """Bring the estimates of a stream to the level they have in the mixture, as far as it is known.

    A network trained on SI-SDR may give an estimate any scale, even a negative one. The gains are those of
    `inference.level.Level` for everything so far, this piece included, so pieces of other sizes give other gains. A
    gain that stepped from piece to piece would click, so it moves from the one to the other along a straight line over
    the piece, and is right at its last sample.

    Args:
        num_speakers: How many estimates there are.

    Example:
        >>> sources = np.random.default_rng(0).normal(size=(2, 8000))
        >>> level = RunningLevel(2)
        >>> np.allclose(level.levelled(sources.sum(0), sources * [[-3.0], [0.1]]), sources, atol=1e-4)
        True
    """

    def __init__(self, num_speakers: int) -> None:
        self._level = Level(num_speakers)
        self._mixture = np.zeros(0, np.float32)  # whose estimates are still to come
        self._gains = np.zeros(num_speakers)  # at the last sample; 0 where nothing was heard yet

    def levelled(self, mixture: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        """Scale the next estimates.

        Args:
            mixture: What went in, (samples,).
            estimates: What came out, (speakers, ready samples); it belongs to the oldest samples that wait.

        Returns:
            (speakers, ready samples).
        """
        samples = estimates.shape[1]
        ready, self._mixture = np.split(np.concatenate([self._mixture, mixture]), [samples])
        if samples == 0:
            return estimates
        self._level.add(ready, estimates)
        gains = self._level.gains()
        before, self._gains = np.where(self._gains, self._gains, gains), gains
        ramp = np.linspace(before, gains, samples + 1, axis=1)[:, 1:]  # (speakers, samples)
        levelled: np.ndarray = ramp.astype(np.float32) * estimates
        return levelled


def separated(separator: StreamingSeparator, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Separate a stream to its end, at the level the speakers have in it.

    Args:
        separator: At the start of a stream; it is left at the start of another.
        pieces: The mixture, each (samples,).

    Returns:
        For each piece the estimates that became ready, (speakers, samples), and at last the rest.
    """
    level = RunningLevel(separator.num_speakers)
    for piece in pieces:
        yield level.levelled(piece, separator.push(piece))
    yield level.levelled(np.zeros(0, np.float32), separator.flush())
