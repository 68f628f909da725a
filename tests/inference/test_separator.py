"""The public separator: level, length, rate, and bad input."""

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.batch import separate_pipe
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.inference.windows import window_seconds
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


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_a_network_of_another_precision_separates_too(precision: torch.dtype) -> None:
    network, mixture = ConvTasNet(num_filters=8, hidden_channels=8, num_blocks=1, num_repeats=1), tones(8000).sum(0)
    expected = Separator(network, 8000).separate(mixture, 8000)
    estimates = Separator(network.to(precision), 8000).separate(mixture, 8000)
    assert np.square(estimates - expected).sum() < 0.01 * np.square(expected).sum()


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


@pytest.mark.parametrize("scale", ["least_squares", "mixture"])
def test_a_recording_is_decoded_once_though_its_level_and_peak_are_those_of_the_whole(
    scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet, loud = tones(44_100, 3.0, scale=0.1), tones(44_100, 3.0, scale=3.0)
    soundfile.write(tmp_path / "mix.wav", np.concatenate((quiet, loud), 1).sum(0).clip(-1, 1), 44_100)
    whole, frames = soundfile.SoundFile.read, list[int]()

    def counted(*arguments: Any, **options: Any) -> np.ndarray:
        block: np.ndarray = whole(*arguments, **options)
        frames.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    Separator(Split(), 8000, scale=scale, window=2.0).separate_file(tmp_path / "mix.wav")
    assert sum(frames) == 6 * 44_100


def test_each_window_comes_at_the_level_of_training() -> None:
    levels = list[float]()

    class Heard(Split):
        def forward(self, mixture: Tensor) -> Tensor:
            levels.extend(mixture.square().mean(1).sqrt().tolist())
            return super().forward(mixture)

    loud = np.random.default_rng(0).normal(0, 0.1, 40_000)
    Separator(Heard(), 8000, window=2.0, batch=2).separate(np.concatenate((1e-3 * loud, loud)), 8000)
    assert len(levels) > 5
    np.testing.assert_allclose(levels, 0.056234, rtol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_estimates_that_are_no_numbers_are_one_line_and_no_file(bad: float, tmp_path: Path) -> None:
    network = ConvTasNet(num_filters=8, hidden_channels=8, num_repeats=1)
    network.decoder.filters.weight.data[0, 0, 0] = bad
    soundfile.write(tmp_path / "mix.wav", tones(8000).sum(0), 8000)
    with pytest.raises(InputError, match=r"mix\.wav: the network makes NaN or infinite estimates") as caught:
        Separator(network, 8000).separate_file(tmp_path / "mix.wav")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mix.wav"]
    with pytest.raises(InputError, match="waveform: the network makes NaN"):
        Separator(network, 8000).separate(tones(8000).sum(0), 8000)


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
@pytest.mark.parametrize("rate", [8000, 96_000])
def test_a_few_samples_and_silence_stay_finite(samples: int, rate: int) -> None:
    separator = Separator(ConvTasNet(num_filters=8, hidden_channels=8, num_repeats=1), 8000)
    for signal in (np.zeros(samples), np.ones(samples), np.full(samples, 1e-30)):
        estimates = separator.separate(signal, rate)
        assert estimates.shape == (2, samples)
        assert np.isfinite(estimates).all()


@pytest.mark.parametrize("bad", [np.zeros((2, 100)), np.zeros(0), np.array([0.0, np.nan]), np.array([np.inf, 0.0])])
def test_what_is_no_recording_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="waveform"):
        Separator(Split(), 8000).separate(bad, 8000)


def test_a_loud_result_is_scaled_not_clipped_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    low, high = (1.14 * np.sin(k * 2 * np.pi * 400 * np.arange(8000) / 8000) / k for k in (1, 3))
    low, high = low, high / 2  # together they peak at 0.99
    for name, subtype, peak in (("a", "PCM_16", 1.0), ("b", "FLOAT", 1.14)):
        soundfile.write(tmp_path / f"{name}.wav", low + high, 8000, subtype=subtype)
        first, second = (
            soundfile.read(file)[0] for file in Separator(Split(), 8000).separate_file(tmp_path / f"{name}.wav")
        )
        assert np.abs(first).max() == pytest.approx(peak, abs=2e-3)
        assert np.abs(first).max() / np.abs(second).max() == pytest.approx(6.0, rel=0.02)  # one gain for both
        said = [record.message for record in caplog.records]
        assert said == [f"{tmp_path}/a.wav: all speakers were lowered by 1.1 dB, as one would have been clipped"]


def test_silence_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    signal = tones(8000).sum(0)
    soundfile.write(tmp_path / "a.wav", np.stack((signal, -signal), 1), 8000)
    first, _ = Separator(Split(), 8000).separate_file(tmp_path / "a.wav")
    assert np.abs(soundfile.read(first)[0]).max() < 1e-4
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}/a.wav: its speakers are silent; do its channels cancel each other? Then choose one"
    ]
    Separator(Split(), 8000).separate_file(tmp_path / "a.wav", channel=1)
    assert len(caplog.records) == 1


def test_a_format_that_can_only_be_read_has_results_in_wav(tmp_path: Path) -> None:
    frame = bytes([0xFF, 0xFD, 0x80, 0xC0]) + bytes(413)  # MPEG-1 layer II, 44.1 kHz, 128 kbit/s, one channel: silence
    (tmp_path / "a.mp3").write_bytes(100 * frame)
    files = Separator(Split(), 8000).separate_file(tmp_path / "a.mp3")
    assert [file.name for file in files] == ["a_speaker1.wav", "a_speaker2.wav"]
    assert [soundfile.info(file).frames for file in files] == [115_200, 115_200]


FORMATS = [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("wav", "PCM_U8"), ("flac", "PCM_24")]
LOSSY = [("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"), ("wav", "ULAW")]


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS + LOSSY)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_results_have_the_recordings_rate_length_and_format(
    suffix: str, subtype: str, rate: int, tmp_path: Path
) -> None:
    sources = tones(rate, 1.5)
    soundfile.write(tmp_path / f"mix.{suffix}", sources.sum(0), rate, subtype=subtype)
    before = soundfile.info(tmp_path / f"mix.{suffix}")
    first, second = Separator(Split(), 8000).separate_file(tmp_path / f"mix.{suffix}", tmp_path / "new" / "apart")
    assert [first.name, second.name] == [f"mix_speaker1.{suffix}", f"mix_speaker2.{suffix}"]
    for file, source in zip((first, second), sources, strict=True):
        after = soundfile.info(file)
        kept = ("samplerate", "frames", "format", "subtype")
        assert [getattr(after, key) for key in kept] == [getattr(before, key) for key in kept]
        assert after.channels == 1
        estimate = soundfile.read(file)[0][: len(source)]
        assert np.corrcoef(estimate, source[: len(estimate)])[0, 1] > 0.97
    assert sorted(path.name for path in (tmp_path / "new" / "apart").iterdir()) == [first.name, second.name]


def test_one_channel_can_be_chosen(tmp_path: Path) -> None:
    sources = tones(8000)
    soundfile.write(
        tmp_path / "mix.wav", np.stack((sources.sum(0), np.random.default_rng(0).normal(0, 0.1, 8000)), 1), 8000
    )
    first, _ = Separator(Split(), 8000).separate_file(tmp_path / "mix.wav", channel=1)
    np.testing.assert_allclose(soundfile.read(first)[0][800:-800], sources[0][800:-800], atol=3e-3)


def test_estimates_can_sum_to_the_mixture_also_above_the_networks_band() -> None:
    rng = np.random.default_rng(0)
    mixture = rng.normal(0, 0.1, 44_100).astype(np.float32)
    estimates = Separator(Split(), 8000, scale="mixture").separate(mixture, 44_100)
    np.testing.assert_allclose(estimates.sum(0), mixture, atol=1e-5)
    least_squares = Separator(Split(), 8000).separate(mixture, 44_100)
    assert np.square(least_squares.sum(0) - mixture).sum() > 0.5 * np.square(mixture).sum()  # white noise up to 22 kHz


class Halves(Split):
    """Keeps low and high apart as `Split` does, and gives them in the other order each second time."""

    calls = 0

    def forward(self, mixture: Tensor) -> Tensor:
        self.calls += len(mixture)
        estimates = super().forward(mixture)
        return estimates.flip(1) if self.calls % 2 else estimates


def test_a_long_recording_is_separated_in_windows_like_a_file(tmp_path: Path) -> None:
    sources = np.tile(tones(8000, 0.5), 23)
    soundfile.write(tmp_path / "mix.wav", sources.sum(0), 8000, subtype="FLOAT")
    separator = Separator(Halves(), 8000, window=2.0)
    estimates = separator.separate(sources.sum(0), 8000)
    assert separator.network.calls > 5  # type: ignore[operator]
    fits = np.corrcoef(np.concatenate((sources, estimates)))[:2, 2:]
    assert max(fits.diagonal().min(), np.fliplr(fits).diagonal().min()) > 0.99
    heard = list[tuple[float, float]]()
    separator.network.calls = 0
    files = separator.separate_file(tmp_path / "mix.wav", progress=lambda *seconds: heard.append(seconds))
    np.testing.assert_allclose(np.stack([soundfile.read(file)[0] for file in files]), estimates, atol=1e-5)
    assert heard[-1] == (11.5, 11.5)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


class Quiet(Split):
    """Has an output more than `Split`, which leaks 30 dB under the loudest."""

    def __init__(self) -> None:
        super().__init__()
        self.num_sources = 3

    def forward(self, mixture: Tensor) -> Tensor:
        estimates = super().forward(mixture)
        return torch.cat((estimates[:, :1], 0.03 * estimates[:, :1].roll(5), 10 * estimates[:, 1:]), 1)


@pytest.mark.parametrize("scale", ["least_squares", "mixture"])
def test_a_network_that_counts_gives_those_it_hears(scale: str, tmp_path: Path) -> None:
    sources = tones(8000)
    soundfile.write(tmp_path / "mix.wav", sources.sum(0), 8000)
    separator = Separator(Quiet(), 8000, scale=scale, counts=True)
    estimates = separator.separate(sources.sum(0), 8000)
    np.testing.assert_allclose(estimates, sources, atol=3e-3)
    files = separator.separate_file(tmp_path / "mix.wav")
    assert [file.name for file in files] == ["mix_speaker1.wav", "mix_speaker2.wav"]
    np.testing.assert_allclose(np.stack([soundfile.read(file)[0] for file in files]), estimates, atol=1e-4)
    assert separator.separate(sources[0], 8000).shape == (1, 8000)
    assert separator.separate(np.zeros(100), 8000).shape == (1, 100)
    assert Separator(Quiet(), 8000).separate(sources.sum(0), 8000).shape == (3, 8000)


def test_who_speaks_briefly_is_counted_too_and_results_of_an_earlier_call_go(tmp_path: Path) -> None:
    sources = np.concatenate([tones(8000, 2.0) * [[1.0], [0.0]]] * 20 + [tones(8000, 2.0)], 1)
    soundfile.write(tmp_path / "mix.wav", sources.sum(0), 8000)
    separator = Separator(Quiet(), 8000, counts=True, window=2.0)
    estimates = separator.separate(sources.sum(0), 8000)
    assert len(estimates) == 2
    assert len(separator.separate(sources[0], 8000)) == 1
    files = separator.separate_file(tmp_path / "mix.wav")
    (tmp_path / "mix_speaker3.wav").touch()
    assert separator.separate_file(tmp_path / "mix.wav") == files
    assert sorted(path.name for path in tmp_path.glob("*_speaker*")) == [file.name for file in files]


@pytest.mark.parametrize("dtype", [np.int16, np.int64, bool])
def test_whole_numbers_have_no_full_scale(dtype: type) -> None:
    with pytest.raises(InputError, match="it must be floating point, with full scale at 1"):
        Separator(Split(), 8000).separate(np.ones(100, dtype), 8000)


def test_a_window_that_does_not_fit_the_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Split, "forward", full)
    with pytest.raises(InputError, match=r"window, batch: 1 of 0\.1 s at once do not fit the memory of cpu"):
        Separator(Split(), 8000).separate(np.ones(800), 8000)


def test_windows_are_longer_for_smaller_networks() -> None:
    tiny = ConvTasNet(num_filters=128, kernel_size=40, bottleneck_channels=64, hidden_channels=128, skip_channels=64)
    paper, plain = ConvTasNet(), ConvTasNet(norm="cLN")
    seconds = [window_seconds(network, 16_000) for network in (tiny, paper, plain)]
    assert seconds == sorted(seconds, reverse=True)
    assert window_seconds(paper, 8000) == pytest.approx(2 * window_seconds(paper, 16_000))


def test_many_threads_may_share_a_separator() -> None:
    torch.manual_seed(0)
    separator = Separator(ConvTasNet(num_filters=32, hidden_channels=32, num_repeats=1), 8000, window=1.0)
    mixtures = np.random.default_rng(0).normal(0, 0.1, (12, 20_000)).astype(np.float32)
    alone = [separator.separate(mixture, 8000) for mixture in mixtures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda mixture: separator.separate(mixture, 8000), mixtures))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale": "loud"}, "scale: 'loud' is not allowed; it must be least_squares or mixture"),
        ({"window": 0.0}, "window: 0.0 is not allowed"),
        ({"window": float("nan")}, "window: nan is not allowed"),
        ({"batch": 0}, "batch: 0 is not allowed"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        Separator(Split(), 8000, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [8000, 96_000])
def test_clicks_dc_and_constants_come_back_finite_and_no_louder(rate: int) -> None:
    torch.manual_seed(0)
    separator = Separator(ConvTasNet(num_filters=32, hidden_channels=32, num_repeats=1), 8000)
    click, dc = np.zeros(rate), np.random.default_rng(0).normal(0.5, 0.01, rate)
    click[rate // 2] = 1.0
    for signal in (click, dc, np.full(rate, -1.0), np.full(rate, 1e-9)):
        estimates = separator.separate(signal, rate)
        assert estimates.shape == (2, rate)
        assert np.isfinite(estimates).all()
        assert np.square(estimates.sum(0)).sum() <= 1.1 * np.square(signal).sum()  # a projection is no longer


def test_what_is_said_of_a_pipe_names_no_folder(caplog: pytest.LogCaptureFixture) -> None:
    recording = BytesIO()
    soundfile.write(recording, np.zeros(8000), 8000, format="WAV")
    recording.seek(0)
    separate_pipe(Separator(Split(), 8000), recording, BytesIO())
    (line,) = caplog.messages
    assert line.startswith("standard input: its speakers are silent")


def test_a_pipe_gets_a_wav_where_the_format_cannot_hold_the_speakers() -> None:
    recording, joined = BytesIO(), BytesIO()
    soundfile.write(recording, tones(8000).sum(0), 8000, "GSM610", format="WAV")
    recording.seek(0)
    separate_pipe(Separator(Split(), 8000), recording, joined)
    joined.seek(0)
    about = soundfile.info(joined)
    assert (about.channels, about.format, about.subtype) == (2, "WAV", "PCM_16")
