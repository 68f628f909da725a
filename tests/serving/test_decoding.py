"""Decoding in a child: equal to decoding here, and bounded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convtasnet_lit.audio import AudioInput
from convtasnet_lit.serving import decoding
from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.decoding import DECODED, UPLOADED, Decoded, decode
from convtasnet_lit.serving.refusal import RefusedError


def upload(folder: Path, seconds: float, channels: int = 2, kind: str = "FLAC") -> Path:
    samples = np.random.default_rng(0).normal(0, 0.1, (round(16_000 * seconds), channels)).clip(-1, 1)
    with (folder / UPLOADED).open("wb") as file:
        soundfile.write(file, samples, 16_000, format=kind)
    return folder / UPLOADED


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("channel", [None, 2])
def test_what_a_child_decodes_are_the_packages_samples(tmp_path: Path, kind: str, channel: int | None) -> None:
    recording = AudioInput(upload(tmp_path, 6.0, kind=kind), channel)
    expected = np.concatenate(list(recording.blocks()))
    found = decode(tmp_path, channel, Bounds())
    assert found == Decoded(len(expected) / 16_000, recording.subtype)
    samples = np.concatenate(list(AudioInput(tmp_path / DECODED).blocks()))
    assert samples.tobytes() == expected.tobytes()
    assert not (tmp_path / UPLOADED).exists()


@pytest.mark.parametrize("bounds", [{"decoding_time": 0.001}, {"decoding_bytes": 1e6}])
def test_a_child_that_takes_too_much_is_ended_in_words(tmp_path: Path, bounds: dict[str, float]) -> None:
    upload(tmp_path, 60.0)
    with pytest.raises(RefusedError, match="to decode than the service allows") as refused:
        decode(tmp_path, None, replace(Bounds(), **bounds))
    assert refused.value.status == 413


def test_a_child_cannot_say_what_this_process_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is JSON of a few bytes; a longer one or another kind is no answer."""
    upload(tmp_path, 1.0)
    monkeypatch.setattr(decoding, "LONGEST_ANSWER", 4)
    with pytest.raises(RefusedError, match="more memory or time"):
        decode(tmp_path, None, Bounds())
