"""Bands and codecs as properties of the signal: what passes, what does not, and that nothing is shifted."""

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import correlate

from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing import channel
from convtasnet_lit.mixing.channel import by_format, by_telephone, code, limit_band, require_codecs, telephone_band
from tests.corpus.trees import bursts

RATE = 16_000


def tone(frequency: float) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)


def gain_db(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    middle = slice(RATE // 4, None)
    return float(10 * np.log10(np.square(after[middle]).mean() / np.square(before[middle]).mean() + 1e-12))


def parts_of(rate: int = RATE, seconds: float = 1.0) -> NDArray[np.float32]:
    voices = [0.1 * bursts(seconds, seed, rate) for seed in (1, 2)]
    return np.stack([*voices, 0.001 * np.random.default_rng(0).standard_normal(len(voices[0]))]).astype(np.float32)


def lag(one: NDArray[np.float32], other: NDArray[np.float32]) -> int:
    return int(correlate(one, other, "full", "fft").argmax()) - (len(other) - 1)


@pytest.mark.parametrize(("frequency", "passes"), [(60, False), (150, False), (500, True), (3000, True), (5000, False)])
def test_a_telephone_passes_300_to_3400_hz(frequency: float, passes: bool) -> None:
    gain = gain_db(tone(frequency), telephone_band(tone(frequency)[None], RATE)[0])
    assert abs(gain) < 0.5 if passes else gain < -30


def test_a_band_is_a_telephones_half_the_time_and_else_ends_anywhere() -> None:
    noise = np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    lowest, ends = [], []
    for seed in range(60):
        power = np.abs(np.fft.rfft(limit_band(noise, np.random.default_rng(seed), RATE)[0])).reshape(-1)[:-1] ** 2
        bands = power.reshape(-1, 100).mean(1)  # 100 Hz each
        passed = np.flatnonzero(bands > bands.max() / 10)
        lowest.append(passed[0] * 100)
        ends.append((passed[-1] + 1) * 100)
    telephones = np.array(lowest) >= 200
    assert 0.3 < telephones.mean() < 0.7
    assert all(3300 <= end <= 3700 for end in np.array(ends)[telephones])
    others = np.array(ends)[~telephones]
    assert 1900 <= others.min() < 4000 and 6000 < others.max() <= 7900


@pytest.mark.parametrize("rate", [4000, 8000, 44_100])
def test_every_rate_has_a_band(rate: int) -> None:
    for seed in range(4):
        limited = limit_band(parts_of(rate), np.random.default_rng(seed), rate)
        assert np.isfinite(limited).all() and limited.dtype == np.float32


def test_a_band_of_the_parts_is_the_band_of_their_sum() -> None:
    parts = parts_of()
    alone = limit_band(parts.sum(0, keepdims=True), np.random.default_rng(3), RATE)[0]
    np.testing.assert_allclose(limit_band(parts, np.random.default_rng(3), RATE).sum(0), alone, atol=1e-6)


def test_silence_stays_exact() -> None:
    parts = parts_of()
    parts[1:] = 0
    assert not limit_band(parts, np.random.default_rng(0), RATE)[1:].any()
    assert not code(parts, np.random.default_rng(0), RATE)[1].any()


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize(("kind", "level"), [("MP3", 0.2), ("MP3", 0.9), ("OGG", 0.8), ("OGG", 0.95)])
@pytest.mark.parametrize("seconds", [0.5, 1.37])
def test_codecs_neither_shift_nor_lengthen(kind: str, level: float, rate: int, seconds: float) -> None:
    speech = (0.3 * bursts(seconds, 1, rate)).astype(np.float32)
    coded = by_format(speech, rate, kind, level)
    assert coded.shape == speech.shape
    assert lag(coded, speech) == 0
    error = np.square(coded - speech).sum() / np.square(speech).sum()
    assert 1e-6 < error < 0.5


@pytest.mark.parametrize("rate", [4000, 8000, 16_000, 44_100])
def test_mu_law_keeps_speech_about_35_db_over_its_error(rate: int) -> None:
    speech = telephone_band(0.2 * parts_of(rate), rate)[0]
    speech /= np.abs(speech).max()
    heard = by_telephone(speech, rate)
    assert heard.shape == speech.shape
    assert lag(heard, speech) == 0
    ratio = 10 * np.log10(np.square(speech).sum() / np.square(heard - speech).sum())
    assert 28 < ratio < 42


def test_mu_law_has_256_steps_that_are_finer_for_soft_sounds() -> None:
    ramp = np.linspace(-1, 1, 80_000, dtype=np.float32)
    steps = np.unique(by_telephone(ramp, 8000))
    assert len(steps) == 255
    np.testing.assert_allclose(steps, -steps[::-1], atol=1e-6)
    assert np.diff(steps)[127] < np.diff(steps)[-1] / 100


def test_the_error_of_a_codec_comes_into_the_last_part(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of()
    for kind in ("MP3", "OGG"):
        monkeypatch.setattr(channel, "_CODECS", (kind,))
        coded = code(parts.copy(), np.random.default_rng(0), RATE)
        np.testing.assert_array_equal(coded[:-1], parts[:-1])
        assert lag(coded.sum(0), parts.sum(0)) == 0
        assert 0 < np.square(coded.sum(0) - parts.sum(0)).sum() < 0.5 * np.square(parts.sum(0)).sum()
    monkeypatch.setattr(channel, "_CODECS", ("telephone",))
    coded = code(parts.copy(), np.random.default_rng(0), RATE)
    np.testing.assert_array_equal(coded[:-1], telephone_band(parts, RATE)[:-1])


def test_a_codec_hears_all_mixtures_at_one_level() -> None:
    soft = code(1e-3 * parts_of(), np.random.default_rng(1), RATE)
    np.testing.assert_allclose(1e3 * soft, code(parts_of(), np.random.default_rng(1), RATE), atol=1e-4)


def test_where_libsndfile_has_no_codec_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    require_codecs()
    monkeypatch.setattr(channel, "can_be_written", lambda rate, kind, subtype: subtype != "OPUS")
    with pytest.raises(InputError, match=rf"libsndfile {soundfile.__libsndfile_version__} writes no OGG"):
        require_codecs()
