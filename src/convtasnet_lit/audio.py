"""Audio files in and out, block by block, at any rate."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile
import soxr

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole

if TYPE_CHECKING:
    from torch import Tensor  # importing torch takes seconds, and reading files does not need it

BLOCK = 1 << 16  # frames read or written at once
LOWEST_RATE = 1_000  # Hz; below, a header is broken
UNKNOWN_LENGTH = 2**62  # frames; what libsndfile says of a file that does not tell
LOUDEST = 1e6  # times full scale; beyond, samples are no sound, and their squares overflow


# A writer into a pipe cannot go back to fill in the length: about 2 GiB (sox) and 4 GiB (ffmpeg) mean "unknown".
_UNKNOWN_SIZE = 2**31 - 2**16


class UnusableError(Exception):
    """Why a recording has to be left out."""


class AudioInput:
    """A recording on disk, read as one channel.

    Args:
        path: WAV, FLAC, OGG, MP3 or what else libsndfile reads.
        channel: The channel to take, counted from 1; None for the mean of all.

    Attributes:
        sample_rate: Hz.
        format: libsndfile's name of the format that estimates are written in: the recording's, if it can be.
        subtype: The same for the encoding, such as PCM_16.
        suffix: The same for the end of the file's name.
        seconds: As its header says; some say nothing true.

    Raises:
        InputError: The file is missing, unreadable, cut short, or has no such channel.
    """

    def __init__(self, path: Path, channel: int | None = None) -> None:
        self.path, self.channel = path, channel
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        try:
            check_whole(path)
            info = soundfile.info(path)
        except (UnusableError, OSError) as error:
            raise InputError(f"{path}: {error}") from error
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: samples without a header
            raise InputError(f"{path}: not readable as audio: {_reason(error)}") from error
        self.sample_rate, self.format, self.subtype = int(info.samplerate), str(info.format), str(info.subtype)
        self.suffix, self.seconds = path.suffix, info.frames / info.samplerate
        if not soundfile.check_format(self.format, self.subtype):  # can be read, but not written
            self.format, self.subtype, self.suffix = "WAV", "PCM_16", ".wav"
        if self.sample_rate < LOWEST_RATE:
            raise InputError(f"{path}: its header says {self.sample_rate} Hz; the least is {LOWEST_RATE}")
        if channel is not None and not 1 <= channel <= info.channels:
            raise InputError(f"{path}: there is no channel {channel}; it has {info.channels}")

    def blocks(self) -> Iterator[np.ndarray]:
        """Read the recording from its start.

        Returns:
            Pieces of at most `BLOCK` samples in float32, each (samples,).

        Raises:
            InputError: It turns out to be damaged or empty, or to hold values that are not finite.
        """
        try:
            with soundfile.SoundFile(self.path) as file:
                while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                    check_samples(block, str(self.path))
                    yield block.mean(1) if self.channel is None else block[:, self.channel - 1].copy()
                if file.tell() == 0:
                    raise InputError(f"{self.path}: holds no samples")
                if file.tell() < file.frames < UNKNOWN_LENGTH:
                    raise InputError(f"{self.path}: truncated: {file.tell()} of the {file.frames} frames it promises")
        except soundfile.SoundFileError as error:
            raise InputError(f"{self.path}: not readable as audio: {_reason(error)}") from error


@contextmanager
def audio_outputs(
    paths: Sequence[Path], sample_rate: int, kind: str, subtype: str, channels: int = 1
) -> Iterator[list[soundfile.SoundFile]]:
    """Open files to write to; they are in place once all are written.

    Args:
        paths: Where.
        sample_rate: Hz.
        kind: libsndfile's name of the format, such as WAV.
        subtype: Its name of the encoding, such as PCM_16.
        channels: Of each.

    Raises:
        InputError: They cannot be written.
    """
    try:
        with ExitStack() as stack:
            partials = [stack.enter_context(written_whole(path)) for path in paths]
            yield [
                stack.enter_context(
                    soundfile.SoundFile(partial, "w", sample_rate, channels=channels, subtype=subtype, format=kind)
                )
                for partial in partials
            ]
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(f"{paths[0]}: cannot be written: {_reason(error)}") from error


def write_audio(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write a 16-bit WAV.

    Args:
        path: Where.
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
        signal: Of any shape.
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
    check_samples(samples, name)
    return samples


def check_samples(samples: np.ndarray, name: str) -> None:
    """Refuse samples that are no sound.

    Args:
        samples: Of any shape.
        name: What they are, named in the error.

    Raises:
        InputError: They are not all finite, or far beyond full scale.
    """
    if not (np.abs(samples) < LOUDEST).all():  # nor is NaN
        raise InputError(f"{name}: holds NaN or infinite samples, or such beyond {LOUDEST:g}")


def ends_at_full_scale(subtype: str) -> bool:
    """Whether samples beyond [-1, 1] would be clipped.

    Args:
        subtype: libsndfile's name of the encoding.

    Example:
        >>> ends_at_full_scale("PCM_24"), ends_at_full_scale("FLOAT")
        (True, False)
    """
    return subtype not in ("FLOAT", "DOUBLE")


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
    stream = soxr.ResampleStream(rate, new_rate, channels, dtype="float32")
    empty = np.zeros((0, channels) if channels > 1 else 0, np.float32)
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(empty, last=True)


def _reason(error: Exception) -> str:
    """What libsndfile or the system says, without the file's name."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".")


def printable(name: str) -> str:
    r"""Show a file's name as one line that every table and terminal can hold, even if it is not UTF-8.

    Example:
        >>> printable("café\n/\udcff.wav")
        'café\\n/\\xff.wav'
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def find_audio(root: Path, suffixes: Collection[str]) -> list[Path]:
    """List the audio files anywhere below a folder, sorted, without hidden ones (such as the `._x.wav` of macOS).

    Args:
        root: The folder; links to folders in it are followed.
        suffixes: Those that count, in lower case, with the dot.
    """
    found = []
    for here, folders, files in os.walk(root, followlinks=True):
        real = Path(here).resolve()
        seen = [name for name in folders if not name.startswith(".")]
        folders[:] = [name for name in seen if not real.is_relative_to((real / name).resolve())]  # no link to a parent
        shown = [name for name in files if not name.startswith(".")]
        found += [Path(here, name) for name in shown if Path(name).suffix.lower() in suffixes]
    return sorted(found)


def check_whole(path: Path) -> None:
    """Refuse a WAV or OGG file that was cut short, of which libsndfile takes what there is without a word.

    Args:
        path: A file of any format; others are not looked into.

    Raises:
        UnusableError: It is empty, or its header promises more than there is.
    """
    size = path.stat().st_size
    if size == 0:
        raise UnusableError("empty: 0 bytes")
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            _check_riff(file, int.from_bytes(start[4:8], "little") + 8, size)
        elif start[:4] == b"OggS":
            _check_ogg(file, size)


def _check_riff(file: BinaryIO, promised: int, size: int) -> None:
    tolerance = 8  # many writers count the header of the header, or a padding byte that is not there
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            promised, tolerance = max(promised - tolerance, file.tell() + length), 0
            break
        file.seek(length + length % 2, os.SEEK_CUR)
    if size + tolerance < promised < _UNKNOWN_SIZE:
        raise UnusableError(f"truncated: its header promises {promised} bytes, the file has {size}")


def _check_ogg(file: BinaryIO, size: int) -> None:
    file.seek(max(0, size - 65_307))  # the longest page there is
    tail = file.read()
    last_page = tail[tail.rfind(b"OggS") :]
    if len(last_page) < 6 or not last_page[5] & 4:  # RFC 3533: this bit marks the last page
        raise UnusableError("truncated: its last page is missing")
