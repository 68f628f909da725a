"""The public separator: level, length, rate, and bad input."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.audio import read_audio, resample, write_audio
from convtasnet_lit.inference.separator import Separator, at_mixture_level
from convtasnet_lit.model.network import ConvTasNet


class Split(ConvTasNet):
    """Separates low from high: sources that do not overlap in frequency come out exactly, at a wrong scale."""

    def __init__(self) -> None:
        super().__init__(num_filters=4, bottleneck_channels=4, hidden_channels=4, skip_channels=4, num_repeats=1)
        self.seen_rms = 0.0

    def forward(self, mixture: Tensor) -> Tensor:
        self.seen_rms = mixture.square().mean().sqrt().item()
        spectrum = torch.fft.rfft(mixture)
        low = spectrum.clone()
        low[..., spectrum.shape[-1] // 4 :] = 0  # below 1 kHz at 8 kHz
        apart = [torch.fft.irfft(part, mixture.shape[-1]) for part in (low, spectrum - low)]
        return torch.stack((7.0 * apart[0], -0.2 * apart[1]), 1)


def tones(rate: int, seconds: float = 1.0, scale: float = 1.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    fade = np.hanning(len(time))
    return scale * fade * np.stack((0.3 * np.sin(2 * np.pi * 440 * time), 0.1 * np.sin(2 * np.pi * 2500 * time)))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000])
def test_estimates_have_the_recordings_rate_length_and_level(rate: int) -> None:
    sources = tones(rate)
    estimates = Separator(Split(), 8000).separate(sources.sum(0), rate)
    assert estimates.shape == sources.shape
    inner = slice(rate // 10, -rate // 10)
    np.testing.assert_allclose(estimates[:, inner], sources[:, inner], atol=3e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 3.0])
def test_the_level_of_training_is_applied_and_undone(scale: float) -> None:
    network = Split()
    sources = tones(8000, scale=scale)
    estimates = Separator(network, 8000).separate(sources.sum(0), 8000)
    assert network.seen_rms == pytest.approx(0.056234, rel=1e-3)
    np.testing.assert_allclose(estimates, sources, atol=1e-3 * scale)
    raw = Separator(network, 8000, normalized=False)
    raw.separate(sources.sum(0), 8000)
    assert network.seen_rms == pytest.approx(np.sqrt((sources.sum(0) ** 2).mean()), rel=1e-3)


def test_bfloat16_differs_far_below_the_estimates() -> None:
    torch.manual_seed(0)
    network = ConvTasNet(num_filters=64, bottleneck_channels=32, hidden_channels=64, skip_channels=32, num_repeats=1)
    mixture = np.random.default_rng(0).normal(0, 0.1, 8000)
    exact, fast = (Separator(network, 8000, bfloat16=fast).separate(mixture, 8000) for fast in (False, True))
    error = 10 * np.log10(np.square(fast - exact).sum() / np.square(exact).sum())
    assert -70 < error < -35


def test_numpy_and_torch_are_both_taken() -> None:
    separator, mixture = Separator(Split(), 8000), tones(8000).sum(0).astype(np.float32)
    np.testing.assert_array_equal(
        separator.separate(mixture, 8000), separator.separate(torch.from_numpy(mixture), 8000)
    )


@pytest.mark.parametrize("samples", [1, 2, 17])
def test_a_few_samples_and_silence_stay_finite(samples: int) -> None:
    separator = Separator(ConvTasNet(num_filters=8, hidden_channels=8, num_repeats=1), 8000)
    for signal in (np.zeros(samples), np.ones(samples), np.full(samples, 1e-30)):
        estimates = separator.separate(signal, 8000)
        assert estimates.shape == (2, samples)
        assert np.isfinite(estimates).all()


@pytest.mark.parametrize("bad", [np.zeros((2, 100)), np.zeros(0), np.array([0.0, np.nan]), np.array([np.inf, 0.0])])
def test_what_is_no_recording_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="waveform"):
        Separator(Split(), 8000).separate(bad, 8000)


def test_equal_estimates_share_the_mixture() -> None:
    signal = torch.randn(4000)
    levelled = at_mixture_level(torch.stack((signal, signal)), 2 * signal)
    torch.testing.assert_close(levelled.sum(0), 2 * signal, atol=1e-3, rtol=1e-3)


def test_a_loud_result_is_scaled_not_clipped(tmp_path: Path) -> None:
    sources = tones(8000, scale=6.0)  # peaks of 1.8 and 0.6
    soundfile.write(tmp_path / "mix.wav", sources.sum(0), 8000, subtype="FLOAT")
    first, second = Separator(Split(), 8000).separate_file(tmp_path / "mix.wav")
    low, high = soundfile.read(first)[0], soundfile.read(second)[0]
    assert np.abs(low).max() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(low).max() / np.abs(high).max() == pytest.approx(3.0, rel=0.01)  # one gain for both


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_common_formats_are_read_as_one_channel(suffix: str, tmp_path: Path) -> None:
    stereo = np.stack((tones(16000)[0], np.zeros(16000)), 1)
    soundfile.write(tmp_path / f"a.{suffix}", stereo, 16000)
    samples, rate = read_audio(tmp_path / f"a.{suffix}")
    assert rate == 16000
    assert np.abs(samples).max() == pytest.approx(0.15, rel=0.05)  # the mean of the two


def test_resampling_keeps_a_tone() -> None:
    time = np.arange(44100) / 44100
    resampled = resample(np.sin(2 * np.pi * 1000 * time).astype(np.float32), 44100, 8000, 8000)
    peak = np.abs(np.fft.rfft(resampled * np.hanning(8000))).argmax()
    assert (len(resampled), peak) == (8000, 1000)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is needed")
    with pytest.raises(InputError, match="cannot be written"):
        write_audio(tmp_path / "taken" / "a.wav", np.zeros(10), 8000)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
