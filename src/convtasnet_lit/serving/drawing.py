"""Pictures of a recording of any length, in bounded memory: the signal alone, so that time runs from edge to edge."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.image import imsave

from convtasnet_lit.audio import AudioInput
from convtasnet_lit.files import written_whole

COLUMNS = 1000  # of a picture
HEIGHT = 200  # of a waveform; the browser scales it
WINDOW_SECONDS = 0.032  # shows a voice's harmonics
WINDOWS_A_COLUMN = 4  # at most, of a long recording: its columns are seconds wide
QUIETEST_DB, LOUDEST_DB = -120.0, -40.0  # of a spectrogram, in full scale squared a hertz, as in evaluation/pictures.py


def draw(path: Path, highest: float) -> list[Path]:
    """Draw a file beside it.

    Args:
        path: A file of one channel.
        highest: Hz, of the spectrogram; of a recording at 48 kHz speech would fill a small part.

    Returns:
        `NAME.svg`, its waveform, and `NAME.png`, its spectrogram.
    """
    recording = AudioInput(path)
    waveform, picture = path.with_suffix(".svg"), path.with_suffix(".png")
    with written_whole(waveform) as partial:
        partial.write_text(_outline(*envelope(recording)), encoding="utf-8")
    spread = QUIETEST_DB, LOUDEST_DB
    shown = spectrogram(recording)[: round(highest * WINDOW_SECONDS) + 1]
    with written_whole(picture) as partial:
        imsave(partial, shown[::-1], vmin=spread[0], vmax=spread[1], cmap=colormaps["magma"], format="png")
    return [waveform, picture]


def envelope(recording: AudioInput) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest sample of each column, each (columns,).

    Args:
        recording: One that tells its length.
    """
    total = _samples(recording)
    columns = min(COLUMNS, total)
    least, greatest = np.full(columns, np.inf), np.full(columns, -np.inf)
    start = 0
    for block in recording.blocks():
        column = np.arange(start, start + len(block)) * columns // total
        first = np.flatnonzero(np.diff(column, prepend=-1))
        there = column[first]
        least[there] = np.minimum(least[there], np.minimum.reduceat(block, first))
        greatest[there] = np.maximum(greatest[there], np.maximum.reduceat(block, first))
        start += len(block)
    return least, greatest


def spectrogram(recording: AudioInput) -> np.ndarray:
    """Return the power of each column in decibels, (frequencies, columns), the lowest frequency first.

    Args:
        recording: One that tells its length.
    """
    window = max(2, round(WINDOW_SECONDS * recording.sample_rate))
    total = _samples(recording)
    hop = max(window // 2, total // (COLUMNS * WINDOWS_A_COLUMN))
    count = 1 + max(0, total - window) // hop
    columns = min(COLUMNS, count)
    power, number = np.zeros((columns, window // 2 + 1)), 0
    taper = np.hanning(window)
    for pieces in _windows(recording, window, hop):
        spectra = np.square(np.abs(np.fft.rfft(pieces * taper, axis=1)))
        np.add.at(power, np.arange(number, number + len(pieces)) * columns // count, spectra)
        number += len(pieces)
    windows_each = np.bincount(np.arange(count) * columns // count)[:, None]
    density = 2 * power / windows_each / (recording.sample_rate * np.square(taper).sum())
    decibels: np.ndarray = 10 * np.log10(density.T + 1e-12)  # finite in digital silence
    return decibels


def _windows(recording: AudioInput, window: int, hop: int) -> Iterator[np.ndarray]:
    """Windows a hop apart, some at once, (windows, samples); of a recording shorter than one, that with zeros."""
    rest, skip, found = np.zeros(0, np.float32), 0, False
    for block in recording.blocks():
        samples = np.concatenate([rest, block])[skip:]
        skip = max(0, skip - len(rest) - len(block))
        if len(samples) >= window:
            pieces = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
            yield pieces
            done, found = len(pieces) * hop, True
            skip += max(0, done - len(samples))
            samples = samples[done:]
        rest = samples
    if not found:
        yield np.pad(rest, (0, window - len(rest)))[None]


def _samples(recording: AudioInput) -> int:
    samples: int = round(recording.seconds * recording.sample_rate)
    return samples


def _outline(least: np.ndarray, greatest: np.ndarray) -> str:
    """A waveform as SVG, in a grey that can be seen on light and on dark."""
    middle = HEIGHT / 2
    upper = [f"{x},{middle * (1 - y):.1f}" for x, y in enumerate(greatest.clip(-1, 1))]
    lower = [f"{x},{middle * (1 - y) + 0.5:.1f}" for x, y in enumerate(least.clip(-1, 1))]
    points = " ".join([*upper, *reversed(lower)])
    box = f'viewBox="0 0 {max(1, len(least) - 1)} {HEIGHT}" preserveAspectRatio="none"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}><polygon points="{points}" fill="#7a8aa0"/></svg>\n'
