"""Audio files in and out, at any rate."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Read a file as one channel, the mean of its channels.

    Args:
        path: WAV, FLAC, OGG or MP3.

    Returns:
        Samples (samples,) in float32, and their rate in Hz.

    Raises:
        InputError: The file is missing, unreadable, empty, or holds values that are not finite.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise InputError(f"{path}: not readable as audio: {error}") from error
    if len(samples) == 0:
        raise InputError(f"{path}: holds no samples")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: holds NaN or infinite samples")
    return samples.mean(1), int(rate)


def write_audio(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write a 16-bit WAV.

    Args:
        path: Where.
        samples: (samples,), within [-1, 1].
        sample_rate: Hz.

    Raises:
        InputError: The file cannot be written.
    """
    try:
        with written_whole(path) as partial:
            soundfile.write(partial, samples, sample_rate, subtype="PCM_16", format="WAV")
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(f"{path}: cannot be written: {error}") from error


def resample(samples: np.ndarray, rate: int, new_rate: int, length: int | None = None) -> np.ndarray:
    """Change the sample rate.

    Args:
        samples: (samples,).
        rate: Hz, of the samples.
        new_rate: Hz.
        length: Of the result; cut or filled with zeros, where rounding left it off by a sample.

    Example:
        >>> len(resample(np.zeros(44100, np.float32), 44100, 16000))
        16000
    """
    resampled: np.ndarray = samples if rate == new_rate else soxr.resample(samples, rate, new_rate)
    if length is None or len(resampled) == length:
        return resampled
    return np.pad(resampled[:length], (0, max(0, length - len(resampled))))
