"""Raw samples through a pipe, little-endian as sox and ffmpeg write and read them."""

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.live import StreamingSeparator, separated

ENCODINGS: dict[str, np.dtype[Any]] = {"s16": np.dtype("<i2"), "f32": np.dtype("<f4")}
FULL_SCALE = 32768  # of s16, as in soundfile, sox and ffmpeg


@dataclass(frozen=True)
class Written:
    """What went through.

    Args:
        samples: The samples of each speaker.
        clipped: Of all that were written, how many were beyond full scale.
    """

    samples: int
    clipped: int


def standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output, for bytes.

    Raises:
        InputError: The caller closed one of them.
    """
    if sys.stdin is None or sys.stdout is None:
        raise InputError("standard input, standard output: must both be open")
    return sys.stdin.buffer, sys.stdout.buffer


def separate_stream(
    separator: StreamingSeparator, source: BinaryIO, sink: BinaryIO, hop: int, encoding: str, speakers: Sequence[int]
) -> Written:
    """Separate a pipe to its end, each hop as soon as it is there.

    Args:
        separator: At the start of a stream.
        source: Mono samples.
        sink: Where the speakers go, their samples interleaved.
        hop: Samples that are read, separated and written at once.
        encoding: `s16` or `f32`, of both.
        speakers: Which are written, counted from 0.

    Raises:
        InputError: A sample is not finite.
        BrokenPipeError: Nobody reads the sink any more.
    """
    samples, clipped = 0, 0
    for estimates in separated(separator, _hops(source, hop, encoding)):
        data, beyond = encode(estimates[speakers].T, encoding)
        sink.write(data)
        sink.flush()
        samples, clipped = samples + estimates.shape[1], clipped + beyond
    return Written(samples, clipped)


def decode(data: bytes, encoding: str) -> np.ndarray:
    r"""Read samples, (samples,) in float32.

    Args:
        data: Their bytes; those of an incomplete sample at the end are left out.
        encoding: `s16` or `f32`.

    Example:
        >>> decode(b"\x00\x40\x00\xc0\x00", "s16").tolist()
        [0.5, -0.5]
    """
    kind = ENCODINGS[encoding]
    samples = np.frombuffer(data, kind, len(data) // kind.itemsize).astype(np.float32)
    return samples / np.float32(FULL_SCALE) if encoding == "s16" else samples


def encode(samples: np.ndarray, encoding: str) -> tuple[bytes, int]:
    r"""Write samples.

    Args:
        samples: Of any shape, in the order of `ravel`.
        encoding: `s16` or `f32`.

    Returns:
        Their bytes, and how many had to be clipped.

    Example:
        >>> encode(np.array([0.5, 1.5]), "s16")
        (b'\x00@\xff\x7f', 1)
    """
    if encoding == "f32":
        return samples.astype(ENCODINGS[encoding]).tobytes(), 0
    wide = np.round(samples * FULL_SCALE)
    whole = wide.clip(-FULL_SCALE, FULL_SCALE - 1)
    return whole.astype(ENCODINGS[encoding]).tobytes(), int((whole != wide).sum())


def _hops(source: BinaryIO, hop: int, encoding: str) -> Iterator[np.ndarray]:
    """Read to the end, the same number of samples each time, however the bytes arrive."""
    size = ENCODINGS[encoding].itemsize
    while data := source.read(hop * size):
        if len(data) % size:
            logging.getLogger(__name__).warning("the input ends within a sample, which is left out")
        yield decode(data, encoding)
