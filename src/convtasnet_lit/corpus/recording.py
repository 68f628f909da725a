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
from numpy.typing import NDArray

from convtasnet_lit.audio import AudioInput, UnusableError, resample_blocks
from convtasnet_lit.files import printable

FEMALE, MALE, UNKNOWN = "female", "male", "unknown"

FULL_SCALE = 32_768  # of 16 bits

LONGEST = 2**27  # samples, which take half a GB while they are read

# Raised from here to the -25 dBFS of a mixture, the rounding noise of 16 bits (-101 dBFS) would come up to an audible
# -56 dBFS; the quietest speech of public corpora is near -50 dBFS.
SILENT_DBFS = -70.0


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
        UnusableError: The file is empty, truncated, unreadable, without samples, silent, too long, or holds NaN or
            infinity.
    """
    file = AudioInput(path)
    pieces, length = [], 0
    for piece in resample_blocks(file.blocks(), file.sample_rate, sample_rate):
        pieces.append(piece)
        length += len(piece)
        if length > LONGEST:
            raise UnusableError(path, f"too long: over {LONGEST / sample_rate / 3600:.1f} hours; cut it into parts")
    signal = np.concatenate(pieces)
    if len(signal) == 0:
        raise UnusableError(path, "zero length: resampling leaves no samples")
    samples = _to_int16(signal)
    if root_mean_square(samples) < 10 ** (SILENT_DBFS / 20):
        raise UnusableError(path, f"silent: its level is below {SILENT_DBFS:.0f} dBFS")
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
    reason = recording.problem
    if not reason:
        try:
            samples = read_samples(recording.path, sample_rate)
            return Reading(samples, root_mean_square(samples), "")
        except UnusableError as error:
            reason = error.reason
    return Reading(np.zeros(0, np.int16), 0.0, reason)


def _to_int16(signal: NDArray[np.float32]) -> NDArray[np.int16]:
    scaled = np.rint(signal * np.float32(FULL_SCALE / max(float(np.abs(signal).max()), 1.0)))
    samples: NDArray[np.int16] = scaled.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return samples
