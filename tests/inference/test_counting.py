"""Which outputs hold a speaker."""

from itertools import combinations

import numpy as np
import pytest

from convtasnet_lit.inference.counting import heard


def outputs(present: tuple[int, ...], leakage_db: float, scale: float = 1.0) -> np.ndarray:
    """What a network gives that returns the true sources, and leaks this far below their mixture elsewhere."""
    rng = np.random.default_rng(len(present))
    sources = rng.normal(0, 0.05, (5, 4000)) * 10 ** (rng.uniform(-2.5, 2.5, (5, 1)) / 20)
    quiet = [number for number in range(5) if number not in present]
    mixture = sources[list(present)].sum(0)
    sources[quiet] = rng.normal(0, 1, (len(quiet), 4000)) * np.sqrt((mixture**2).mean()) * 10 ** (leakage_db / 20)
    return (scale * sources).astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 30.0])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_true_sources_are_counted_right_whatever_leaks(count: int, scale: float) -> None:
    for present in combinations(range(5), count):
        expected = [number in present for number in range(5)]
        assert heard(outputs(present, -40.0, scale)).tolist() == expected


def test_nobody_is_heard_in_silence() -> None:
    assert heard(np.zeros((3, 800), np.float32)).tolist() == [False] * 3


def test_the_order_of_the_outputs_does_not_matter() -> None:
    estimates = outputs((0, 3), -40.0)
    assert heard(estimates[::-1]).tolist() == heard(estimates)[::-1].tolist()
