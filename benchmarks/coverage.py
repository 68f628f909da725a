"""Print how often the report's interval covers the truth: `python benchmarks/coverage.py`, some minutes."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from convtasnet_lit.comparison.statistics import LEVEL, estimate, mixture_variance

# standard deviations in dB: (seed, voice, set of voices, mixture, seed x voice, seed x mixture)
SPREADS: dict[str, tuple[float, ...]] = {
    "seeds above all": (0.4, 0.0, 0.0, 0.5, 0.0, 0.5),
    "as in training": (0.2, 0.15, 0.15, 0.8, 0.1, 0.8),
    "seeds and voices alike": (0.15, 0.3, 0.3, 1.0, 0.1, 1.0),
    "voices above all": (0.05, 0.5, 0.0, 0.5, 0.05, 0.5),
    "pairs of voices": (0.05, 0.0, 0.6, 0.6, 0.1, 0.5),
    "mixtures alone": (0.0, 0.0, 0.0, 1.5, 0.0, 1.0),
}
TRUTH = 0.3  # dB, of the differences made
LISTS = ((10, 100), (20, 100), (20, 300), (44, 300))  # test speakers and mixtures


def drawn_list(rng: np.random.Generator, speakers: int, mixtures: int) -> np.ndarray:
    """Draw who speaks in which mixture, two at a time.

    Args:
        rng: Randomness.
        speakers: How many there are.
        mixtures: How many are made.

    Returns:
        (mixtures, speakers), 1 where a mixture holds a speaker.
    """
    return (rng.random((mixtures, speakers)).argsort(axis=1).argsort(axis=1) < 2).astype(float)


def differences(rng: np.random.Generator, voices: np.ndarray, seeds: int, spread: Sequence[float]) -> np.ndarray:
    """Make the differences of two arms, (seeds, mixtures), around `TRUTH`.

    Args:
        rng: Randomness.
        voices: (mixtures, speakers).
        seeds: Of each arm.
        spread: As in `SPREADS`.
    """
    seed, voice, group, mixture, seed_voice, seed_mixture = spread
    count, speakers = voices.shape
    groups, which = np.unique(voices, axis=0, return_inverse=True)
    shared = voice * rng.normal(size=speakers) @ voices.T + group * rng.normal(size=len(groups))[which.ravel()]
    own = seed * rng.normal(size=(seeds, 1)) + seed_voice * rng.normal(size=(seeds, speakers)) @ voices.T
    rest = mixture * rng.normal(size=count) + seed_mixture * rng.normal(size=(seeds, count))
    return np.asarray(TRUTH + shared + own + rest)


def coverage(spread: Sequence[float], seeds: int, speakers: int, mixtures: int, sweeps: int) -> float:
    """Return the share of made sweeps whose interval holds the truth.

    Args:
        spread: As in `SPREADS`.
        seeds: Of each arm.
        speakers: Of the test list.
        mixtures: Of the test list.
        sweeps: How many are made; each draws its own test list.
    """
    rng, covered = np.random.default_rng(0), 0
    for _ in range(sweeps):
        voices = drawn_list(rng, speakers, mixtures)
        found = estimate(differences(rng, voices, seeds, spread), voices)
        covered += found.low <= TRUTH <= found.high
    return covered / sweeps


def others(values: np.ndarray, voices: np.ndarray) -> dict[str, float]:
    """Return the half-widths of intervals that the report could have used, by name.

    Args:
        values: (seeds, mixtures).
        voices: (mixtures, speakers).
    """
    seeds, count = values.shape
    robust, apart, freedom = mixture_variance(values.mean(0, keepdims=True), voices)
    own_robust, own_apart, _ = mixture_variance(values - values.mean(0), voices)
    test = max(0.0, robust - own_robust / (seeds - 1), (apart - own_apart / (seeds - 1)) / 2)
    of_seeds, at = values.mean(1).var(ddof=1) / seeds, (1 + LEVEL) / 2
    total = of_seeds + test
    together = stdtrit(1 / ((of_seeds / total) ** 2 / (seeds - 1) + (test / total) ** 2 / freedom), at)
    apart_t = (of_seeds * stdtrit(seeds - 1, at) + test * stdtrit(freedom, at)) / total
    resamples = np.array(np.meshgrid(*[range(seeds)] * seeds)).reshape(seeds, -1)  # every one there is
    low, high = np.percentile(values.mean(1)[resamples].mean(0), [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return {
        "percentile bootstrap over seeds": float(high - low) / 2,
        "t over mixtures": float(stdtrit(count - 1, at) * values.mean(0).std(ddof=1) / np.sqrt(count)),
        "t over seeds": float(stdtrit(seeds - 1, at) * np.sqrt(of_seeds)),
        "Satterthwaite alone": float(together * np.sqrt(total)),
        "Cochran and Cox alone": float(apart_t * np.sqrt(total)),
    }


def compared(spread: Sequence[float], sweeps: int) -> dict[str, float]:
    """Return the share of made sweeps of three seeds that each way covers.

    Args:
        spread: As in `SPREADS`.
        sweeps: How many are made, each with 20 speakers in 300 mixtures.
    """
    rng, covered = np.random.default_rng(0), Counter[str]()
    for _ in range(sweeps):
        voices = drawn_list(rng, 20, 300)
        values = differences(rng, voices, 3, spread)
        found = estimate(values, voices)
        widths = others(values, voices) | {"the report's": (found.high - found.low) / 2}
        covered.update(name for name, width in widths.items() if abs(found.mean - TRUTH) <= width)
    return {name: covered[name] / sweeps for name in widths}


def main() -> None:
    """Print the tables of docs/report.md."""
    sizes = " | ".join(f"{speakers} speakers, {mixtures} mixtures" for speakers, mixtures in LISTS)
    print(f"| spread | seeds | {sizes} |\n| --- | --- |{' --- |' * len(LISTS)}")
    for name, spread in SPREADS.items():
        for seeds in (3, 5):
            cells = [f"{coverage(spread, seeds, *size, sweeps=1000):.1%}" for size in LISTS]
            print(f"| {name} | {seeds} | {' | '.join(cells)} |", flush=True)
    rows = {name: compared(spread, sweeps=1000) for name, spread in SPREADS.items()}
    print(f"\n| | {' | '.join(rows)} |\n| --- |{' --- |' * len(rows)}")
    for way in next(iter(rows.values())):
        print(f"| {way} | {' | '.join(f'{row[way]:.1%}' for row in rows.values())} |")


if __name__ == "__main__":
    main()
