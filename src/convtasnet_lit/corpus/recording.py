"""One recording: what is known of it before it is read, and its samples."""

import json
import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from convtasnet_lit.audio import UnusableError, check_whole, printable

FEMALE, MALE, UNKNOWN = "female", "male", "unknown"

FULL_SCALE = 32_768  # of 16 bits

# Raised from here to the -25 dBFS of a mixture, the rounding noise of 16 bits (-101 dBFS) would come up to an audible
# -56 dBFS; the quietest speech of public corpora is near -50 dBFS.
SILENT_DBFS = -70.0

_BLOCK = 1 << 20  # frames read at once: a long file is never held at its own rate


@dataclass(frozen=True)
class Recording:
    """One audio file of a corpus.

    Args:
        path: The file.
        utterance: Its name, unique in the corpus.
        speaker: Who speaks.
        gender: `female`, `male` or `unknown`.
        part: `train` or `test`, where the corpus has such parts, else empty.
        problem: Why it must be left out, where that is known before reading it.
    """

    path: Path
    utterance: str
    speaker: str
    gender: str
    part: str
    problem: str = ""


class Reading(NamedTuple):
    """What came of reading a recording.

    Args:
        samples: 16 bits, shape (T,); none where it cannot be used.
        rms: Their level, full scale 1.0.
        reason: Why it cannot be used, else empty.
    """

    samples: NDArray[np.int16]
    rms: float
    reason: str


def place(recording: Recording, root: Path) -> str:
    """Show where below the corpus's folder a recording lies."""
    return printable(recording.path.relative_to(root).as_posix())


def fingerprint(recording: Recording, root: Path) -> str:
    """Show what a store depends on and a copy keeps: the file's place, its size, and what is known of it."""
    known = [recording.utterance, recording.speaker, recording.gender, recording.part, recording.problem]
    size = recording.path.stat().st_size if recording.path.exists() else -1  # it is reported as unreadable later
    return json.dumps([place(recording, root), size, *known])


def changed_at(recording: Recording) -> int:
    """Tell when a recording's file was last changed, in nanoseconds; 0 where it is not there."""
    return recording.path.stat().st_mtime_ns if recording.path.exists() else 0


def read_samples(path: Path, sample_rate: int) -> NDArray[np.int16]:
    """Read a file as one channel of 16-bit samples at the given rate.

    Channels are averaged. A peak above full scale is scaled down, never clipped. A 16-bit file of that rate comes back
    bit by bit.

    Args:
        path: A file of any format libsndfile reads.
        sample_rate: The wanted rate in Hz.

    Returns:
        Samples, shape (T,).

    Raises:
        UnusableError: The file is empty, truncated, unreadable, without samples, silent, or holds NaN or infinity.
    """
    try:
        check_whole(path)
        with soundfile.SoundFile(path) as file:
            signal = _resampled(file, sample_rate)
    except soundfile.LibsndfileError as error:
        raise UnusableError(f"unreadable: {error.error_string.removeprefix('Error : ').rstrip('.')}") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UnusableError(f"unreadable: {getattr(error, 'strerror', None) or error}") from error
    if len(signal) == 0:
        raise UnusableError("zero length: it holds no samples")
    samples = _to_int16(signal)
    if root_mean_square(samples) < 10 ** (SILENT_DBFS / 20):
        raise UnusableError(f"silent: its level is below {SILENT_DBFS:.0f} dBFS")
    return samples


def read_in_order(recordings: Sequence[Recording], sample_rate: int) -> Generator[Reading, None, None]:
    """Read recordings in parallel, and hand them out in their order.

    In threads: soxr holds the interpreter's lock, but that is under half of the work, and a process each would import
    the calling program again (torch and all).

    Args:
        recordings: What to read.
        sample_rate: The wanted rate in Hz.
    """
    ahead = 4 * (os.cpu_count() or 1)  # enough to keep the threads busy, few enough for any memory
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pending = deque(pool.submit(_read, recording, sample_rate) for recording in recordings[:ahead])
        for recording in recordings[ahead:]:
            yield pending.popleft().result()
            pending.append(pool.submit(_read, recording, sample_rate))
        while pending:
            yield pending.popleft().result()


def root_mean_square(samples: NDArray[np.int16]) -> float:
    """Measure the level of 16-bit samples relative to full scale 1.0.

    Example:
        >>> root_mean_square(np.array([16384, -16384], dtype=np.int16))
        0.5
    """
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) / FULL_SCALE


def _read(recording: Recording, sample_rate: int) -> Reading:
    try:
        if recording.problem:
            raise UnusableError(recording.problem)
        samples = read_samples(recording.path, sample_rate)
    except UnusableError as error:
        return Reading(np.zeros(0, np.int16), 0.0, str(error))
    return Reading(samples, root_mean_square(samples), "")


def _resampled(file: soundfile.SoundFile, sample_rate: int) -> NDArray[np.float32]:
    if file.samplerate < 1_000:  # no speech: a broken header, and filling up to sample_rate would fill the memory
        raise UnusableError(f"unreadable: its header says {file.samplerate} Hz")
    # HQ keeps the noise of resampling under -120 dB, far below the -101 dBFS of 16 bits; VHQ takes twice as long.
    stream = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    frames, blocks = 0, [np.zeros(0, np.float32)]
    block: NDArray[np.float32]
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        if not np.isfinite(block).all():
            raise UnusableError("non-finite: it holds NaN or infinity")
        frames += len(block)
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        blocks.append(mono if file.samplerate == sample_rate else stream.resample_chunk(np.ascontiguousarray(mono)))
    if frames < file.frames < 2**62:  # above: libsndfile's word for "unknown"
        raise UnusableError(f"truncated: its header promises {file.frames} frames, the file has {frames}")
    if file.samplerate != sample_rate and frames:
        blocks.append(stream.resample_chunk(blocks[0], last=True))
    return np.concatenate(blocks)


def _to_int16(signal: NDArray[np.float32]) -> NDArray[np.int16]:
    peak = max(float(signal.max()), -float(signal.min()))
    scale = FULL_SCALE / max(peak, 1.0)
    samples: NDArray[np.int16] = np.clip(np.rint(signal * np.float32(scale)), -FULL_SCALE, FULL_SCALE - 1).astype(
        np.int16
    )
    return samples
