"""Prompts of one speaker -> utterances: cut to their speech, brought to one level, joined to a common length."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfiltfilt

FloatArray = npt.NDArray[np.float32]
Piece = tuple[FloatArray, str]  # (samples,) of one speaker and the name of the file they come from

SHORTEST, LONGEST = 2.0, 10.0  # s of an utterance: under 2 s little tells a speaker, AISHELL-3 hardly passes 10 s
GOALS = (2.5, 6.5)  # s; prompts are joined until a length drawn from here is reached: AISHELL-3's spread
GAP = 0.2  # s of silence between joined prompts, a short pause for breath
QUIETEST = 2e-3  # RMS (-54 dB) of the loud frames; under it a file is empty
SPEECH = 0.02  # of the loud frames' RMS (-34 dB): soft consonants are above it, breath below
NOISE_FACTOR = 2.5  # 8 dB above the quietest frames, which in a home recording are its noise
FEWEST_FRAMES = 12  # 0.12 s of speech, a short syllable
VOICED = 0.25  # share of pitched frames: at least 0.6 in the finished utterances, about 0 in clicks and noise
LEVEL, PEAK = 0.056, 0.95  # RMS (-25 dB) of all speech, so that speakers are equally loud; peaks stay under 1


def trim(samples: FloatArray, rate: int) -> FloatArray:
    """Cut a prompt of (samples,) to its speech, at one level; where there is no speech, none are left."""
    frame = rate // 100  # 10 ms, about one pitch period
    if len(samples) < FEWEST_FRAMES * frame:
        return samples[:0]
    filtered = sosfiltfilt(butter(2, 60, "high", fs=rate, output="sos"), samples)  # no voice is under 60 Hz
    whole = filtered[: len(filtered) // frame * frame].reshape(-1, frame)
    levels = np.sqrt(np.mean(whole**2, axis=1)) + 1e-9  # (frames,)
    spoken = _spoken(levels)
    places = np.flatnonzero(spoken)
    if len(places) < FEWEST_FRAMES or voiced_share(whole[places[0] : places[-1] + 1].ravel(), rate) < VOICED:
        return samples[:0]
    speech = filtered[max(0, places[0] - 4) * frame : (places[-1] + 5) * frame]  # 40 ms more, for soft onsets
    gain = min(LEVEL / np.sqrt(np.mean(levels[spoken] ** 2)), PEAK / np.abs(speech).max())
    distance = np.minimum(np.arange(len(speech)), np.arange(len(speech))[::-1])  # to the nearer end
    fade = np.minimum(1, distance / (frame / 2))  # 5 ms, against clicks
    return np.asarray(speech * gain * fade, np.float32)


def _spoken(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Find the frames with speech from the RMS of all, (frames,)."""
    loud = np.percentile(levels, 95)
    threshold = loud * SPEECH
    if len(levels) > 60:  # shorter files have too few frames of pause to measure their noise
        noise = NOISE_FACTOR * np.percentile(levels, 3)
        threshold = min(max(threshold, noise), loud / 4)  # speech without a pause must not count as noise
    lasting = np.convolve(levels > threshold, np.ones(5), "same") >= 3  # most of 50 ms: no single clicks
    return lasting & (loud >= QUIETEST)


def voiced_share(samples: npt.NDArray[np.floating], rate: int) -> float:
    """Measure which share (0 to 1) of the loud frames in the first 3 s have a pitch of 60 to 420 Hz."""
    step = max(1, rate // 8000)  # 8 kHz is enough to see a pitch period
    samples, rate = samples[: 3 * rate : step], rate // step
    size = rate // 25  # 40 ms, two periods of the lowest voice
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]  # (frames, size)
    energy = np.mean(frames**2, axis=1)
    frames = frames[energy > 0.1 * np.percentile(energy, 95)]
    power = np.abs(np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), 2 * size)) ** 2
    correlation = np.fft.irfft(power)  # (frames, lags)
    lags = np.arange(rate // 420, rate // 60)
    periodicity = correlation[:, lags] / (correlation[:, :1] + 1e-12) * size / (size - lags)
    return float(np.mean(periodicity.max(axis=1) > 0.5))  # noise stays under 0.5 at every lag


def split(samples: FloatArray, rate: int) -> Iterator[FloatArray]:
    """Cut (samples,) at the quietest 0.1 s between 4 and 10 s until no part is over 10 s."""
    window = rate // 10
    while len(samples) > LONGEST * rate:
        start, end = 4 * rate, int(min(LONGEST * rate, len(samples) - SHORTEST * rate))
        energy = np.convolve(samples[start:end] ** 2, np.ones(window), "valid")
        cut = start + int(energy.argmin()) + window // 2
        yield samples[:cut]
        samples = samples[cut:]
    yield samples


def join(pieces: Iterable[Piece], rate: int, random: np.random.Generator) -> Iterator[Piece]:
    """Join consecutive pieces, none over 10 s, to utterances of a drawn length that are not over 10 s either."""
    gap = np.zeros(int(GAP * rate), np.float32)
    joined, sources, goal = gap[:0], "", random.uniform(*GOALS)
    for samples, source in pieces:
        longer = np.concatenate((joined, gap, samples)) if sources else samples
        if len(longer) > LONGEST * rate:
            yield joined, sources
            longer, sources, goal = samples, "", random.uniform(*GOALS)
        joined, sources = longer, f"{sources} {source}".strip()
        if len(joined) >= goal * rate:
            yield joined, sources
            joined, sources, goal = gap[:0], "", random.uniform(*GOALS)
    yield joined, sources
