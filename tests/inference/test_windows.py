"""Long recordings: windows that overlap give back the recording, each speaker on one track."""

from collections.abc import Callable

import numpy as np
import pytest

from convtasnet_lit.inference.tracking import Tracker
from convtasnet_lit.inference.windows import separate_windows, windows

RATE = 8000
LENGTH, OVERLAP = 2 * RATE, RATE // 2


def voice(rng: np.random.Generator, pitch: float, tilt: float, seconds: float) -> np.ndarray:
    """Half-second syllables of a harmonic tone with a pitch and a spectral tilt of its own, and breaks between them."""
    time = np.arange(round(seconds * RATE)) / RATE
    wavering = 2 * np.pi * pitch * (time + 0.002 * np.sin(2 * np.pi * 3 * time))
    tone = sum(np.sin(k * wavering) * k**-tilt for k in range(1, int(3500 / pitch)))
    syllables = np.repeat(rng.random(len(time) // 4000 + 1) < 0.7, 4000)[: len(time)]
    signal = tone * syllables * np.sin(2 * np.pi * time) ** 2
    return 0.1 * signal / signal.std()


def conversation(seed: int, pauses: list[tuple[float, float, tuple[int, ...]]]) -> np.ndarray:
    """A minute of two voices, (2, samples); in each pause (from, to, who) those are silent."""
    rng = np.random.default_rng(seed)
    sources = np.stack((voice(rng, 110.0, 1.5, 60), voice(rng, 210.0, 0.7, 60)))
    for start, end, who in pauses:
        sources[list(who), round(start * RATE) : round(end * RATE)] = 0
    return sources.astype(np.float32)


def shuffling(sources: np.ndarray, seed: int, leak: float = 0.3) -> Callable[[np.ndarray], np.ndarray]:
    """A separator that returns the true sources, leaking and noisy, in random order for each window."""
    rng, position = np.random.default_rng(seed), 0

    def separate(group: np.ndarray) -> np.ndarray:
        nonlocal position
        estimates = []
        for window in group:
            here = sources[:, position : position + len(window)]
            noisy = here + leak * here[::-1] + rng.normal(0, 1e-4, here.shape)
            estimates.append(rng.permutation(noisy).astype(np.float32))
            position += LENGTH - OVERLAP
        return np.stack(estimates)

    return separate


class Blind(Tracker):
    """Leaves the estimates as they come."""

    def order(self, estimates: np.ndarray, shared: np.ndarray | None) -> np.ndarray:
        return np.arange(len(estimates))


def test_more_than_two_keep_their_tracks_too() -> None:
    rng = np.random.default_rng(0)
    sources = np.stack([voice(rng, pitch, tilt, 60) for pitch, tilt in ((95, 1.6), (140, 1.0), (200, 0.8), (300, 0.3))])
    sources[:, 20 * RATE : 35 * RATE] = 0
    sources = sources.astype(np.float32)
    separate = shuffling(sources, 0, leak=0.0)
    pieces = separate_windows([sources.sum(0)], separate, LENGTH, OVERLAP, 1, Tracker(RATE))
    tracks = np.concatenate([piece.estimates for piece in pieces], 1)
    fits = np.abs(np.corrcoef(np.concatenate((sources, tracks)))[:4, 4:])
    assert sorted(fits.argmax(1)) == [0, 1, 2, 3]
    assert fits.max(1).min() > 0.95


def worst_correlation(sources: np.ndarray, seed: int, tracker: Tracker, batch: int = 1) -> float:
    """How well the worse of the two tracks fits its speaker, over the whole minute."""
    pieces = separate_windows([sources.sum(0)], shuffling(sources, seed), LENGTH, OVERLAP, batch, tracker)
    tracks = np.concatenate([piece.estimates for piece in pieces], 1)
    assert tracks.shape == sources.shape
    fits = np.corrcoef(np.concatenate((sources, tracks)))[:2, 2:]
    return float(max(fits.diagonal().min(), np.fliplr(fits).diagonal().min()))


PAUSES = {
    "none": [],
    "one speaker": [(10.0, 40.0, (0,))],
    "the other": [(10.0, 40.0, (1,))],
    "both": [(15.0, 45.0, (0, 1))],
    "both, then one": [(15.0, 30.0, (0, 1)), (30.0, 40.0, (0,))],
    "again and again": [(5.0 * i, 5.0 * i + 3.0, (0, 1)) for i in range(2, 12)],
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES.keys())
def test_speakers_keep_their_track_also_after_silence(
    pauses: list[tuple[float, float, tuple[int, ...]]], seed: int
) -> None:
    sources = conversation(seed, pauses)
    assert worst_correlation(sources, seed, Tracker(RATE)) > 0.9
    assert worst_correlation(sources, seed, Blind(RATE)) < 0.8


def test_windows_separated_together_are_those_separated_alone() -> None:
    sources = conversation(0, [])
    alone, together = (worst_correlation(sources, 0, Tracker(RATE), batch) for batch in (1, 7))
    assert together == pytest.approx(alone, abs=1e-3)


@pytest.mark.parametrize("samples", [1, OVERLAP, LENGTH, LENGTH + 1, 3 * LENGTH - 2 * OVERLAP, 50_123])
@pytest.mark.parametrize("blocks", [1, 1000])
def test_what_is_not_changed_comes_back_whole(samples: int, blocks: int) -> None:
    recording = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    cut = [recording] if blocks == 1 else np.split(recording, range(blocks, samples, blocks))
    copy = lambda group: np.stack((group, 2 * group), 1)  # noqa: E731
    pieces = list(separate_windows(cut, copy, LENGTH, OVERLAP, 2, Blind(RATE)))
    np.testing.assert_array_equal(np.concatenate([piece.mixture for piece in pieces]), recording)
    estimates = np.concatenate([piece.estimates for piece in pieces], 1)
    np.testing.assert_allclose(estimates, np.stack((recording, 2 * recording)), rtol=1e-5, atol=1e-6)


def test_the_ends_of_a_window_are_taken_from_its_neighbours() -> None:
    def marked(group: np.ndarray) -> np.ndarray:  # wrong by 1 within an eighth of a second of its ends
        wrong = np.zeros_like(group)
        wrong[:, : OVERLAP // 4] = wrong[:, -OVERLAP // 4 :] = 1.0
        return wrong[:, None]

    pieces = separate_windows([np.zeros(5 * LENGTH, np.float32)], marked, LENGTH, OVERLAP, 1, Blind(RATE))
    estimates = np.concatenate([piece.estimates for piece in pieces], 1)[0]
    assert not estimates[OVERLAP // 4 : -OVERLAP // 4 - 1].any()


@pytest.mark.parametrize("samples", [1, 99, 100, 101, 170, 171, 1000])
def test_windows_cover_the_stream_once_and_none_is_all_overlap(samples: int) -> None:
    cut = list(windows(np.split(np.arange(samples), 3 if samples % 3 == 0 else 1), 100, 30))
    assert [w[0] for w in cut] == list(range(0, 70 * len(cut), 70))
    assert cut[-1][-1] == samples - 1
    assert all(len(w) == 100 for w in cut[:-1])
    assert len(cut) == 1 or len(cut[-1]) > 30
