"""Mixtures rendered from the store: training ones drawn on the fly, validation and test ones from fixed lists."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import soxr
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from convtasnet_lit.corpus.store import Store
from convtasnet_lit.data_config import Condition
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.active import active_shards, within
from convtasnet_lit.mixing.conditions import Conditions
from convtasnet_lit.mixing.plan import (
    FIXED_SEED,
    MOST_ATTEMPTS,
    Draw,
    MixtureSpec,
    first_alone,
    fixed_mixture,
    mixture_table,
    training_mixture,
)
from convtasnet_lit.mixing.transforms import change_first_level, normalize

SILENT_BELOW_DB = -40.0  # a stretch this far under its own utterance's level is a pause, not speech


class Mixture(NamedTuple):
    """What a data loader yields: the parts of a mixture, or of a batch of them, (..., sources + 1, samples).

    The last part is all that is heard beside the sources: noise, echoes that no source shall have, the error of a
    codec; zeros in a clean mixture. So the mixture is always the sum of its parts, and one gain or filter for all of
    them is one for the mixture. One tensor and no more: handing each from a loading process to the training costs about
    a millisecond.
    """

    parts: Tensor

    @property
    def sources(self) -> Tensor:
        """What the network shall give back, (..., sources, samples)."""
        return self.parts[..., :-1, :]

    @property
    def mixture(self) -> Tensor:
        """What it is given, (..., samples)."""
        return self.parts.sum(-2)


def render(store: Store, spec: MixtureSpec) -> np.ndarray | None:
    """Read and level the sources of a mixture; the first keeps its recorded level.

    Args:
        store: The prepared corpus.
        spec: Which utterances, how loud, from where.

    Returns:
        Sources, (sources, samples) in float32, the absent ones last; None where one that should sound is silent.
    """
    present = len(spec.rows)
    sources = np.zeros((present + spec.absent, spec.length), np.float32)
    for source, row, level, start, count, speed in zip(
        sources[:present], spec.rows, spec.levels_db, spec.starts, spec.counts, spec.speeds, strict=True
    ):
        samples = store.read(row, start, count)
        if speed != 1.0:  # LQ is a 16-bit filter: an augmentation needs no better
            samples = soxr.resample(samples, speed, 1.0, "LQ")[: spec.length]
        rms = store.rms[row]
        if np.dot(samples, samples) < spec.length * (rms * 10 ** (SILENT_BELOW_DB / 20)) ** 2:
            return None
        np.multiply(samples, store.rms[spec.rows[0]] / rms * 10 ** (level / 20), out=source[: len(samples)])
    return sources


def audible(store: Store, plan: Callable[[int], MixtureSpec]) -> tuple[MixtureSpec, np.ndarray]:
    """Draw until no source is silent but those that are absent.

    Args:
        store: The prepared corpus.
        plan: The mixture of a given attempt.

    Returns:
        The mixture's plan and its sources, (sources, samples).

    Raises:
        InputError: No draw had sound in all sources.
    """
    for attempt in range(MOST_ATTEMPTS):  # a corpus of mostly silence is refused rather than searched forever
        spec = plan(attempt)
        sources = render(store, spec)
        if sources is not None:
            return spec, sources
    raise InputError(
        f"data.root: {MOST_ATTEMPTS} mixtures drawn in a row had a silent source; is the corpus mostly silence?"
    )


class TrainingMixtures(Dataset[Mixture]):
    """Mixtures of training speakers, as a function of (epoch, index).

    Args:
        store: The prepared corpus.
        draw: How sources are drawn.
        segment: Samples of a mixture.
        seed: The run's seed.
        normalized: Bring mixtures to -25 dBFS.
        random_crop: Begin anywhere in an utterance longer than the segment.
        speed_range: Each source is played U(1 - r, 1 + r) times as fast.
        snr_probability: How often the first source's level is changed.
        snr_range_db: r; the level is changed by U(-r, r) dB.
        conditions: What mixtures are put into.
        active_shards: How many of the store's shards an epoch is drawn from; 0 means all.
    """

    def __init__(
        self,
        store: Store,
        draw: Draw,
        segment: int,
        seed: int,
        normalized: bool = True,
        random_crop: bool = True,
        speed_range: float = 0.0,
        snr_probability: float = 0.0,
        snr_range_db: float = 3.0,
        conditions: Conditions | None = None,
        active_shards: int = 0,
    ) -> None:
        self.store, self.draw, self.segment, self.seed = store, draw, segment, seed
        self.normalized, self.random_crop, self.speed_range = normalized, random_crop, speed_range
        self.snr_probability, self.snr_range_db = snr_probability, snr_range_db
        self.conditions = conditions or Conditions(store.sample_rate)
        self.active_shards = active_shards if active_shards < store.shards else 0
        self._epoch, self._in_epoch = -1, (self.draw, self.conditions)

    def __getitem__(self, key: tuple[int, int]) -> Mixture:
        """Return mixture `index` of epoch `epoch`, given as (epoch, index)."""
        epoch, index = key
        draw, conditions = self._of_epoch(epoch)
        spec, rendered = audible(
            self.store,
            lambda attempt: training_mixture(
                draw, self.segment, self.random_crop, self.speed_range, self.seed, epoch, index, attempt
            ),
        )
        if conditions.met(Condition.lone, (self.seed, epoch, index)) is not None:
            spec = first_alone(spec, self.store.index)
            rendered[1:] = 0
        sources = torch.from_numpy(rendered)
        rng = np.random.default_rng((self.seed, epoch, index, MOST_ATTEMPTS))  # apart from every attempt's stream
        if rng.random() < self.snr_probability:
            sources = change_first_level(sources, rng.uniform(-self.snr_range_db, self.snr_range_db))
        parts = conditions.applied(sources.numpy(), spec.rows, (self.seed, epoch, index))
        return _mixture(parts, self.normalized)

    def _of_epoch(self, epoch: int) -> tuple[Draw, Conditions]:
        """What an epoch is drawn from; its babble, too, is of its active shards."""
        if self.active_shards and epoch != self._epoch:
            active = active_shards(self.store.shards, self.active_shards, self.seed, epoch)
            draw, noises = within(self.draw, self.store.index, active), self.conditions.noises
            noises = noises and replace(noises, talkers=draw.speakers)
            self._epoch, self._in_epoch = epoch, (draw, replace(self.conditions, noises=noises))
        return self._in_epoch


class FixedMixtures(Dataset[Mixture]):
    """The validation or test list: whole utterances, the same for everybody.

    Args:
        store: The prepared corpus.
        draw: How sources are drawn.
        split: The split's number.
        count: How many mixtures.
        longest: As long as the longest utterance, else as the shortest.
        normalized: Bring mixtures to -25 dBFS.
        conditions: What mixtures are put into.
    """

    def __init__(
        self,
        store: Store,
        draw: Draw,
        split: int,
        count: int,
        longest: bool,
        normalized: bool = True,
        conditions: Conditions | None = None,
    ) -> None:
        self.store, self.split, self.normalized = store, split, normalized
        self.conditions = conditions or Conditions(store.sample_rate)
        self.specs = [self._planned(draw, longest, index) for index in range(count)]

    def _planned(self, draw: Draw, longest: bool, index: int) -> MixtureSpec:
        spec, _ = audible(self.store, lambda attempt: fixed_mixture(draw, self.split, longest, index, attempt))
        alone = self.conditions.met(Condition.lone, (FIXED_SEED, self.split, index)) is not None
        return first_alone(spec, self.store.index) if alone else spec

    def table(self) -> pd.DataFrame:
        """List the mixtures so that others can make the same ones; see `mixture_table`."""
        return mixture_table(self.specs, self.store.index)

    def __len__(self) -> int:
        return len(self.specs)

    def __getitem__(self, index: int) -> Mixture:
        spec = self.specs[index]
        rendered = render(self.store, spec)
        assert rendered is not None, "the list holds no silent source"
        return _mixture(self.conditions.applied(rendered, spec.rows, (FIXED_SEED, self.split, index)), self.normalized)


def _mixture(parts: np.ndarray, normalized: bool) -> Mixture:
    signals = torch.from_numpy(parts)
    return Mixture(normalize(signals) if normalized else signals)


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield (epoch, index) for this process's share of each epoch.

    The epoch travels with the index, so workers that live across epochs need not be told. `world_size` mixtures are
    dealt out at a time, so that all processes together have those that one would have. Who gets which is drawn: numbers
    of speakers and genders take turns, and a process that got each second mixture would hear lone speakers alone.

    Args:
        size: Mixtures in an epoch, over all processes.
        rank: This process's number.
        world_size: How many processes.
        epoch: The first one. It must be known here, because workers load as soon as a loader is iterated, and Lightning
            does that before it tells a resumed run's epoch (its issue 21938).
        skip: Mixtures of this process's share of the first epoch that were already trained on.
    """

    def __init__(self, size: int, rank: int = 0, world_size: int = 1, epoch: int = 0, skip: int = 0) -> None:
        self.size, self.rank, self.world_size = size, rank, world_size
        self.epoch = self.first_epoch = epoch
        self.skip = skip

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; the name is the one Lightning calls."""
        self.epoch = max(epoch, self.first_epoch)  # before a resumed run is restored, Lightning takes it to be at 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, done = self.epoch, self.skip if self.epoch == self.first_epoch else 0
        drawn = np.random.default_rng(epoch).integers(self.world_size, size=len(self))
        share = np.arange(len(self)) * self.world_size + (self.rank + drawn) % self.world_size
        return ((epoch, index) for index in share[done:].tolist())

    def __len__(self) -> int:
        return self.size // self.world_size  # the same for each process
