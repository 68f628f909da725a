import numpy as np
import pytest

from benchmarks.hardships import HARDSHIPS, lone, music, steady

RATE = 8000


@pytest.fixture
def sources() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32)


def others() -> list[np.ndarray]:
    return list(np.random.default_rng(1).standard_normal((4, 2 * RATE)))


def decibels(over: np.ndarray, under: np.ndarray) -> float:
    return float(10 * np.log10(np.square(over).sum() / np.square(under).sum()))


@pytest.mark.parametrize("name", HARDSHIPS)
def test_every_hardship_is_heard_and_is_the_same_again(name: str, sources: np.ndarray) -> None:
    once, again = (HARDSHIPS[name](sources.copy(), others(), np.random.default_rng(5), RATE) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.shape == (3, 2 * RATE)
    assert np.isfinite(once).all()
    assert np.allclose(once.sum(0), sources.sum(0), atol=1e-6) == (name == "clean")


@pytest.mark.parametrize("hardship", [steady, music])
def test_what_is_heard_beside_the_speech_lies_as_far_under_it_as_asked(hardship, sources: np.ndarray) -> None:
    parts = hardship(sources, others(), np.random.default_rng(5), RATE, snr=7.0)
    np.testing.assert_array_equal(parts[:2], sources)
    assert decibels(parts[:2].sum(0), parts[2]) == pytest.approx(7.0, abs=1e-3)


def test_a_third_person_is_as_loud_as_each_of_the_two(sources: np.ndarray) -> None:
    parts = HARDSHIPS["a third person"](sources, others(), np.random.default_rng(5), RATE)
    assert decibels(parts[0], parts[2]) == pytest.approx(0, abs=0.2)


def test_one_is_softer_by_what_was_asked(sources: np.ndarray) -> None:
    parts = HARDSHIPS["one 10 dB softer"](sources * [[3.0], [1.0]], others(), np.random.default_rng(5), RATE)
    assert decibels(parts[0], parts[1]) == pytest.approx(10, abs=1e-3)


def test_a_lone_speaker_is_the_mixture(sources: np.ndarray) -> None:
    parts = lone(sources, [], np.random.default_rng(5), RATE)
    np.testing.assert_array_equal(parts.sum(0), sources[0])
