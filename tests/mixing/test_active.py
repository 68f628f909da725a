"""The shards of an epoch."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convtasnet_lit.data_config import AugmentConfig, DataConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.active import active_shards, within
from convtasnet_lit.mixing.datamodule import MixtureDataModule


@pytest.fixture
def sharded(data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """The small corpus in four shards or more."""
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", 60_000)
    return replace(data, store=str(tmp_path / "store"))


def test_active_shards_are_a_function_of_seed_and_epoch() -> None:
    drawn = [active_shards(12, 3, 7, epoch).tolist() for epoch in range(8)]
    assert drawn == [active_shards(12, 3, 7, epoch).tolist() for epoch in range(8)]
    assert drawn != [active_shards(12, 3, 8, epoch).tolist() for epoch in range(8)]
    for turn in (drawn[:4], drawn[4:]):
        assert sorted(shard for epoch in turn for shard in epoch) == list(range(12))
    assert drawn[:4] != drawn[4:]
    uneven = Counter(shard for epoch in range(100) for shard in active_shards(7, 2, 0, epoch).tolist())
    assert max(uneven.values()) - min(uneven.values()) <= 10


def test_an_epoch_is_drawn_from_its_active_shards_alone(sharded: DataConfig) -> None:
    few = replace(sharded, active_shards=2)
    module = MixtureDataModule(few, AugmentConfig(noise_probability=1.0))
    mixtures, store = module.training_mixtures(), module.corpus.store
    heard: set[int] = set()
    read = store.samples
    store.samples = lambda row, *piece: (heard.add(store.index["shard"][row]), read(row, *piece))[1]  # type: ignore[method-assign,func-returns-value]
    for epoch in range(3):
        heard.clear()
        for index in range(20):
            mixtures[epoch, index]
        assert heard == set(active_shards(store.shards, 2, mixtures.seed, epoch).tolist())


def test_neither_workers_nor_order_change_a_mixture(sharded: DataConfig) -> None:
    few = replace(sharded, active_shards=2)

    def epoch(workers: int) -> list[torch.Tensor]:
        loader = MixtureDataModule(replace(few, num_workers=workers)).train_dataloader()
        loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
        return [batch.mixture for batch in loader]

    assert all(map(torch.equal, epoch(0), epoch(2)))
    mixtures = MixtureDataModule(few).training_mixtures()
    first = mixtures[0, 5].parts
    mixtures[1, 0]
    assert torch.equal(mixtures[0, 5].parts, first)


def test_as_many_as_there_are_is_drawing_from_all(sharded: DataConfig) -> None:
    freely = MixtureDataModule(sharded).training_mixtures()
    every = MixtureDataModule(replace(sharded, active_shards=freely.store.shards)).training_mixtures()
    assert torch.equal(freely[4, 2].parts, every[4, 2].parts)


def test_shards_of_too_few_speakers_are_refused(sharded: DataConfig) -> None:
    module = MixtureDataModule(sharded)
    draw, index = module.training_mixtures().draw, module.corpus.store.index
    one = index.assign(shard=np.where(index["speaker"] == index["speaker"][draw.speakers.rows[0][0]], 0, 1))
    with pytest.raises(InputError, match=r"^data\.active_shards: 1 of the shards hold .* of 1 speakers"):
        within(draw, one, np.array([0]))
