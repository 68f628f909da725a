"""Audio files in and out, block by block, at any rate."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from torch import Tensor

from convtasnet_lit.corpus.recording import UnusableError, check_whole
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole

BLOCK = 1 << 16  # frames read or written at once
LOWEST_RATE = 1_000  # Hz; below, a header is broken
UNKNOWN_LENGTH = 2**62  # frames; what libsndfile says of a file that does not tell
LOUDEST = 1e6  # times full scale; beyond, samples are no sound, and their squares overflow


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


def as_samples(signal: np.ndarray | Tensor, name: str) -> np.ndarray:
    """Take what NumPy or torch holds as samples in float32.

    Args:
        signal: Of any shape.
        name: What it is, named in the error.

    Raises:
        InputError: They are whole numbers, not all finite, or far beyond full scale.

    Example:
        >>> as_samples(Tensor([0.5]).bfloat16(), "waveform")
        array([0.5], dtype=float32)
    """
    if isinstance(signal, Tensor):
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
