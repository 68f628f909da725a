"""Mixtures as they come out of the loaders."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from convtasnet_lit.config import Split
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.data_config import AugmentConfig, DataConfig, LengthMode, PairBalance
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.dataset import EpochSampler, audible, render
from convtasnet_lit.mixing.plan import MixtureSpec, training_mixture

NOTHING = AugmentConfig(random_crop=False, snr_probability=0.0)


def levels(sources: torch.Tensor) -> torch.Tensor:
    return 10 * sources.square().mean(-1).log10()


def test_training_mixtures_do_not_depend_on_the_workers(data: DataConfig) -> None:
    def epoch(workers: int) -> list[torch.Tensor]:
        loader = MixtureDataModule(replace(data, num_workers=workers)).train_dataloader()
        loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
        return [batch.mixture for batch in loader]

    for one, other in zip(epoch(0), epoch(2), strict=True):
        assert torch.equal(one, other)


def test_mixtures_are_normalized_sums_of_the_segments_length(data: DataConfig) -> None:
    for batch in MixtureDataModule(data).train_dataloader():
        assert batch.mixture.shape == (2, 4000)
        assert batch.sources.shape == (2, 2, 4000)
        rms = batch.mixture.square().mean(-1).sqrt()
        torch.testing.assert_close(rms, torch.full((2,), 0.056234), atol=1e-4, rtol=0)


def test_an_epoch_holds_other_mixtures_than_the_last(data: DataConfig) -> None:
    mixtures = MixtureDataModule(data).training_mixtures()
    assert not torch.equal(mixtures[0, 0].mixture, mixtures[1, 0].mixture)


def test_relative_levels_are_within_the_range(data: DataConfig) -> None:
    whole = MixtureDataModule(
        replace(data, segment="5s"), NOTHING
    ).training_mixtures()  # whole utterances, then silence
    differences = torch.stack([levels(whole[0, i].sources).diff() for i in range(40)])
    assert differences.abs().max() <= 2.5 + 0.05
    assert differences.std() > 1


def test_dynamic_snr_changes_the_first_source_half_of_the_time(data: DataConfig) -> None:
    plain = MixtureDataModule(data, AugmentConfig(snr_probability=0.0)).training_mixtures()
    varied = MixtureDataModule(data, AugmentConfig()).training_mixtures()
    changes = []
    for i in range(200):
        before, after = (levels(m[0, i].sources) for m in (plain, varied))
        changes.append(((after[0] - after[1]) - (before[0] - before[1])).item())
    changed = np.abs(changes) > 1e-3
    assert 0.4 < changed.mean() < 0.6
    assert 2.5 < np.abs(changes).max() <= 3.001


def test_without_normalization_the_first_source_keeps_its_recorded_level(data: DataConfig) -> None:
    module = MixtureDataModule(replace(data, normalize=False), NOTHING)
    store, item = module.corpus.store, module.training_mixtures()[0, 0]
    recorded = [store.read(row, 0, 4000) for row in module.corpus.rows("train")]
    assert any(np.allclose(item.sources[0].numpy(), samples, atol=1e-6) for samples in recorded)


def test_validation_and_test_are_fixed_and_whole(data: DataConfig) -> None:
    one, other = (MixtureDataModule(data, seed=seed).fixed_mixtures(Split.test) for seed in (0, 7))
    assert one.specs == other.specs
    for number, spec in enumerate(one.specs):
        item = one[number]
        assert item.mixture.shape == (spec.length,)
        torch.testing.assert_close(item.mixture.square().mean().sqrt(), torch.tensor(0.056234), atol=1e-4, rtol=0)


def test_no_speaker_is_in_two_splits(data: DataConfig) -> None:
    module = MixtureDataModule(data)
    index = module.corpus.store.index
    train = {index["speaker"][row] for i in range(200) for row in spec_rows(module, i)}
    fixed = {
        split: {index["speaker"][row] for spec in module.fixed_mixtures(split).specs for row in spec.rows}
        for split in (Split.validation, Split.test)
    }
    assert not train & fixed[Split.validation]
    assert not train & fixed[Split.test]
    assert not fixed[Split.validation] & fixed[Split.test]


def spec_rows(module: MixtureDataModule, index: int) -> tuple[int, ...]:
    mixtures = module.training_mixtures()
    rng = np.random.default_rng(index)
    return mixtures.draw.sources(rng, index)[0]


def test_min_cuts_and_max_fills(data: DataConfig) -> None:
    short = MixtureDataModule(data).fixed_mixtures(Split.validation)
    long = MixtureDataModule(replace(data, length_mode=LengthMode.max)).fixed_mixtures(Split.validation)
    assert sum(s.length for s in short.specs) < sum(s.length for s in long.specs)


def test_the_list_is_written_with_a_hash_of_its_content(data: DataConfig) -> None:
    module = MixtureDataModule(data)
    path = module.write_list(module.fixed_mixtures(Split.test), Split.test)
    assert len(pd.read_csv(path)) == data.test_mixtures
    assert module.write_list(module.fixed_mixtures(Split.test), Split.test) == path
    longer = MixtureDataModule(replace(data, length_mode=LengthMode.max))
    assert longer.write_list(longer.fixed_mixtures(Split.test), Split.test) != path


def test_equal_balance_reaches_the_loader(data: DataConfig) -> None:
    specs = MixtureDataModule(replace(data, pair_balance=PairBalance.equal)).fixed_mixtures(Split.test).specs
    assert sorted(spec.group for spec in specs) == ["FF", "FF", "FM", "FM", "MM", "MM"]


def test_absent_sources_are_exact_zeros_after_the_others(data: DataConfig) -> None:
    mixed = replace(data, num_speakers=3, fewest_speakers=1, validation_fraction=0.4)
    module = MixtureDataModule(mixed)
    for mixtures, keys in (
        (module.training_mixtures(), [(0, i) for i in range(6)]),
        (module.fixed_mixtures(Split.test), range(6)),
    ):
        for number, key in enumerate(keys):
            item = mixtures[key]
            sounding = item.sources.abs().amax(-1) > 0
            assert sounding.tolist() == [i < 1 + number % 3 for i in range(3)]
            torch.testing.assert_close(item.mixture.square().mean().sqrt(), torch.tensor(0.056234), atol=1e-4, rtol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_fewer_speakers_and_hours_are_all_that_training_hears(data: DataConfig, workers: int) -> None:
    quota, heard = 9000, Counter[str]()
    less = replace(data, train_speakers=4, train_hours=4 * quota / 8000 / 3600, segment="250ms", num_workers=workers)
    module, whole = MixtureDataModule(less), MixtureDataModule(data)
    corpus, state = whole.corpus, module.training_mixtures()
    index = corpus.store.index
    genders = index.set_index("speaker")["gender"]
    for number in range(300):
        spec = training_mixture(state.draw, 2000, True, 0.3, 0, 0, number)
        for row, start, count in zip(spec.rows, spec.starts, spec.counts, strict=True):
            assert start + count <= state.draw.speakers.lengths[row] <= index["length"][row]
            heard[index["speaker"][row]] += 1
    rows = np.concatenate(state.draw.speakers.rows)
    used = pd.Series(state.draw.speakers.lengths[rows]).groupby(index["speaker"].iloc[rows].to_numpy()).sum()
    assert used.to_dict() == dict.fromkeys(heard, quota)
    assert sorted(genders[name].iloc[0] for name in heard) == ["female", "female", "male", "male"]
    assert set(heard) < set(corpus.splits.train)
    assert len(list(module.train_dataloader())) == data.train_mixtures // 2
    assert set(module.training_mixtures().draw.speakers.genders) == {"F", "M"}
    for split in (Split.validation, Split.test):
        assert module.fixed_mixtures(split).specs == whole.fixed_mixtures(split).specs


def test_each_seed_draws_other_training_speakers(data: DataConfig) -> None:
    def trained(seed: int, **less: float) -> set[int]:
        rows = MixtureDataModule(replace(data, **less), seed=seed).training_mixtures().draw.speakers.rows
        return {int(row) for each in rows for row in each}

    assert trained(0, train_speakers=4) == trained(0, train_speakers=4)
    assert len({frozenset(trained(seed, train_speakers=4)) for seed in range(8)}) > 1
    assert trained(0, train_speakers=2) < trained(0, train_speakers=4)  # more are these and others
    assert trained(0) == trained(1)


@pytest.mark.parametrize(
    ("less", "message"),
    [
        ({"train_speakers": 99}, r"train_speakers: 99, but the training set has 6 such"),
        ({"train_speakers": 1}, r"num_speakers: 2, but train has 1 speakers; see data\.train_speakers$"),
        ({"train_hours": 1e-8}, r"^data\.train_hours: 1e-08 is not allowed; it must be at least 0\.00167, a second"),
        (
            {"train_speakers": 4, "train_hours": 1.0},
            r"train_speakers: 4 with 900\.0 s of speech each \(data\.train_hours\), but .* 0 such",
        ),
        ({"train_hours": 1.0}, r"train_speakers: 6 with 600\.0 s of speech"),
    ],
)
def test_more_than_the_corpus_has_is_refused(data: DataConfig, less: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MixtureDataModule(replace(data, **less)).check()


def test_a_silent_stretch_is_drawn_again(data: DataConfig) -> None:
    class Pausing(Store):
        def read(self, row: int, start: int, length: int) -> np.ndarray:
            return super().read(row, start, length) * (0 if row == 0 else 1)

    store = Pausing.open(MixtureDataModule(data).corpus.store.folder)
    silent = MixtureSpec((0, 1), (0.0, 0.0), (0, 0), (2000, 2000), (1.0, 1.0), 2000, "FM")
    assert render(store, silent) is None
    spec, _ = audible(store, lambda attempt: silent if attempt < 3 else silent._replace(rows=(2, 1)))
    assert spec.rows == (2, 1)
    with pytest.raises(InputError, match="silent source"):
        audible(store, lambda attempt: silent)


def test_speed_changes_the_pitch(data: DataConfig) -> None:
    class Tone(Store):
        def read(self, row: int, start: int, length: int) -> np.ndarray:
            return (0.1 * np.sin(2 * np.pi * 440 * np.arange(start, start + length) / 8000)).astype(np.float32)

    store = Tone.open(MixtureDataModule(data).corpus.store.folder)
    faster = render(store, MixtureSpec((0, 1), (0.0, 0.0), (0, 0), (4400, 4000), (1.1, 1.0), 4000, "FM"))
    assert faster is not None
    peaks = np.abs(np.fft.rfft(faster * np.hanning(4000), 8000)).argmax(-1)  # one bin is 1 Hz
    assert peaks.tolist() == [484, 440]


@pytest.mark.parametrize(("size", "world_size"), [(10, 1), (10, 3), (16, 4)])
def test_the_processes_share_an_epoch_without_overlap(size: int, world_size: int) -> None:
    shares = [list(EpochSampler(size, rank, world_size)) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    numbers = sorted(index for share in shares for _, index in share)
    assert numbers == list(range(size // world_size * world_size))


def test_the_sampler_goes_on_in_an_interrupted_epoch_only() -> None:
    sampler = EpochSampler(6, epoch=2, skip=4)
    assert [list(sampler), list(sampler)] == [[(2, 4), (2, 5)]] * 2  # Lightning may iterate it more than once
    sampler.set_epoch(0)  # as Lightning does before it has restored the run
    assert list(sampler) == [(2, 4), (2, 5)]
    sampler.set_epoch(3)
    assert list(sampler) == [(3, index) for index in range(6)]


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_the_processes_have_in_each_step_the_mixtures_that_one_would_have(world_size: int) -> None:
    shares = [[index for _, index in EpochSampler(800, rank, world_size)] for rank in range(world_size)]
    for step, dealt in enumerate(zip(*shares, strict=True)):
        assert sorted(dealt) == list(range(step * world_size, (step + 1) * world_size))


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize(("fewest", "most", "balanced"), [(1, 2, False), (1, 3, False), (2, 3, True), (2, 2, True)])
def test_each_process_hears_every_number_of_speakers_and_every_group_as_often(
    data: DataConfig, world_size: int, fewest: int, most: int, balanced: bool
) -> None:
    balance = PairBalance.equal if balanced else PairBalance.random
    mixed = replace(data, num_speakers=most, fewest_speakers=fewest, pair_balance=balance)
    draw = MixtureDataModule(mixed).training_mixtures().draw

    def kind(epoch: int, index: int) -> str | int:
        group = training_mixture(draw, 800, False, 0.0, 0, epoch, index).group
        return group if balanced else len(group)

    kinds = {index: kind(0, index) for index in range(240)}  # they take turns, whatever the epoch
    whole = Counter(kinds.values())
    for rank in range(world_size):
        sampler, heard = EpochSampler(240, rank, world_size), Counter[str | int]()
        for epoch in range(20):
            sampler.set_epoch(epoch)
            heard.update(kinds[index] for _, index in sampler)
        for each, count in whole.items():
            assert heard[each] == pytest.approx(20 * count / world_size, rel=0.25), (rank, each)


def test_too_few_mixtures_for_a_batch_are_refused(data: DataConfig) -> None:
    with pytest.raises(InputError, match=r"data\.train_mixtures: 1 "):
        MixtureDataModule(replace(data, train_mixtures=1)).train_dataloader()
