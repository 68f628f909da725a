"""Audio files in and out: formats, rates, channels, and files that are no recordings."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from convtasnet_lit import audio
from convtasnet_lit.audio import AudioInput, resample_blocks, write_audio
from convtasnet_lit.errors import InputError


def tone(rate: int, frequency: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def read(recording: AudioInput) -> np.ndarray:
    return np.concatenate(list(recording.blocks()))


def test_a_recording_of_telephony_is_read(tmp_path: Path) -> None:
    path, samples = tmp_path / "call.wav", 0.3 * np.sin(np.arange(80_000) / 5)
    soundfile.write(path, samples, 8000, "GSM610")
    read = np.concatenate(list(AudioInput(path).blocks()))[: len(samples)]
    assert np.corrcoef(read, samples)[0, 1] > 0.9


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_common_formats_are_read_as_one_channel(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack((tone(16000), np.zeros(16000)), 1), 16000)
    mean, first, second = (AudioInput(path, channel) for channel in (None, 1, 2))
    assert mean.sample_rate == 16000
    assert np.abs(read(mean)).max() == pytest.approx(0.15, rel=0.05)
    assert np.abs(read(first)).max() == pytest.approx(0.3, rel=0.05)
    assert np.abs(read(second)).max() < 0.01


@pytest.mark.parametrize(
    ("subtype", "error"), [("PCM_16", 2**-15), ("PCM_24", 1e-7), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)]
)
def test_every_depth_is_read_at_its_precision(subtype: str, error: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000, subtype=subtype)
    np.testing.assert_allclose(read(AudioInput(tmp_path / "a.wav")), tone(8000), atol=error)


def test_blocks_together_are_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000, subtype="FLOAT")
    monkeypatch.setattr(audio, "BLOCK", 999)
    blocks = list(AudioInput(tmp_path / "a.wav").blocks())
    assert [len(block) for block in blocks] == [999] * 8 + [8]
    np.testing.assert_allclose(np.concatenate(blocks), tone(8000), atol=1e-7)


def damaged(kind: str, path: Path) -> None:
    if kind == "empty":
        soundfile.write(path, np.zeros(0), 8000)
    elif kind == "nan":
        soundfile.write(path, np.full(100, np.nan), 8000, subtype="FLOAT")
    elif kind == "infinite":
        soundfile.write(path, np.full(100, np.inf), 8000, subtype="FLOAT")
    elif kind == "overflowing":
        soundfile.write(path, np.full(100, 1e38), 8000, subtype="FLOAT")
    elif kind == "text":
        path.write_text("no audio at all")
    elif kind == "0 bytes":
        path.touch()
    elif kind == "cut short":
        soundfile.write(path, tone(8000), 8000)
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "10 Hz":
        soundfile.write(path, tone(8000), 10)
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "unreadable: No such file"),
        ("folder", "unreadable: Is a directory"),
        ("empty", "holds no samples"),
        ("nan", "NaN or infinite"),
        ("infinite", "NaN or infinite"),
        ("overflowing", "or such beyond 1e[+]06"),
        ("text", "unreadable: Format not recognised"),
        ("0 bytes", "empty: 0 bytes"),
        ("cut short", "truncated: its header promises"),
        ("10 Hz", "its header says 10 Hz"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_line(kind: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    damaged(kind, path)
    with pytest.raises(InputError, match=said) as caught:
        read(AudioInput(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_samples_without_a_header_and_a_channel_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(InputError, match="unreadable: samplerate must be specified"):
        AudioInput(tmp_path / "a.raw")
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 2)), 8000)
    for channel in (0, 3):
        with pytest.raises(InputError, match=f"there is no channel {channel}; it has 2"):
            AudioInput(tmp_path / "a.wav", channel)


def test_resampling_keeps_a_tone() -> None:
    resampled = np.concatenate(list(resample_blocks([tone(44100, 1000).astype(np.float32)], 44100, 8000)))
    peak = np.abs(np.fft.rfft(resampled * np.hanning(8000))).argmax()
    assert (len(resampled), peak) == (8000, 1000)


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 8000), (8000, 44100), (16000, 16000), (96000, 8000)])
def test_resampling_a_stream_is_resampling_the_whole(rate: int, new_rate: int) -> None:
    signal = np.random.default_rng(0).normal(size=30_000).astype(np.float32)
    blocks = np.split(signal, [1, 5000, 5001, 29_000])
    whole = soxr.resample(signal, rate, new_rate)
    streamed = np.concatenate(list(resample_blocks(blocks, rate, new_rate)))
    assert abs(len(whole) - len(streamed)) <= 1
    shorter = min(len(whole), len(streamed))
    np.testing.assert_allclose(streamed[:shorter], whole[:shorter], atol=1e-4)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is needed")
    with pytest.raises(InputError, match="cannot be written"):
        write_audio(tmp_path / "taken" / "a.wav", np.zeros(10), 8000)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_name_that_is_not_utf_8_is_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system holds UTF-8 names alone")
    write_audio(path, tone(8000), 8000)
    np.testing.assert_allclose(read(AudioInput(path)), tone(8000), atol=2**-15)
    path.write_text("no audio at all")
    with pytest.raises(InputError, match="unreadable: Format not recognised"):
        AudioInput(path)


WITH_A_LENGTH = [
    *(("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16")),
    *(("AU", "PCM_16"), ("AU", "G721_32"), ("VOC", "PCM_16"), ("VOC", "ULAW"), ("NIST", "PCM_16"), ("CAF", "PCM_16")),
    *(("SVX", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")),
]


@pytest.mark.parametrize(("kind", "subtype"), WITH_A_LENGTH)
def test_a_file_that_was_cut_is_refused_and_the_whole_one_read(kind: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    soundfile.write(path, tone(16000), 16000, subtype, format=kind)
    assert len(read(AudioInput(path))) >= 16000
    whole = path.read_bytes()
    for share in (0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=r"truncated|unreadable"):
            read(AudioInput(path))


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_16", "ULAW", "MS_ADPCM"])
def test_telephonys_encodings_are_read_and_written(subtype: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000, subtype)
    recording = AudioInput(tmp_path / "a.wav")
    with audio.audio_outputs([tmp_path / "b.wav"], 8000, recording.format, recording.subtype) as (output,):
        output.write(read(recording))
    assert soundfile.info(tmp_path / "b.wav").subtype == subtype


def test_a_format_of_two_files_is_written_as_wav(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.sd2", tone(8000), 8000, "PCM_16")
    recording = AudioInput(tmp_path / "a.sd2")
    assert (recording.format, recording.suffix) == ("WAV", ".wav")
