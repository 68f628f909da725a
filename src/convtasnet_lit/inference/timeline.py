"""Who speaks when: turns told from the energy of each speaker's track, as RTTM and JSON."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convtasnet_lit.audio import AudioInput
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole

FRAME_SECONDS = 0.02
# Relative to the level of the recording: the mean energy of its frames, each weighted by that energy, so that pauses of
# any length change nothing.
BEGINS_DB = -20.0  # a turn has a frame above this
LASTS_DB = -30.0  # and goes on as long as its frames are above this
MASKED_DB = -10.0  # a track this far under another one holds mostly what leaked from that
COMPARED_FRAMES = 5  # whose mean tells which track is masked: for a frame alone anybody may be soft
BRIDGED_SECONDS = 0.3  # a shorter break is part of a turn
LEAST_SECONDS = 0.2  # a shorter turn is none
SILENT_DB = -80.0  # of full scale: a recording whose level is under this holds nobody

Turn = tuple[float, float]  # its beginning and its end in seconds


def write_timeline(recording: Path, tracks: Sequence[Path]) -> list[Path]:
    """Write who speaks when in a recording that was separated.

    Args:
        recording: The recording, whose name with its ending is that of the timeline.
        tracks: The files of its speakers, beside which the timeline goes.

    Returns:
        `NAME.rttm`, which has a line for each turn, and `NAME.json`.

    Raises:
        InputError: A track cannot be read, or the files cannot be written.
    """
    spoken = track_turns(tracks)
    names = [f"speaker{number}" for number in range(1, len(tracks) + 1)]
    title = re.sub(r"\s", "_", recording.stem)  # RTTM separates its fields by spaces
    turns = sorted((*turn, name) for name, found in zip(names, spoken, strict=True) for turn in found)
    lines = [f"SPEAKER {title} 1 {a:.3f} {b - a:.3f} <NA> <NA> {name} <NA> <NA>\n" for a, b, name in turns]
    listed = zip(names, tracks, spoken, strict=True)
    speakers = [{"name": name, "file": track.name, "turns": found} for name, track, found in listed]
    text = json.dumps({"recording": recording.name, "speakers": speakers}, ensure_ascii=False)
    files = {".rttm": "".join(lines), ".json": f"{text}\n"}
    return [_written(tracks[0].parent / f"{recording.name}{ending}", content) for ending, content in files.items()]


def track_turns(tracks: Sequence[Path]) -> list[list[Turn]]:
    """Find out when the speaker of each file speaks.

    Args:
        tracks: Files of one rate and length, a speaker each.

    Raises:
        InputError: One cannot be read.
    """
    recordings = [AudioInput(track) for track in tracks]
    frame = max(1, round(FRAME_SECONDS * recordings[0].sample_rate))
    energies = np.stack([_energies(recording, frame) for recording in recordings])
    seconds = frame / recordings[0].sample_rate
    spoken = find_turns(energies, seconds)
    return [[(round(begin * seconds, 3), round(end * seconds, 3)) for begin, end in turns] for turns in spoken]


def find_turns(energies: np.ndarray, frame_seconds: float = FRAME_SECONDS) -> list[list[tuple[int, int]]]:
    """Find out in which frames each speaker speaks.

    Args:
        energies: Mean energy a sample, (speakers, frames).
        frame_seconds: Length of a frame.

    Returns:
        For each speaker the turns in their order: the first frame, and the one after the last.

    Example:
        >>> first, second = np.zeros((2, 100))
        >>> first[10:60], second[40:90] = 0.02, 0.01
        >>> find_turns(np.stack((first, second)))
        [[(10, 60)], [(40, 90)]]
    """
    together = energies.sum(0)
    level = np.square(together).sum() / max(together.sum(), 1e-30)
    if level < 10 ** (SILENT_DB / 10):
        return [[] for _ in energies]
    beside = COMPARED_FRAMES // 2  # on each side; cut by hand, as "same" gives at least COMPARED_FRAMES values
    sums = np.stack([np.convolve(track, np.ones(COMPARED_FRAMES)) for track in energies])
    smooth = sums[:, beside : sums.shape[1] - beside]
    audible = smooth > 10 ** (MASKED_DB / 10) * smooth.max(0)
    begins, lasts = (audible & (energies > 10 ** (decibels / 10) * level) for decibels in (BEGINS_DB, LASTS_DB))
    bridged, least = round(BRIDGED_SECONDS / frame_seconds), round(LEAST_SECONDS / frame_seconds)
    return [_turns(*track, bridged, least) for track in zip(begins, lasts, strict=True)]


def _turns(begins: np.ndarray, lasts: np.ndarray, bridged: int, least: int) -> list[tuple[int, int]]:
    """The runs of `lasts` in which something `begins`, joined over short breaks, without short ones."""
    runs = np.flatnonzero(np.diff(lasts, prepend=False, append=False)).reshape(-1, 2)  # first, and after the last
    so_far = np.concatenate([[0], begins.cumsum()])
    runs = runs[so_far[runs[:, 1]] > so_far[runs[:, 0]]]
    if len(runs) == 0:
        return []
    apart = runs[1:, 0] - runs[:-1, 1] >= bridged
    first, last = runs[np.concatenate([[True], apart]), 0], runs[np.concatenate([apart, [True]]), 1]
    return [(int(a), int(b)) for a, b in zip(first, last, strict=True) if b - a >= least]


def _energies(recording: AudioInput, frame: int) -> np.ndarray:
    """The mean energies of its whole frames, (frames,)."""
    found, rest = [np.zeros(0)], np.zeros(0, np.float32)
    for block in recording.blocks():
        samples = np.concatenate([rest, block])
        whole = len(samples) // frame * frame
        found.append(np.square(samples[:whole].reshape(-1, frame), dtype=np.float64).mean(1))
        rest = samples[whole:]
    return np.concatenate(found)


def _written(file: Path, content: str) -> Path:
    try:
        with written_whole(file) as partial:
            partial.write_bytes(content.encode(errors="backslashreplace"))  # names need not be UTF-8
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file
