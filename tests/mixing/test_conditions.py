"""Mixtures like recordings: what each condition does to them, and that nothing but their key decides it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import correlate
from torch import Tensor

from convtasnet_lit.config import Split
from convtasnet_lit.data_config import AugmentConfig, Condition, DataConfig, PairBalance, Target
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.dataset import EpochSampler, Mixture, audible, render
from convtasnet_lit.mixing.plan import FIXED_SEED, MOST_ATTEMPTS, training_mixture
from convtasnet_lit.mixing.transforms import change_first_level, normalize, silence_beyond

SEVERAL = [condition for condition in Condition if condition is not Condition.lone]
ALL = {f"{condition.name}_probability": 1.0 for condition in SEVERAL}
OFTEN = dict.fromkeys([*ALL, "lone_probability"], 0.5)


def training(data: DataConfig, seed: int = 0, count: int = 8, **chances: float) -> list[Mixture]:
    mixtures = MixtureDataModule(data, AugmentConfig(**chances), seed).training_mixtures()  # type: ignore[arg-type]
    return [mixtures[1, i] for i in range(count)]


def fixed(data: DataConfig, *conditions: Condition, seed: int = 0) -> list[Mixture]:
    mixtures = MixtureDataModule(data, seed=seed, conditions=conditions).fixed_mixtures(Split.test)
    return [mixtures[i] for i in range(len(mixtures))]


def equal(one: Sequence[Mixture], other: Sequence[Mixture]) -> bool:
    return all(torch.equal(a.parts, b.parts) for a, b in zip(one, other, strict=True))


def decibels(signal: Tensor) -> Tensor:
    return 10 * signal.square().sum(-1).log10()


def rest(item: Mixture) -> Tensor:
    return item.parts[-1]


@pytest.mark.parametrize("normalized", [True, False])
def test_with_all_switched_off_mixtures_are_sums_of_their_sources_to_the_last_bit(
    data: DataConfig, normalized: bool
) -> None:
    module = MixtureDataModule(replace(data, num_speakers=3, normalize=normalized, validation_fraction=0.4), seed=5)
    mixtures = module.training_mixtures()
    for index in range(8):
        plan = lambda attempt, i=index: training_mixture(mixtures.draw, 4000, True, 0.0, 5, 1, i, attempt)  # noqa: E731
        sources = torch.from_numpy(audible(mixtures.store, plan)[1])
        rng = np.random.default_rng((5, 1, index, MOST_ATTEMPTS))
        if rng.random() < 0.5:
            sources = change_first_level(sources, rng.uniform(-3, 3))
        expected = normalize(sources) if normalized else sources
        item = mixtures[1, index]
        assert torch.equal(item.sources, expected)
        assert torch.equal(item.mixture, expected.sum(0))
        assert not rest(item).any()
    clean = module.fixed_mixtures(Split.test)
    for index, spec in enumerate(clean.specs):
        rendered = render(clean.store, spec)
        assert rendered is not None
        expected = normalize(torch.from_numpy(rendered)) if normalized else torch.from_numpy(rendered)
        assert torch.equal(clean[index].sources, expected)
        assert torch.equal(clean[index].mixture, expected.sum(0))


@pytest.mark.parametrize("target", list(Target))
def test_neither_workers_nor_processes_nor_resumes_change_a_mixture(data: DataConfig, target: Target) -> None:
    data = replace(data, num_speakers=3, fewest_speakers=1, validation_fraction=0.4, target=target)

    def epoch(workers: int) -> list[Mixture]:
        module = MixtureDataModule(replace(data, num_workers=workers), AugmentConfig(**OFTEN))  # type: ignore[arg-type]
        loader = module.train_dataloader()
        loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
        return list(loader)

    whole = epoch(0)
    assert equal(whole, epoch(2))
    alone = MixtureDataModule(data, AugmentConfig(**OFTEN)).training_mixtures()  # type: ignore[arg-type]
    for rank in range(2):
        for epoch_number, index in EpochSampler(16, rank, 2, epoch=3, skip=2):  # a later part, in another order
            assert torch.equal(alone[epoch_number, index].parts, whole[index // 2].parts[index % 2])


def test_each_condition_is_met_as_often_as_it_is_asked_for(data: DataConfig) -> None:
    clean = training(data, count=120)
    for condition in Condition:
        met = training(data, count=120, **{f"{condition.name}_probability": 0.3})
        changed = [not torch.equal(a.parts, b.parts) for a, b in zip(clean, met, strict=True)]
        assert 0.15 < np.mean(changed) < 0.45, condition


def test_one_condition_more_draws_nothing_else_anew(data: DataConfig) -> None:
    data = replace(data, normalize=False)
    clean, noisy = training(data, count=20), training(data, count=20, noise_probability=0.5)
    for other in ("overlap", "room"):
        alone = training(data, count=20, **{f"{other}_probability": 0.5})
        both = training(data, count=20, noise_probability=0.5, **{f"{other}_probability": 0.5})
        for before, noise, single, double in zip(clean, noisy, alone, both, strict=True):
            assert torch.equal(single.sources, double.sources)
            assert torch.equal(noise.sources, before.sources)
            assert bool(rest(noise).any()) == bool(rest(double).any())
            if rest(noise).any():  # the same noise, at the same ratio to other speech
                correlation = torch.nn.functional.cosine_similarity(rest(noise), rest(double), dim=0)
                assert correlation.item() == pytest.approx(1, abs=1e-4)


def test_speech_lies_5_to_25_db_over_the_noise(data: DataConfig) -> None:
    items = training(data, count=80, noise_probability=1)
    ratios = torch.stack([decibels(item.sources.sum(0)) - decibels(rest(item)) for item in items])
    assert 5 - 0.01 <= ratios.min() < 8
    assert 22 < ratios.max() <= 25 + 0.01
    assert ratios.mean().item() == pytest.approx(15, abs=2)


def test_of_noise_and_speech_together_the_mixture_has_minus_25_dbfs(data: DataConfig) -> None:
    for item in training(data, **ALL):
        torch.testing.assert_close(item.mixture.square().mean().sqrt(), torch.tensor(0.056234), atol=1e-4, rtol=0)
        assert item.parts.dtype == torch.float32


def test_overlap_is_20_to_100_percent_and_nobody_is_silent(data: DataConfig) -> None:
    shares, ends = [], []
    before = training(data, count=120)
    for item, whole in zip(training(data, count=120, overlap_probability=1), before, strict=True):
        silent = item.sources == 0
        assert not silent.all(-1).any()
        gone = (silent & (whole.sources != 0)).float().mean(-1)
        assert (gone > 0).sum() <= 1
        shares.append(1 - gone.max().item())
        ends.append(bool(silent[gone.argmax(), 0]))
    assert 0.2 - 0.01 <= min(shares) < 0.3
    assert np.mean(shares) == pytest.approx(0.6, abs=0.1)
    assert 0.3 < np.mean(ends) < 0.7


def test_a_speaker_comes_in_at_either_end_without_a_click() -> None:
    tone = np.sin(0.3 * np.arange(8000))
    for first in (True, False):
        heard = silence_beyond(tone, 0.25, first, 8000)
        sounding = np.flatnonzero(heard)
        assert sounding[0] >= (0 if first else 6000) and sounding[-1] < (2000 if first else 8000)
        assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(tone)).max() + 1 / 80
        assert np.square(heard).sum() == pytest.approx(np.square(tone).sum() / 4, rel=0.05)


def test_a_speaker_is_not_left_with_a_pause() -> None:
    late, middle = np.zeros(800), np.zeros(800)
    late[500:], middle[300:500] = 1, 1
    np.testing.assert_array_equal(silence_beyond(late, 0.3, True, 8000), silence_beyond(late, 0.3, False, 8000))
    assert silence_beyond(late, 0.3, True, 8000).any()
    np.testing.assert_array_equal(silence_beyond(middle, 0.3, True, 8000), middle)


def test_the_target_is_the_reverberant_or_the_dry_speech_of_the_same_mixture(data: DataConfig) -> None:
    data = replace(data, normalize=False)
    wet, dry = (
        training(replace(data, target=target), count=12, room_probability=1)
        for target in (Target.reverberant, Target.dry)
    )
    for reverberant, direct, clean in zip(wet, dry, training(data, count=12), strict=True):
        torch.testing.assert_close(direct.mixture, reverberant.mixture, atol=1e-6, rtol=0)
        assert not rest(reverberant).any()
        lost = decibels(clean.sources) - decibels(reverberant.sources)  # what rings after the end
        assert lost.min() > -1e-3 and lost.max() < 1
        for one, before in zip(direct.sources, clean.sources, strict=True):
            likeness = correlate(one, before, "full", "fft") / (one.norm() * before.norm()).item()
            assert likeness.max() > 0.93  # the same, later
            assert 8 < likeness.argmax() - 3999 < 75  # 0.5 to 3 m


@pytest.mark.parametrize("target", list(Target))
def test_absent_speakers_stay_silent_to_the_last_bit(data: DataConfig, target: Target) -> None:
    data = replace(data, num_speakers=3, fewest_speakers=1, validation_fraction=0.4, target=target)
    for number, item in enumerate([*training(data, count=6, **ALL), *fixed(data, *SEVERAL)]):
        assert (item.sources.abs().amax(-1) > 0).tolist() == [i < 1 + number % 6 % 3 for i in range(3)]
        assert rest(item).any()


def test_a_lone_speaker_is_the_first_one_as_before_and_the_others_are_exact_zeros(data: DataConfig) -> None:
    data = replace(data, num_speakers=3, validation_fraction=0.4, normalize=False)
    before, after = training(data, count=60), training(data, count=60, lone_probability=0.4)
    alone = [not item.sources[1:].any() for item in after]
    assert 0.2 < np.mean(alone) < 0.6
    for lone, whole, item in zip(alone, before, after, strict=True):
        expected = torch.cat((whole.parts[:1], torch.zeros_like(whole.parts[1:]))) if lone else whole.parts
        assert torch.equal(item.parts, expected)


def test_who_is_alone_is_drawn_apart_from_every_other_condition(data: DataConfig) -> None:
    data = replace(data, normalize=False)
    lone, both = training(data, count=40, lone_probability=0.5), training(data, count=40, lone_probability=0.5, **ALL)
    noisy = training(data, count=40, **ALL)
    alone = [not item.sources[1].any() for item in lone]
    assert 0 < sum(alone) < 40
    for is_alone, whole, item in zip(alone, noisy, both, strict=True):
        assert bool(item.sources[1].any()) != is_alone
        assert is_alone or torch.equal(item.parts, whole.parts)


def test_a_lone_speaker_meets_no_overlap_and_babble_without_himself(data: DataConfig) -> None:
    alone = training(data, count=12, lone_probability=1)
    assert equal(alone, training(data, count=12, lone_probability=1, overlap_probability=1))
    module = MixtureDataModule(data, AugmentConfig(lone_probability=1, noise_probability=1))
    mixtures, speaking = module.training_mixtures(), []
    noises = mixtures.conditions.noises
    assert noises is not None
    draw = lambda rng, samples, rows: speaking.append(rows) or np.ones(samples, np.float32)  # noqa: E731
    object.__setattr__(noises, "draw", draw)
    for index in range(6):
        _ = mixtures[1, index]
    assert [len(rows) for rows in speaking] == [1] * 6


def test_a_list_of_lone_speakers_names_them_alone(data: DataConfig) -> None:
    data = replace(data, pair_balance=PairBalance.equal)
    whole, lone = (MixtureDataModule(data, conditions=met) for met in ((), [Condition.lone]))
    mixtures = lone.fixed_mixtures(Split.test)
    table = pd.read_csv(lone.write_list(mixtures, Split.test))
    before = pd.read_csv(whole.write_list(whole.fixed_mixtures(Split.test), Split.test))
    assert table["speaker_1"].tolist() == before["speaker_1"].tolist()
    assert table["samples"].tolist() == before["samples"].tolist()
    assert "speaker_2" not in table
    genders = lone.corpus.store.index.set_index("speaker")["gender"].groupby(level=0).first()
    assert table["group"].tolist() == [genders[name][0].upper() for name in table["speaker_1"]]
    assert all(mixtures[i].sources.any(-1).tolist() == [True, False] for i in range(len(mixtures)))


def test_the_fixed_lists_have_versions_under_every_condition(data: DataConfig) -> None:
    clean = fixed(data)
    assert equal(fixed(data, Condition.room, Condition.noise), fixed(data, Condition.room, Condition.noise, seed=7))
    for condition in Condition:
        changed = fixed(data, condition)
        for before, after in zip(clean, changed, strict=True):
            assert before.parts.shape == after.parts.shape
            assert not torch.equal(before.mixture, after.mixture), condition
    for before, after in zip(clean, fixed(data, Condition.noise), strict=True):
        torch.testing.assert_close(after.sources / after.sources.norm(), before.sources / before.sources.norm())
        assert 5 - 0.01 <= (decibels(after.sources.sum(0)) - decibels(rest(after))).item() <= 25.01


def test_training_leaves_the_fixed_lists_clean(data: DataConfig) -> None:
    module = MixtureDataModule(data, AugmentConfig(**ALL))  # type: ignore[arg-type]
    for item, before in zip(module.test_dataloader(), fixed(data), strict=True):
        assert torch.equal(item.parts[0], before.parts)


def test_the_name_of_a_list_tells_its_conditions_apart(data: DataConfig) -> None:
    names = {}
    for conditions in ((), (Condition.noise,), (Condition.room,), (Condition.room, Condition.noise)):
        for target in Target:
            module = MixtureDataModule(replace(data, target=target), conditions=conditions)
            names[conditions, target] = module.write_list(module.fixed_mixtures(Split.test), Split.test).name
    assert len(set(names.values())) == 6  # the target makes a difference in rooms alone
    fewer = MixtureDataModule(replace(data, train_speakers=4), seed=3, conditions=(Condition.noise,))
    assert fewer.write_list(fewer.fixed_mixtures(Split.test), Split.test).name == names[(Condition.noise,), Target.dry]


def test_the_rooms_and_noises_of_the_lists_are_others_than_those_of_training(data: DataConfig) -> None:
    module = MixtureDataModule(data, AugmentConfig(**ALL), conditions=list(Condition))  # type: ignore[arg-type]
    lists = [module.fixed_mixtures(split) for split in (Split.validation, Split.test)]
    assert [each.conditions.bank for each in (module.training_mixtures(), *lists)] == [0, 1, 2]
    assert FIXED_SEED  # their key, where training has the run's seed
    for each in lists:  # babble is of training speakers in the lists, too
        assert each.conditions.noises is not None
        rows = {int(row) for rows in each.conditions.noises.talkers.rows for row in rows}
        assert rows == set(module.corpus.rows("train").tolist())
