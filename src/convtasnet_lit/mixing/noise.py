"""Noise that is made here, babble of other speakers, and one's own recordings of noise."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import irfft, rfft

from convtasnet_lit.corpus.noises import kept_rows
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.mixing.plan import Speakers

FEWEST_TALKERS, MOST_TALKERS = 3, 6  # of babble: two could be taken for the speakers

_STEEPEST = 1.5  # of the exponent of 1/f: 0 is white, 1 pink
_FLAT_BELOW = 50.0  # Hz: below, steep noise would have all its energy where no speech is
_MAINS = (50.0, 60.0)  # Hz
_HARMONICS = 12
_CLICKS_A_SECOND = (2.0, 10.0)
_CLICK_SECONDS = (0.0005, 0.005)  # in which one decays to 1/e


@dataclass(frozen=True)
class Noises:
    """Where noise is taken from.

    Args:
        store: The prepared corpus.
        talkers: Its training speakers, of whom babble is made.
        recorded: Recordings of noise, which are then half of all noise.
        kept: Those of them that are kept for validation and test, else the others.
    """

    store: Store
    talkers: Speakers
    recorded: Store | None = None
    kept: bool = False

    @cached_property
    def _rows(self) -> list[int]:
        return [] if self.recorded is None else kept_rows(self.recorded, self.kept)

    def draw(self, rng: np.random.Generator, samples: int, speaking: tuple[int, ...]) -> np.ndarray:
        """Draw a kind of noise, and a piece of it.

        Args:
            rng: The generator of this mixture's noise.
            samples: Its length.
            speaking: The rows of the store that speak in the mixture; babble is of other speakers.

        Returns:
            (samples,) in float32, at any level.
        """
        if self.recorded is not None and rng.random() < 0.5:
            row = int(rng.choice(self._rows))
            return _piece(self.recorded, row, self.recorded.lengths[row], rng, samples)
        if rng.random() < 1 / (1 + len(_MADE)):
            return self._babble(rng, samples, speaking)
        return _MADE[rng.integers(len(_MADE))](rng, samples, self.store.sample_rate)

    def digest(self) -> str:
        """Hash what can be heard: the samples of the talkers and of the recordings."""
        heard = [self.store.index["sha256"].iloc[np.concatenate(self.talkers.rows)]]
        if self.recorded is not None:
            heard.append(self.recorded.index["sha256"].iloc[self._rows])
        return hashlib.sha256("".join("".join(each) for each in heard).encode()).hexdigest()[:12]

    @cached_property
    def _talker_of(self) -> dict[int, int]:
        return {row: talker for talker, rows in enumerate(self.talkers.rows) for row in rows.tolist()}

    def _babble(self, rng: np.random.Generator, samples: int, speaking: tuple[int, ...]) -> np.ndarray:
        others = sorted(set(range(len(self.talkers.rows))) - {self._talker_of.get(row, -1) for row in speaking})
        if len(others) < FEWEST_TALKERS:
            return coloured(rng, samples, self.store.sample_rate)
        count = rng.integers(FEWEST_TALKERS, min(MOST_TALKERS, len(others)) + 1)
        babble = np.zeros(samples, np.float32)
        for talker in rng.permutation(others)[:count]:
            row = int(rng.choice(self.talkers.rows[talker]))
            babble += _piece(self.store, row, int(self.talkers.lengths[row]), rng, samples) / self.store.rms[row]
        return babble


def _piece(store: Store, row: int, length: int, rng: np.random.Generator, samples: int) -> np.ndarray:
    """A piece of a recording, from anywhere in its first `length` samples; a short one begins anew."""
    if length > samples:
        return store.read(row, int(rng.integers(length - samples + 1)), samples)
    return np.resize(store.read(row, 0, length), samples)


def coloured(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    """Make steady noise that is white, pink or between and beyond: fans, traffic, hiss.

    Args:
        rng: A generator.
        samples: How many.
        sample_rate: Hz.
    """
    return _coloured(rng, samples, sample_rate, rng.uniform(0, _STEEPEST))


def _coloured(rng: np.random.Generator, samples: int, sample_rate: int, exponent: float) -> np.ndarray:
    spectrum = rfft(rng.standard_normal(samples, dtype=np.float32))
    frequencies = np.fft.rfftfreq(samples, 1 / sample_rate)
    spectrum *= (np.maximum(frequencies, _FLAT_BELOW) ** (-exponent / 2)).astype(np.float32)
    return np.asarray(irfft(spectrum, samples))


def hum(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    """Make the hum of the mains: harmonics of 50 or 60 Hz.

    Args:
        rng: A generator.
        samples: How many.
        sample_rate: Hz.
    """
    phase = 2 * np.pi * rng.choice(_MAINS) / sample_rate * np.arange(samples)
    order = np.arange(1, _HARMONICS + 1)
    loudness, offset = rng.uniform(0.1, 1, _HARMONICS) / order, rng.uniform(0, 2 * np.pi, _HARMONICS)
    tones = (a * np.sin(k * phase + o) for k, a, o in zip(order, loudness, offset, strict=True))
    noise: np.ndarray = np.sum(list(tones), axis=0).astype(np.float32)
    return noise


def clicks(rng: np.random.Generator, samples: int, sample_rate: int) -> np.ndarray:
    """Make short bursts at any time and of any loudness: keys, cups, a bad contact.

    Args:
        rng: A generator.
        samples: How many.
        sample_rate: Hz.
    """
    noise = np.zeros(samples, np.float32)
    for _ in range(1 + rng.poisson(rng.uniform(*_CLICKS_A_SECOND) * samples / sample_rate)):
        decay = rng.uniform(*_CLICK_SECONDS) * sample_rate
        length, start = int(5 * decay) + 2, int(rng.integers(samples))
        burst = rng.standard_normal(length, dtype=np.float32) * np.exp(-np.arange(length) / decay) * rng.lognormal()
        noise[start : start + length] += burst[: samples - start]
    return noise


_MADE: tuple[Callable[[np.random.Generator, int, int], np.ndarray], ...] = (coloured, hum, clicks)
