"""Means over seeds and mixtures, and how far they can be trusted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; the interval and p are NaN where the spread cannot be known.

    Args:
        mean: Over seeds and mixtures.
        low: The 95 % interval's lower end.
        high: Its upper end.
        p: Two-sided, of the mean being 0; below 0.05 exactly where the interval leaves 0 out.
        seeds: How many.
        each: One mean a seed.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    each: tuple[float, ...]


def estimate(values: np.ndarray, voices: np.ndarray) -> Estimate:
    """Estimate what new seeds would score on new mixtures of new speakers.

    The model: value[s, m] = mean + seed[s] + the effects of m's voices + that of their combination + that of m + all of
    these anew for each seed. The variance of the mean is V = V_seeds + V_test. V_seeds is the variance of the seeds'
    means divided by their number S, with S - 1 degrees of freedom. V_test is that of the mixtures' means, by
    `mixture_variance`, less what of it is new for each seed, which V_seeds holds already. It counts as at least half of
    what it would be if combinations of voices were independent, since the estimate can fall below 0.

    The half-width is sqrt(V) times the middle between two quantiles of t: that at Satterthwaite's (1946) degrees of
    freedom for V, and Cochran and Cox's (1950), the mean of the quantiles for V_seeds and V_test, weighted by these.
    Over three seeds the first alone covers too little and the second too much; docs/report.md shows both.

    Args:
        values: (seeds, mixtures), all finite: scores of an arm, or differences of two arms at the same seeds.
        voices: (mixtures, speakers), 1 where a mixture holds a speaker, else 0.

    Returns:
        The mean and its interval, which needs two seeds, and two mixtures without a common voice.

    Example:
        >>> found = estimate(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), np.eye(2))
        >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
        (2.0, -0.48, 4.48)
    """
    seeds, each, mean = len(values), values.mean(1), float(values.mean())
    robust, apart, freedom = mixture_variance(values.mean(0, keepdims=True), voices)
    if seeds < 2 or np.isnan(robust):
        return Estimate(mean, np.nan, np.nan, np.nan, seeds, tuple(each.tolist()))
    own_robust, own_apart, _ = mixture_variance(values - values.mean(0), voices)
    test = max(0.0, robust - own_robust / (seeds - 1), (apart - own_apart / (seeds - 1)) / 2)
    reach = _half_width(float(each.var(ddof=1)) / seeds, seeds - 1, test, freedom)
    width = reach(1 - LEVEL)
    return Estimate(mean, mean - width, mean + width, _p_value(mean, reach), seeds, tuple(each.tolist()))


def mixture_variance(values: np.ndarray, voices: np.ndarray) -> tuple[float, float, float]:
    """Estimate the variance of a mean over mixtures of which some share voices.

    It sums the products of the residuals of all two mixtures that share a voice (Fafchamps and Gubert 2007; Aronow,
    Samii and Assenova 2015), over n^2, and divides by 1 - the share of such twos, which makes it s^2 / n where no
    mixtures share a voice.

    Args:
        values: (rows, mixtures).
        voices: (mixtures, speakers), 1 where a mixture holds a speaker, else 0.

    Returns:
        The variance, a mean over the rows; the same if only mixtures of the very same voices were taken to depend on
        each other; and the former's degrees of freedom, by Satterthwaite, if voices made all the difference. All are
        NaN if any two mixtures share a voice.
    """
    sets, which, counts = np.unique(voices, axis=0, return_inverse=True, return_counts=True)
    count, share = len(voices), (sets @ sets.T > 0).astype(float)  # (sets, sets): 1 if they share a voice
    common = counts @ share @ counts / count**2
    if common > 1 - 1e-9:
        return np.nan, np.nan, np.nan
    residuals = values - values.mean(1, keepdims=True)
    sums = np.array([np.bincount(which.ravel(), row) for row in residuals])  # (rows, sets)
    robust = np.mean(((sums @ share) * sums).sum(1)) / count**2 / (1 - common)
    apart = np.mean((sums**2).sum(1)) / count**2 / (1 - counts @ counts / count**2)
    centred = counts[:, None] * (sets - voices.mean(0))
    form = centred.T @ share @ centred  # the quadratic form between the voices' effects
    return float(robust), float(apart), float(np.trace(form) ** 2 / (form**2).sum())


def _half_width(seeds: float, seeds_freedom: float, test: float, test_freedom: float) -> Callable[[float], float]:
    """Return the half-width of the interval as a function of the probability that is left outside.

    Of the variances of the mean from seeds and from test mixtures, each with its degrees of freedom.
    """
    total = max(seeds + test, np.finfo(float).tiny)
    freedom = 1 / max((seeds / total) ** 2 / seeds_freedom + (test / total) ** 2 / test_freedom, 1e-9)

    def width(outside: float) -> float:
        together, of_seeds, of_test = -stdtrit([freedom, seeds_freedom, test_freedom], outside / 2)
        return float(np.sqrt(total) * (together + (seeds * of_seeds + test * of_test) / total) / 2)

    return width


def ratio(values: np.ndarray, baseline: np.ndarray) -> Estimate:
    """Estimate the ratio of two positive quantities measured at the same seeds, by a t interval of its logarithm.

    Args:
        values: (seeds,).
        baseline: (seeds,), of the same seeds.

    Example:
        >>> found = ratio(np.array([5.0, 6.0, 7.0]), np.array([10.0, 11.0, 15.0]))
        >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
        (0.5, 0.41, 0.61)
    """
    logs = np.log(values / baseline)
    if len(logs) < 2 or np.ptp(logs) == 0:
        return Estimate(float(np.exp(logs.mean())), np.nan, np.nan, np.nan, len(logs), tuple(np.exp(logs).tolist()))
    error = logs.std(ddof=1) / np.sqrt(len(logs))
    low, high = np.exp(logs.mean() + np.array([-1, 1]) * stdtrit(len(logs) - 1, (1 + LEVEL) / 2) * error)
    p = float(2 * stdtr(len(logs) - 1, -abs(logs.mean()) / error))
    return Estimate(float(np.exp(logs.mean())), float(low), float(high), p, len(logs), tuple(np.exp(logs).tolist()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979), so that the chance of any false claim stays below the level.

    Args:
        p_values: One a comparison; NaN stays NaN and is not counted.

    Example:
        >>> holm([0.03, 0.01, 0.04])
        [0.06, 0.03, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not np.isnan(p))
    adjusted, highest = [float("nan")] * len(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = highest
    return adjusted


def sign_test_floor(seeds: int) -> float:
    """Return the smallest two-sided p that an exact sign test over so many seeds can give.

    Example:
        >>> sign_test_floor(3)
        0.25
    """
    return float(0.5 ** (seeds - 1))


def _p_value(mean: float, width: Callable[[float], float]) -> float:
    """Find the probability outside at which the interval just touches 0."""
    smallest = 1e-12
    if width(smallest) <= abs(mean):
        return smallest
    return float(brentq(lambda outside: width(outside) - abs(mean), smallest, 1.0))
