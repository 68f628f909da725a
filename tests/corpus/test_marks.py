"""A recording keeps its mark where its samples change by a bit, and no two recordings share one."""

import numpy as np
import pytest

from convtasnet_lit.corpus.marks import mark
from tests.corpus.trees import bursts


def read(samples: np.ndarray) -> np.ndarray:
    return np.rint(32768 * samples).clip(-32768, 32767).astype(np.float32) / np.float32(32768)


def test_another_version_of_a_resampler_hardly_changes_a_mark() -> None:
    random = np.random.default_rng(0)
    voices = [read(bursts(1.0, seed, 8000)) for seed in range(100)]
    flipped = [voice + random.integers(-1, 2, len(voice)).astype(np.float32) / 32768 for voice in voices]
    same = np.mean([mark(voice) == mark(other) for voice, other in zip(voices, flipped, strict=True)])
    assert same > 0.8
    assert len({mark(voice) for voice in voices}) == 100


@pytest.mark.filterwarnings("error")
def test_any_recording_has_a_mark() -> None:
    for length in (0, 1, 5, 9):
        assert len(mark(np.zeros(length, np.float32))) == 12
