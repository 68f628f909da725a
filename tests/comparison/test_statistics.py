"""The interval against scipy's where nothing is shared, and its coverage where seeds and voices are."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from benchmarks.coverage import SPREADS, TRUTH, coverage, differences, drawn_list
from convtasnet_lit.comparison.statistics import estimate, holm, ratio, sign_test_floor

RNG = np.random.default_rng(0)


def alone(mixtures: int) -> np.ndarray:
    """Mixtures of two voices each that no other mixture has."""
    return np.repeat(np.eye(mixtures), 2, axis=1)


def assert_like_scipy(found, sample) -> None:
    expected = ttest_1samp(sample, 0)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_all_mixtures_agree_it_is_the_t_interval_over_seeds(seeds: int) -> None:
    of_seeds = RNG.normal(0.3, 1, seeds)
    assert_like_scipy(estimate(np.repeat(of_seeds[:, None], 40, axis=1), alone(40)), of_seeds)


def test_where_all_seeds_agree_and_no_voice_is_shared_it_is_the_t_interval_over_mixtures() -> None:
    of_mixtures = RNG.normal(0.3, 1, 25)
    assert_like_scipy(estimate(np.tile(of_mixtures, (3, 1)), alone(25)), of_mixtures)


def test_mixtures_of_the_same_two_voices_count_as_one() -> None:
    of_pairs = RNG.normal(0.3, 1, 12)
    spread = RNG.normal(0, 1, (12, 4))
    values = of_pairs[:, None] + spread - spread.mean(1, keepdims=True)
    found = estimate(np.tile(values.ravel(), (3, 1)), np.repeat(alone(12), 4, axis=0))
    assert_like_scipy(found, of_pairs)


def test_a_shared_voice_widens_the_interval() -> None:
    voices = drawn_list(RNG, 10, 200)
    effects = RNG.normal(0, 1, 10)
    values = np.tile(voices @ effects + RNG.normal(0, 0.3, 200), (5, 1))
    low, high = ttest_1samp(values[0], 0).confidence_interval(0.95)
    found = estimate(values, voices)
    assert found.high - found.low > 2 * (high - low)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", SPREADS)
def test_the_interval_covers_the_truth_as_often_as_it_says(spread: str, seeds: int) -> None:
    # 300 sweeps have a standard error of 1.3 %; benchmarks/coverage.py makes 1,000 of each
    assert 0.92 <= coverage(SPREADS[spread], seeds, speakers=20, mixtures=100, sweeps=300) <= 0.985


def test_a_percentile_bootstrap_over_three_seeds_would_not() -> None:
    rng, covered = np.random.default_rng(0), 0
    resamples = np.array(np.meshgrid(*[range(3)] * 3)).reshape(3, -1)  # all 27 of them
    for _ in range(300):
        voices = drawn_list(rng, 20, 100)
        means = differences(rng, voices, 3, SPREADS["seeds above all"]).mean(1)
        low, high = np.percentile(means[resamples].mean(0), [2.5, 97.5])
        covered += low <= TRUTH <= high
    assert covered / 300 < 0.85


def test_p_is_below_five_hundredths_just_where_the_interval_leaves_out_zero() -> None:
    rng, apart = np.random.default_rng(1), 0
    for _ in range(200):
        voices = drawn_list(rng, 12, 50)
        found = estimate(differences(rng, voices, 3, SPREADS["as in training"]), voices)
        excluded = not found.low <= 0 <= found.high
        assert excluded == (found.p < 0.05)
        apart += excluded
    assert 10 < apart < 190


@pytest.mark.parametrize(
    ("seeds", "voices"), [(1, alone(10)), (3, np.ones((10, 2)))], ids=["one seed", "two speakers for all"]
)
def test_there_is_no_interval_where_the_spread_cannot_be_known(seeds: int, voices: np.ndarray) -> None:
    found = estimate(RNG.normal(0, 1, (seeds, 10)), voices)
    assert np.isfinite(found.mean) and len(found.each) == seeds
    assert np.isnan([found.low, found.high, found.p]).all()


def test_arms_that_do_not_differ_have_an_interval_of_nothing() -> None:
    found = estimate(np.zeros((3, 10)), alone(10))
    assert (found.mean, found.p) == (0, 1)
    assert abs(found.low) < 1e-9 and abs(found.high) < 1e-9


def test_a_ratio_is_a_t_interval_of_logarithms() -> None:
    ours, theirs = np.array([4.0, 5.0, 7.0, 6.0]), np.array([8.0, 9.0, 9.5, 13.0])
    low, high = ttest_1samp(np.log(ours / theirs), 0).confidence_interval(0.95)
    found = ratio(ours, theirs)
    assert (found.low, found.high) == pytest.approx((np.exp(low), np.exp(high)))
    assert found.p == pytest.approx(ttest_1samp(np.log(ours / theirs), 0).pvalue)
    assert np.isnan(ratio(theirs / 2, theirs).low)  # no spread: no interval, not a perfect one


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm 1979's step-down
    adjusted = holm([0.04, float("nan"), 0.03])
    assert np.isnan(adjusted[1]) and (adjusted[0], adjusted[2]) == pytest.approx((0.06, 0.06))
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("seeds", [1, 3, 5, 8])
def test_the_sign_tests_floor(seeds: int) -> None:
    assert sign_test_floor(seeds) == pytest.approx(binomtest(seeds, seeds).pvalue)
