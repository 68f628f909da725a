"""Which utterances make a mixture, how loud, and from where: pure functions of (seed, epoch, index).

No worker, rank or restart changes a mixture, because nothing but these numbers enters the random generator.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from convtasnet_lit.errors import InputError

FIXED_SEED = 2019  # of the validation and test lists; not the training seed, so that all runs share the lists
MOST_ATTEMPTS = 100  # to draw a mixture; the random streams after theirs are those of what is done to it


class MixtureSpec(NamedTuple):
    """One mixture before its audio is read; lengths in samples, one entry a source."""

    rows: tuple[int, ...]  # of the store's index
    levels_db: tuple[float, ...]  # relative to the first source
    starts: tuple[int, ...]  # where in the utterance the mixture begins
    counts: tuple[int, ...]  # samples taken of the utterance from there; silence follows them
    speeds: tuple[float, ...]  # how many times as fast it is played
    length: int  # of the mixture
    group: str  # the genders, sorted: FF, FM, MM, FFM, ...
    absent: int = 0  # sources after these that are silent: fewer speak than can be separated


@dataclass(frozen=True)
class Speakers:
    """Who can be drawn: each speaker's gender, the rows and lengths of each one's utterances, and how often."""

    genders: tuple[str, ...]  # F, M or U (unknown)
    rows: tuple[np.ndarray, ...]
    lengths: np.ndarray  # samples, by row of the store
    weights: np.ndarray  # how often each is drawn, relative to the others

    @classmethod
    def of(cls, index: pd.DataFrame, rows: np.ndarray, weights: Mapping[str, float] | None = None) -> "Speakers":
        """Group the given rows of a store's index by speaker.

        Args:
            index: The store's index, with columns `speaker`, `gender` and `length`.
            rows: Which of its rows, all of one split.
            weights: How often speakers are drawn, by what the names of their utterances begin with; 1 by default.
        """
        by_speaker = index.iloc[rows].groupby("speaker", sort=True)
        genders = tuple(str(group["gender"].iloc[0])[0].upper() for _, group in by_speaker)
        utterances = tuple(group.index.to_numpy() for _, group in by_speaker)
        names = [str(group["utterance"].iloc[0]) for _, group in by_speaker]
        given = [[w for prefix, w in (weights or {}).items() if name.startswith(prefix)] for name in names]
        drawn = np.array([each[0] if each else 1.0 for each in given])
        return cls(genders, utterances, index["length"].to_numpy(), drawn)

    def limited(self, quota: int) -> "Speakers":
        """Take equally much speech of each: the first samples of the longest utterances, as few as hold it.

        Args:
            quota: Samples of each speaker, of which each has as many.
        """
        lengths, rows = self.lengths.copy(), []
        for utterances in self.rows:
            ordered = utterances[np.argsort(-lengths[utterances], kind="stable")]
            needed = ordered[: np.searchsorted(np.cumsum(lengths[ordered]), quota) + 1]
            ceiling = bisect_left(range(quota), quota, key=lambda c: np.minimum(lengths[needed], c).sum())
            lengths[needed] = np.minimum(lengths[needed], ceiling)
            lengths[needed[0]] -= lengths[needed].sum() - quota  # less than a sample of each
            rows.append(np.sort(needed))
        return replace(self, rows=tuple(rows), lengths=lengths)


@dataclass(frozen=True)
class Draw:
    """How the sources of a mixture are drawn.

    Args:
        speakers: Who can be drawn.
        num_speakers: How many different ones in a mixture, at most.
        level_range_db: Each source after the first lies U(-r, r) dB over the first.
        balanced: Give each combination of genders (FF, FM, MM) an equal share, in turn.
        fewest_speakers: In a mixture; 0 means always `num_speakers`. The numbers take turns, too, so that each has its
            exact share, and a redraw, which more speakers need more often, cannot take from it.
    """

    speakers: Speakers
    num_speakers: int
    level_range_db: float
    balanced: bool
    fewest_speakers: int = 0

    def __post_init__(self) -> None:
        """Check that the genders are known where they are needed."""
        if self.balanced and "U" in self.speakers.genders:
            raise InputError("data.pair_balance: equal needs every speaker's gender; use data.pair_balance=random")

    def sources(self, rng: np.random.Generator, index: int) -> tuple[tuple[int, ...], tuple[float, ...], str]:
        """Draw speakers, one utterance of each, and their levels: first the speaker, so that none who said much rules.

        Args:
            rng: The generator of this mixture.
            index: The mixture's number, which takes its turn among the numbers of speakers and the gender groups.
        """
        turn, count = self._count(index)
        everyone = np.arange(len(self.speakers.rows))
        chosen = self._balanced(rng, turn, count) if self.balanced else self._pick(rng, everyone, count)
        rows = tuple(int(utterances[rng.integers(len(utterances))]) for utterances in self._utterances(chosen))
        levels = rng.uniform(-self.level_range_db, self.level_range_db, count - 1)
        return rows, (0.0, *levels.tolist()), "".join(sorted(self.speakers.genders[i] for i in chosen))

    def _utterances(self, chosen: np.ndarray) -> list[np.ndarray]:
        return [self.speakers.rows[i] for i in chosen]

    def _count(self, index: int) -> tuple[int, int]:
        """Which turn of its number of speakers a mixture is, and that number."""
        fewest = self.fewest_speakers or self.num_speakers
        turn, more = divmod(index, self.num_speakers - fewest + 1)
        return turn, fewest + more

    def _pick(self, rng: np.random.Generator, among: np.ndarray, count: int) -> np.ndarray:
        weights = self.speakers.weights[among]
        if np.all(weights == weights[:1]):
            return rng.permutation(among)[:count]
        return rng.choice(among, count, replace=False, p=weights / weights.sum())

    def _balanced(self, rng: np.random.Generator, turn: int, count: int) -> np.ndarray:
        genders = np.array(self.speakers.genders)
        women, men = np.flatnonzero(genders == "F"), np.flatnonzero(genders == "M")
        fewest_men = max(0, count - len(women))
        most_men = min(count, len(men))
        num_men = fewest_men + turn % (most_men - fewest_men + 1)
        chosen = [self._pick(rng, men, num_men), self._pick(rng, women, count - num_men)]
        return rng.permutation(np.concatenate(chosen))


def training_mixture(
    draw: Draw,
    segment: int,
    random_crop: bool,
    speed_range: float,
    seed: int,
    epoch: int,
    index: int,
    attempt: int = 0,
) -> MixtureSpec:
    """Draw mixture number `index` of an epoch.

    Args:
        draw: How sources are drawn.
        segment: Samples of the mixture.
        random_crop: Begin anywhere in an utterance longer than the segment; else at its first sample.
        speed_range: Each source is played U(1 - r, 1 + r) times as fast.
        seed: The run's seed.
        epoch: Counted from 0.
        index: Counted from 0 in the epoch.
        attempt: Counted from 0; the next one is taken where a source turned out silent.
    """
    rng = np.random.default_rng((seed, epoch, index, attempt))
    rows, levels, group = draw.sources(rng, index)
    speeds = rng.uniform(1 - speed_range, 1 + speed_range, len(rows)).tolist() if speed_range else [1.0] * len(rows)
    needed = [round(segment * speed) for speed in speeds]
    spare = [int(draw.speakers.lengths[row]) - n for row, n in zip(rows, needed, strict=True)]
    starts = tuple(int(rng.integers(s + 1)) if random_crop and s > 0 else 0 for s in spare)
    counts = tuple(n + min(s, 0) for n, s in zip(needed, spare, strict=True))
    return MixtureSpec(rows, levels, starts, counts, tuple(speeds), segment, group, draw.num_speakers - len(rows))


def fixed_mixture(draw: Draw, split: int, longest: bool, index: int, attempt: int = 0) -> MixtureSpec:
    """Draw mixture number `index` of the validation or test list: whole utterances.

    Args:
        draw: How sources are drawn.
        split: The split's number, which keeps the lists apart.
        longest: As long as the longest utterance (`max`), else as the shortest (`min`).
        index: Counted from 0.
        attempt: Counted from 0; the next one is taken where a source turned out silent.
    """
    rng = np.random.default_rng((FIXED_SEED, split, index, attempt))
    rows, levels, group = draw.sources(rng, index)
    lengths, present = [int(draw.speakers.lengths[row]) for row in rows], len(rows)
    length = max(lengths) if longest else min(lengths)
    counts, absent = tuple(min(length, each) for each in lengths), draw.num_speakers - present
    return MixtureSpec(rows, levels, (0,) * present, counts, (1.0,) * present, length, group, absent)


def first_alone(spec: MixtureSpec, index: pd.DataFrame) -> MixtureSpec:
    """Leave only the first speaker of a mixture; the others are absent, and its length stays.

    Args:
        spec: The mixture.
        index: The store's index.
    """
    gender = str(index["gender"].iloc[spec.rows[0]])[0].upper()
    kept = {key: getattr(spec, key)[:1] for key in ("rows", "levels_db", "starts", "counts", "speeds")}
    return spec._replace(**kept, group=gender, absent=spec.absent + len(spec.rows) - 1)


def mixture_table(specs: Sequence[MixtureSpec], index: pd.DataFrame) -> pd.DataFrame:
    """List mixtures so that others can make the same ones: names, levels and a hash of each utterance's samples.

    The cells of absent sources are empty.

    Args:
        specs: The mixtures.
        index: The store's index.
    """
    records = []
    for number, spec in enumerate(specs):
        record: dict[str, object] = {"mixture": number, "group": spec.group, "samples": spec.length}
        for source, (row, level) in enumerate(zip(spec.rows, spec.levels_db, strict=True), start=1):
            utterance = index.iloc[row]
            record[f"utterance_{source}"] = utterance["utterance"]
            record[f"speaker_{source}"] = utterance["speaker"]
            record[f"sha256_{source}"] = utterance["sha256"]
            record[f"level_db_{source}"] = f"{level:.6f}"
        records.append(record)
    return pd.DataFrame.from_records(records)
