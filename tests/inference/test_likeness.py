"""The speaker whose voice a sample has: found among made voices, and surer the more of the sample agrees."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.likeness import Sample, read_sample
from convtasnet_lit.inference.tracking import Tracker, Voice
from convtasnet_lit.inference.windows import separate_windows
from tests.inference.test_windows import LENGTH, OVERLAP, RATE, conversation, shuffling, voice

VOICES = ((110.0, 1.5), (210.0, 0.7))  # those of the conversation


def spoken(number: int, seconds: float = 10.0, gain: float = 1.0) -> np.ndarray:
    """Other syllables of one of the voices."""
    return gain * voice(np.random.default_rng(7), *VOICES[number], seconds)


def sample(samples: np.ndarray) -> Sample:
    return Sample("sample", Tracker(RATE).heard_alone(samples))


@pytest.fixture(scope="module")
def tracks() -> list[Voice]:
    """What a minute of the two told of their voices, the first of the conversation first."""
    sources, tracker = conversation(0, []), Tracker(RATE)
    pieces = separate_windows([sources.sum(0)], shuffling(sources, 0), LENGTH, OVERLAP, 1, tracker)
    joined = np.concatenate([piece.estimates for piece in pieces], 1)
    fits = np.corrcoef(np.concatenate((sources, joined)))[:2, 2:]
    return tracker.voices if fits.trace() > np.fliplr(fits).trace() else tracker.voices[::-1]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("gain", [0.003, 1.0, 3.0])
def test_a_voice_is_found_at_any_level(number: int, gain: float, tracks: list[Voice]) -> None:
    index, sure = sample(spoken(number, gain=gain)).nearest(tracks)
    assert index == number
    assert sure > 0.95
    index, again = sample(spoken(number)).nearest(tracks[::-1])
    assert (index, again) == (1 - number, pytest.approx(sure, abs=1e-6))


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_how_sure_it_is_is_the_share_of_the_sample_that_agrees(share: float, tracks: list[Voice]) -> None:
    both = np.concatenate((spoken(0, 40 * share), spoken(1, 40 * (1 - share))))
    index, sure = sample(both).nearest(tracks)
    assert index == (0 if share > 0.5 else 1)
    assert sure == pytest.approx(max(share, 1 - share), abs=0.1)


def test_in_silence_nobody_is_near() -> None:
    tracker = Tracker(RATE)
    tracker.order(np.zeros((2, RATE)), None)
    assert sample(spoken(0)).nearest(tracker.voices) == (0, 0.0)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_sample_may_have_any_rate_and_pauses(rate: int, tmp_path: Path, tracks: list[Voice]) -> None:
    time = np.arange(round(10.0 * rate)) / rate
    heard = np.interp(time, np.arange(10 * RATE) / RATE, spoken(1))
    soundfile.write(tmp_path / "voice.wav", np.pad(heard, rate), rate)
    found = read_sample(tmp_path / "voice.wav", RATE)
    assert found.name == "voice.wav"
    index, sure = found.nearest(tracks)
    assert (index, sure > 0.95) == (1, True)


@pytest.mark.parametrize(("seconds", "held"), [(0.0, "0.0"), (0.5, "0.5")])
def test_too_little_of_a_voice_is_refused(seconds: float, held: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(tmp_path / "short.wav", np.append(noise, np.zeros(RATE)), RATE)
    with pytest.raises(InputError, match=rf"short\.wav: holds {held} s of speech; to tell a voice takes 1 s at least"):
        read_sample(tmp_path / "short.wav", RATE)
