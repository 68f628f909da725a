"""Audio files in and out, block by block, at any rate."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole
from convtasnet_lit.headers import check_whole

if TYPE_CHECKING:
    from torch import Tensor  # importing torch takes seconds, and reading files does not need it

BLOCK = 1 << 16  # frames read or written at once
LOWEST_RATE = 1_000  # Hz; below, a header is broken
LOUDEST = 1e6  # times full scale; beyond, samples are no sound, and their squares overflow

UNKNOWN_LENGTH = 2**62  # frames; what libsndfile says of a file that does not tell
_NO_SOUND = f"NaN or infinite samples, or such beyond {LOUDEST:g}"


class UnusableError(InputError):
    """A file that is no recording.

    Args:
        path: The file, which the message names.
        reason: Why it cannot be used.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class AudioInput:
    """A recording on disk, read as one channel.

    Args:
        path: WAV, FLAC, OGG, MP3 or what else libsndfile reads.
        channel: The channel to take, counted from 1; None for the mean of all.

    Attributes:
        sample_rate: Hz.
        channels: How many the file has.
        format: libsndfile's name of the format that estimates are written in: the recording's, if it can be.
        subtype: The same for the encoding, such as PCM_16.
        suffix: The same for the end of the file's name.
        seconds: As its header says; some say nothing true.

    Raises:
        UnusableError: The file is missing, unreadable, empty, or cut short.
        InputError: It has no such channel.
    """

    def __init__(self, path: Path, channel: int | None = None) -> None:
        self.path, self.channel = path, channel
        with _refusing(path):
            _check_whole(path)
            with _open(path) as file:
                self.sample_rate, self.format, self.subtype = int(file.samplerate), str(file.format), str(file.subtype)
                frames, self.channels = file.frames, int(file.channels)
        if self.sample_rate < LOWEST_RATE:
            raise UnusableError(path, f"unreadable: its header says {self.sample_rate} Hz; the least is {LOWEST_RATE}")
        if channel is not None and not 1 <= channel <= self.channels:
            raise InputError(f"{path}: there is no channel {channel}; it has {self.channels}")
        self.suffix, self.seconds = path.suffix, frames / self.sample_rate
        if not can_be_written(self.sample_rate, self.format, self.subtype):
            self.format, self.subtype, self.suffix = "WAV", "PCM_16", ".wav"

    def blocks(self) -> Iterator[np.ndarray]:
        """Read the recording from its start.

        Returns:
            Pieces of at most `BLOCK` samples in float32, each (samples,).

        Raises:
            UnusableError: It turns out to be damaged or without samples, or to hold values that are not finite.
        """
        read = 0  # frames; telephony's GSM 6.10 cannot tell where it is
        with _refusing(self.path), _open(self.path) as file:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                if not _is_sound(block):
                    raise UnusableError(self.path, f"non-finite: it holds {_NO_SOUND}")
                read += len(block)
                yield block.mean(1) if self.channel is None else block[:, self.channel - 1].copy()
            promised = file.frames
            if read == 0:
                raise UnusableError(self.path, "zero length: it holds no samples")
            if read < promised < UNKNOWN_LENGTH:
                raise UnusableError(self.path, f"truncated: its header promises {promised} frames, the file has {read}")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Say in one line what keeps a file from being read."""
    try:
        yield
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: samples without a header
        raise UnusableError(path, f"unreadable: {_reason(error)}") from error


def _open(path: Path, mode: str = "r", **kind: Any) -> soundfile.SoundFile:
    """Open a file, also one whose name is not UTF-8, which soundfile takes as bytes alone."""
    return soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else path, mode, **kind)


def can_be_written(sample_rate: int, kind: str, subtype: str, channels: int = 1) -> bool:
    """Whether libsndfile writes a format, and not only reads it; see `audio_outputs`."""
    if kind == "SD2":  # of which libsndfile writes half into a second file
        return False
    try:  # soundfile.check_format says yes to some that libsndfile only reads, such as MPEG layer II
        soundfile.SoundFile(BytesIO(), "w", sample_rate, channels=channels, subtype=subtype, format=kind).close()
    except (soundfile.SoundFileError, ValueError):
        return False
    return True


def _check_whole(path: Path) -> None:
    """Refuse a file that was cut short."""
    size = path.stat().st_size
    if size == 0:
        raise UnusableError(path, "empty: 0 bytes")
    try:
        with path.open("rb") as file:
            check_whole(file, size)
    except InputError as error:
        raise UnusableError(path, str(error)) from error


@contextmanager
def audio_outputs(
    paths: Sequence[Path], sample_rate: int, kind: str, subtype: str, channels: int = 1
) -> Iterator[list[soundfile.SoundFile]]:
    """Open files to write to; they are in place once all are written.

    Args:
        paths: The files to write.
        sample_rate: Hz.
        kind: libsndfile's name of the format, such as WAV.
        subtype: Its name of the encoding, such as PCM_16.
        channels: How many channels each file has.

    Raises:
        InputError: They cannot be written.
    """
    try:
        with ExitStack() as stack:
            partials = [stack.enter_context(written_whole(path)) for path in paths]
            how = {"samplerate": sample_rate, "channels": channels, "subtype": subtype, "format": kind}
            yield [stack.enter_context(_open(partial, "w", **how)) for partial in partials]
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(f"{paths[0]}: cannot be written: {_reason(error)}") from error


def write_audio(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write a 16-bit WAV.

    Args:
        path: The file to write.
        samples: (samples,), within [-1, 1].
        sample_rate: Hz.

    Raises:
        InputError: The file cannot be written.
    """
    with audio_outputs([path], sample_rate, "WAV", "PCM_16") as (file,):
        file.write(samples)


def as_samples(signal: "np.ndarray | Tensor", name: str) -> np.ndarray:
    """Take what NumPy or torch holds as samples in float32.

    Args:
        signal: An array or tensor of any shape.
        name: What it is, named in the error.

    Raises:
        InputError: They are whole numbers, not all finite, or far beyond full scale.

    Example:
        >>> import torch
        >>> as_samples(torch.tensor([0.5]).bfloat16(), "waveform")
        array([0.5], dtype=float32)
    """
    if not isinstance(signal, np.ndarray):
        signal = (signal.float() if signal.is_floating_point() else signal).detach().cpu().numpy()
    array = np.asarray(signal)
    if array.dtype.kind != "f" and array.size:
        raise InputError(f"{name}: of {array.dtype}; it must be floating point, with full scale at 1")
    samples = array.astype(np.float32, copy=False)
    if not _is_sound(samples):
        raise InputError(f"{name}: holds {_NO_SOUND}")
    return samples


def _is_sound(samples: np.ndarray) -> bool:
    return bool((np.abs(samples) < LOUDEST).all())  # nor is NaN


def resample_blocks(blocks: Iterable[np.ndarray], rate: int, new_rate: int, channels: int = 1) -> Iterator[np.ndarray]:
    """Change the sample rate of a stream.

    Args:
        blocks: Pieces of it, each (samples,), or (samples, channels) where there are several.
        rate: Hz, of the pieces.
        new_rate: Hz.
        channels: How many.

    Returns:
        Pieces like those given.
    """
    if rate == new_rate:
        yield from blocks
        return
    # HQ keeps the noise of resampling under -120 dB, far below the -101 dBFS of 16 bits; VHQ takes twice as long.
    stream = soxr.ResampleStream(rate, new_rate, channels, dtype="float32", quality="HQ")
    empty = np.zeros((0, channels) if channels > 1 else 0, np.float32)
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(empty, last=True)


def _reason(error: Exception) -> str:
    """What libsndfile or the system says, without the file's name."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".")
