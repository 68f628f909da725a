"""Responses of rooms that do not exist: boxes whose walls mirror the speaker.

Allen & Berkley, "Image method for efficiently simulating small-room acoustics", JASA 1979. A bank of rooms is made once
a process, as far as it is used: a response takes up to a million mirror images, and a mixture one FFT convolution.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.signal import oaconvolve, resample_poly

ROOMS = 200  # in a bank
PLACES = 6  # in each room; a mixture has at most five speakers

SPEED_OF_SOUND = 343.0  # m/s
FINER = 8  # arrivals are rounded to this part of a sample
KEPT_DB = 50.0  # of the decay; the rest is not heard, and has most of the images

_SIZES = ((3.0, 8.0), (3.0, 6.0), (2.4, 3.5))  # m: an office, a living room
_DECAYS = (0.1, 0.6)  # s, RT60
_DISTANCES = (0.5, 3.0)  # m
_FROM_WALLS = 0.4  # m
_SEED = 1979


class Response(NamedTuple):
    """What a microphone hears of a click: all of it, and its direct sound alone; (samples,) in float32 each."""

    whole: np.ndarray
    direct: np.ndarray


class Room(NamedTuple):
    """A box, where its microphone stands (m), and how much of an amplitude a wall gives back."""

    size: np.ndarray
    microphone: np.ndarray
    reflection: float
    decay: float  # RT60 in seconds


def images(room: Room, speaker: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """List the mirror images of a speaker that are heard within some seconds.

    Args:
        room: The room.
        speaker: Where it stands, m, (3,).
        seconds: After the click.

    Returns:
        When they are heard, in seconds, and their amplitudes relative to that at 1 m, (images,) each; the direct sound
        is the first.
    """
    reach = SPEED_OF_SOUND * seconds
    axes = [_along(*each, reach) for each in zip(room.size, room.microphone, speaker, strict=True)]
    (x, a), (y, b), (z, c) = ((offset.astype(np.float32), bounces) for offset, bounces in axes)
    squared = (x * x)[:, None, None] + (y * y)[:, None] + z * z
    heard = squared < reach**2
    bounces = (a[:, None, None] + b[:, None] + c)[heard]
    distances = np.sqrt(squared[heard])
    amplitudes = room.reflection ** np.arange(bounces.max() + 1)
    first = np.argmin(distances)
    order = np.r_[first, :first, first + 1 : len(distances)]
    return distances[order] / SPEED_OF_SOUND, (amplitudes[bounces] / distances)[order]


def _along(size: float, microphone: float, speaker: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """How far images lie from the microphone along an axis, and how many walls of it they have met."""
    periods = np.arange(-int(reach / (2 * size)) - 1, int(reach / (2 * size)) + 2)
    straight, mirrored = 2 * periods * size + speaker, 2 * periods * size - speaker
    offsets = np.concatenate([straight, mirrored]) - microphone
    return offsets, np.concatenate([np.abs(2 * periods), np.abs(2 * periods - 1)])


def sampled(delays: np.ndarray, amplitudes: np.ndarray, sample_rate: int) -> np.ndarray:
    """Put arrivals on the samples of a band-limited response.

    Args:
        delays: Seconds, (arrivals,).
        amplitudes: (arrivals,).
        sample_rate: Hz.

    Returns:
        (samples,) in float32; a little longer than the last delay.
    """
    ticks = np.rint(delays * (sample_rate * FINER)).astype(np.int64)
    train = np.bincount(ticks, amplitudes, ticks.max() + 16 * FINER)
    return (FINER * resample_poly(train, 1, FINER)).astype(np.float32)


@cache
def room(bank: int, number: int) -> Room:
    """Draw a room, as a function of its bank and number.

    Args:
        bank: Training, validation and test have one each.
        number: Below `ROOMS`.
    """
    rng = np.random.default_rng((_SEED, bank, number))
    size = np.array([rng.uniform(*span) for span in _SIZES])
    decay = rng.uniform(*_DECAYS)
    microphone = rng.uniform(_FROM_WALLS, size - _FROM_WALLS)
    return Room(size, microphone, reflection_of(size, decay), decay)


def reflection_of(size: np.ndarray, decay: float) -> float:
    """Find how much amplitude walls give back, from the time in which sound decays by 60 dB (Eyring's formula).

    Args:
        size: Of the room, m, (3,).
        decay: Seconds.

    Example:
        >>> round(reflection_of(np.array([5.0, 4.0, 3.0]), 0.4), 3)
        0.879
    """
    volume, surface = size.prod(), 2 * (size.prod() / size).sum()
    return float(np.exp(-12 * np.log(10) * volume / (SPEED_OF_SOUND * surface * decay)))


@cache
def response(sample_rate: int, bank: int, number: int, place: int) -> Response:
    """Make the response of a room to a speaker in one of its places.

    Args:
        sample_rate: Hz.
        bank: As of `room`.
        number: Of the room.
        place: Below `PLACES`.
    """
    here = room(bank, number)
    rng = np.random.default_rng((_SEED, bank, number, 1 + place))
    delays, amplitudes = images(here, _placed(here, rng), here.decay * KEPT_DB / 60)
    return Response(sampled(delays, amplitudes, sample_rate), sampled(delays[:1], amplitudes[:1], sample_rate))


def _placed(here: Room, rng: np.random.Generator) -> np.ndarray:
    """Somewhere around the microphone, away from the walls."""
    while True:
        direction = rng.standard_normal(3) * (1, 1, 0.3)  # heads are at about one height
        place: np.ndarray = here.microphone + direction / np.linalg.norm(direction) * rng.uniform(*_DISTANCES)
        if (place > _FROM_WALLS).all() and (place < here.size - _FROM_WALLS).all():
            return place


def heard_in(source: np.ndarray, heard: Response) -> tuple[np.ndarray, np.ndarray]:
    """Let a source sound in a room, where it is as loud as it was without one, counted with what rings after its end.

    Args:
        source: (samples,), not silent.
        heard: The response.

    Returns:
        What is heard of it until its end, and its direct sound alone at the level it has in it; (samples,) each.
    """
    whole, direct = (oaconvolve(source, each) for each in heard)
    gain = np.sqrt(np.dot(source, source) / np.dot(whole, whole))
    return gain * whole[: len(source)], gain * direct[: len(source)]
