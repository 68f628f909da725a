"""The level each speaker has in the mixture, which SI-SDR leaves open."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from convtasnet_lit.audio import BLOCK
from convtasnet_lit.inference.counting import heard_anywhere

SCALES = ("least_squares", "mixture")
NEARLY_EQUAL = 1e-3  # the energy of the difference of two estimates relative to that of their sum: 30 dB under it


class Level:
    """Find the gains with which estimates together come nearest to their mixture, in the least-squares sense.

    A network trained on SI-SDR may give an estimate any scale, even a negative one.

    Args:
        num_speakers: How many estimates there are.

    Example:
        >>> sources = np.random.default_rng(0).normal(size=(2, 8000))
        >>> level = Level(2)
        >>> level.add(sources.sum(0), sources * [[-3.0], [0.1]])
        >>> level.gains().round(3).tolist()
        [-0.333, 10.0]
    """

    def __init__(self, num_speakers: int) -> None:
        self._products = np.zeros((num_speakers, num_speakers))  # of the estimates with each other
        self._with_mixture = np.zeros(num_speakers)

    def add(self, mixture: np.ndarray, estimates: np.ndarray) -> None:
        """Take in a stretch of the recording.

        Args:
            mixture: (samples,).
            estimates: (speakers, samples).
        """
        wide = estimates.astype(np.float64)
        self._products += wide @ wide.T
        self._with_mixture += wide @ mixture.astype(np.float64)

    def gains(self, among: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the gains; those of silent estimates are 0, and estimates that are nearly equal share what they hold.

        The difference of two nearly equal ones could be made as large as one likes to fit what both of them lack.

        Args:
            among: The estimates that together shall come nearest to the mixture; all by default.

        Returns:
            One an estimate, (estimates,).
        """
        products = self._products[among][:, among]
        energies = products.diagonal()
        scales = np.maximum(energies, 1e-9 * max(float(energies.max()), 1e-12)) ** -0.5  # to an energy of one each
        alike = scales[:, None] * products * scales
        gains: np.ndarray = np.linalg.lstsq(alike, scales * self._with_mixture[among], rcond=NEARLY_EQUAL)[0] * scales
        return gains


def at_mixture_level(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Scale each estimate so that together they come nearest to the mixture.

    Args:
        estimates: (speakers, samples).
        mixture: (samples,).

    Returns:
        (speakers, samples).

    Example:
        >>> sources = np.random.default_rng(0).normal(size=(2, 8000))
        >>> np.allclose(at_mixture_level(sources * [[-3.0], [0.1]], sources.sum(0)), sources, atol=1e-4)
        True
    """
    level = Level(len(estimates))
    level.add(mixture, estimates)
    levelled: np.ndarray = level.gains()[:, None].astype(np.float32) * estimates
    return levelled


def add_rest(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Give each speaker an equal part of what the estimates lack of the mixture, so that they sum to it.

    Wisdom et al., "Differentiable consistency constraints for improved deep speech enhancement", ICASSP 2019,
    equation 5.

    Args:
        estimates: (speakers, samples).
        mixture: (samples,).

    Example:
        >>> add_rest(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])).tolist()
        [[1.5, 2.0], [3.5, 4.0]]
    """
    together: np.ndarray = estimates + (mixture - estimates.sum(0)) / len(estimates)
    return together


class Spool:
    """Estimates that wait until the whole recording has told their level, so that it is read once.

    Args:
        num_speakers: How many estimates there are.
        scale: `least_squares`, or `mixture` for an equal part of the rest each.
        counts: Whether the network leaves those silent that it does not need: then only the others are speakers.
        estimates: Where they wait: a file, open for writing and reading.
        mixture: Where the recording waits if its rest is asked for.

    Attributes:
        first: Which of `speakers` comes out first; the others follow in their order.
    """

    def __init__(self, num_speakers: int, scale: str, counts: bool, estimates: BinaryIO, mixture: BinaryIO) -> None:
        self._level, self._powers = Level(num_speakers), list[np.ndarray]()  # these of each window
        self._num_speakers, self._scale, self._counts = num_speakers, scale, counts
        self._estimates, self._mixture, self._length = estimates, mixture, 0
        self.first = 0

    def passing(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Hand on the recording, and keep what finishing will need of it.

        Args:
            blocks: Its pieces, each (samples,) in float32.
        """
        for block in blocks:
            self._length += len(block)
            if self._scale == "mixture":
                self._mixture.write(np.ascontiguousarray(block).data)
            yield block

    def listen(self, mixture: np.ndarray, estimates: np.ndarray) -> None:
        """Take in the level of a window and of its estimates.

        Args:
            mixture: (samples,), at any rate.
            estimates: (speakers, samples).
        """
        self._level.add(mixture, estimates)
        self._powers.append(np.square(estimates, dtype=np.float64).sum(1) / max(1, len(mixture)))

    @property
    def speakers(self) -> np.ndarray:
        """The numbers of the estimates that hold a speaker, from 0; in silence the first one alone."""
        if not self._counts:
            return np.arange(self._num_speakers)
        heard = np.flatnonzero(heard_anywhere(np.array(self._powers)))
        return heard if len(heard) else np.zeros(1, np.intp)

    def write(self, estimates: np.ndarray) -> None:
        """Append (samples, speakers) in float32."""
        self._estimates.write(np.ascontiguousarray(estimates, np.float32).data)

    def finished(self, size: int = BLOCK) -> Iterator[np.ndarray]:
        """Return the estimates at the level they have in the mixture, from the start.

        Args:
            size: How many samples at once.

        Returns:
            Pieces (speakers, samples), as long as the recording; zeros where resampling left the estimates a few
            samples short.
        """
        self._estimates.seek(0)
        self._mixture.seek(0)
        speakers = self.speakers
        gains = self._level.gains(speakers)[:, None].astype(np.float32)
        order = [self.first, *(number for number in range(len(speakers)) if number != self.first)]
        for start in range(0, self._length, size):
            samples = min(size, self._length - start)
            estimates = _read(self._estimates, samples * self._num_speakers).reshape(samples, -1)
            levelled = gains * estimates.T[speakers]
            if self._scale == "mixture":
                levelled = add_rest(levelled, _read(self._mixture, samples))
            yield levelled[order]


def _read(file: BinaryIO, count: int) -> np.ndarray:
    """The next values of a file in float32, zeros after its end, (count,)."""
    values = np.frombuffer(file.read(4 * count), np.float32)
    return np.pad(values, (0, count - len(values)))
