"""Pictures against signals whose pictures are known."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from scipy.signal import spectrogram as reference

from convtasnet_lit.audio import AudioInput
from convtasnet_lit.serving.drawing import COLUMNS, draw, envelope, spectrogram


def recording(path: Path, samples: np.ndarray, rate: int = 8000) -> AudioInput:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return AudioInput(path)


@pytest.mark.parametrize("samples", [1, 7, 1000, 1001, 200_003])
def test_a_waveform_spans_what_each_column_holds(tmp_path: Path, samples: int) -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    least, greatest = envelope(recording(tmp_path / "a.wav", signal))
    columns = min(COLUMNS, samples)
    parts = [signal[np.arange(samples) * columns // samples == column] for column in range(columns)]
    assert least.tolist() == [part.min() for part in parts]
    assert greatest.tolist() == [part.max() for part in parts]


def test_a_spectrogram_is_scipys(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, 8000 * 12).astype(np.float32)
    found = spectrogram(recording(tmp_path / "a.wav", signal))
    how = {"window": np.hanning(256), "nperseg": 256, "noverlap": 128, "detrend": False}
    expected = 10 * np.log10(reference(signal, 8000, **how)[2] + 1e-12)
    assert found.shape == expected.shape
    inner = slice(1, -1)  # scipy counts the first and the last frequency once, as they have no mirror image
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.01)


def test_a_long_recording_has_as_many_columns_and_its_tones_at_their_times(tmp_path: Path) -> None:
    time = np.arange(8000 * 300) / 8000
    signal = 0.3 * np.sin(2 * np.pi * np.where(time < 150, 1000, 3000) * time)
    found = spectrogram(recording(tmp_path / "a.wav", signal))
    assert found.shape == (129, COLUMNS)
    loudest = found.argmax(0) * 4000 / 128
    assert set(loudest[: COLUMNS // 2 - 1]) == {1000.0}
    assert set(loudest[COLUMNS // 2 + 1 :]) == {3000.0}


@pytest.mark.parametrize("samples", [1, 100, 4000])
def test_the_shortest_recordings_and_silence_can_be_drawn(tmp_path: Path, samples: int) -> None:
    recording(tmp_path / "a.wav", np.zeros(samples))
    waveform, picture = draw(tmp_path / "a.wav", 4000)
    assert "nan" not in waveform.read_text()
    assert imread(picture).ndim == 3
