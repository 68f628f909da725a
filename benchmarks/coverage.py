"""Print how often the report's interval covers the truth: `python benchmarks/coverage.py`, a minute or two."""

from collections.abc import Sequence

import numpy as np

from convtasnet_lit.comparison.statistics import estimate

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


if __name__ == "__main__":
    print(
        "| spread | seeds | " + " | ".join(f"{speakers} speakers, {mixtures} mixtures" for speakers, mixtures in LISTS)
    )
    print("| --- | --- |" + " --- |" * len(LISTS))
    for name, spread in SPREADS.items():
        for seeds in (3, 5):
            cells = [f"{coverage(spread, seeds, *sizes, sweeps=1000):.1%}" for sizes in LISTS]
            print(f"| {name} | {seeds} | {' | '.join(cells)} |", flush=True)
