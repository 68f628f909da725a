"""The level of each speaker: from a whole recording or piece by piece, and what is left of the mixture."""

from io import BytesIO

import numpy as np
import pytest

from convtasnet_lit.inference.level import Level, Spool, add_rest, at_mixture_level


def test_equal_estimates_share_the_mixture() -> None:
    signal = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    levelled = at_mixture_level(np.stack((signal, signal)), 2 * signal)
    np.testing.assert_allclose(levelled.sum(0), 2 * signal, atol=1e-3, rtol=1e-3)


def test_gains_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    estimates, mixture = rng.normal(size=(3, 500)), rng.normal(size=500)
    level = Level(3)
    for piece in np.split(np.arange(500), [7, 100, 350]):
        level.add(mixture[piece], estimates[:, piece])
    expected = np.linalg.lstsq(estimates.T, mixture)[0]
    np.testing.assert_allclose(level.gains(), expected, rtol=1e-6)


@pytest.mark.parametrize("decibels", [-40, -60, -80])
def test_estimates_that_hardly_differ_are_not_blown_up_to_fit_what_both_lack(decibels: int) -> None:
    rng = np.random.default_rng(0)
    mixture, lacking, noise = rng.normal(0, [[0.1], [0.03], [0.03]], (3, 16_000))
    difference = 10 ** (decibels / 20) * (lacking + noise)
    estimates = (mixture - lacking) / 2 + np.stack((difference, -difference))
    levelled = at_mixture_level(7 * estimates * np.array([[1.0], [-0.1]]), mixture)
    assert np.square(levelled).mean(1).max() < np.square(mixture).mean()
    assert np.corrcoef(levelled.sum(0), mixture)[0, 1] > 0.9


def test_silent_estimates_get_no_great_gain() -> None:
    level = Level(2)
    level.add(np.ones(100), np.zeros((2, 100)))
    assert np.abs(level.gains()).max() < 1e-3


@pytest.mark.parametrize("scale", ["least_squares", "mixture"])
def test_estimates_wait_for_their_level(scale: str) -> None:
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(2, 1000)).astype(np.float32)
    mixture = sources.sum(0) + 0.1 * rng.normal(size=1000).astype(np.float32)
    estimates = sources * np.float32([[-2.0], [0.5]])
    spool = Spool(2, scale, False, BytesIO(), BytesIO())
    pieces = np.split(mixture, [1, 600])
    assert [passed is piece for passed, piece in zip(spool.passing(pieces), pieces, strict=True)] == [True] * 3
    spool.listen(mixture, estimates)
    for piece in np.split(estimates[:, :990], 3, 1):  # resampling may leave them a little short
        spool.write(piece.T)
    finished = np.concatenate(list(spool.finished(300)), 1)
    np.testing.assert_array_equal(np.concatenate(list(spool.finished(1000)), 1), finished)  # as often as one likes
    assert finished.shape == sources.shape
    if scale == "least_squares":
        np.testing.assert_allclose(finished[:, :990], sources[:, :990], atol=0.05)
        assert not finished[:, 990:].any()
    else:
        np.testing.assert_allclose(finished.sum(0), mixture, atol=1e-5)


def test_each_gets_an_equal_part_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    estimates, mixture = rng.normal(size=(3, 50)), rng.normal(size=50)
    changed = add_rest(estimates, mixture) - estimates
    np.testing.assert_allclose(changed[0], changed[2])
    np.testing.assert_allclose((estimates + changed).sum(0), mixture)
