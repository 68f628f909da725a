"""A store that lies elsewhere, behind a cache that is smaller than the corpus."""

import pickle
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch

from convtasnet_lit.corpus import remote
from convtasnet_lit.corpus.prepared import prepare_corpus
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.corpus.verifying import refuse_damaged
from convtasnet_lit.data_config import DataConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule

MOST = 40_000  # bytes of the cache
URL = "memory://bucket/corpus"


@pytest.fixture
def local(data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataConfig:
    """The small corpus in several shards."""
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", 60_000)
    monkeypatch.setattr(remote, "BLOCK", 4_000)
    return replace(data, store=str(tmp_path / "local"))


@pytest.fixture
def away(local: DataConfig, tmp_path: Path) -> Iterator[DataConfig]:
    """The same corpus in the memory of a fake object store."""
    store = prepare_corpus(local).store
    assert store.shards > 3
    assert 2 * sum(store.lengths) > 5 * MOST
    system = fsspec.filesystem("memory")
    system.put(str(store.folder), "/bucket/corpus", recursive=True)
    yield replace(local, root=URL, store=str(tmp_path / "cache"), cache_gb=MOST / 1e9)
    system.rm("/bucket", recursive=True)


def cached(data: DataConfig) -> int:
    size = 0
    for path in Path(data.store).glob("remote/*/blocks/*"):
        with suppress(FileNotFoundError):  # a worker has just made room
            size += path.stat().st_size
    return size


@pytest.mark.parametrize("workers", [0, 2])
def test_mixtures_are_the_same_and_the_cache_stays_bounded(local: DataConfig, away: DataConfig, workers: int) -> None:
    expected = [batch.parts for batch in MixtureDataModule(local).train_dataloader()]
    loader = MixtureDataModule(replace(away, num_workers=workers)).train_dataloader()
    for batch, parts in zip(loader, expected, strict=True):
        assert torch.equal(batch.parts, parts)
        assert cached(away) <= MOST
    assert cached(away) > MOST / 2


def test_the_fixed_lists_are_the_same(local: DataConfig, away: DataConfig) -> None:
    here, there = MixtureDataModule(local), MixtureDataModule(away)
    assert [path.name for path in here.check()] == [path.name for path in there.check()]
    for one, other in zip(here.test_dataloader(), there.test_dataloader(), strict=True):
        assert torch.equal(one.parts, other.parts)
    refuse_damaged(there.corpus.store)
    assert 0 < cached(away) <= MOST


def test_what_was_read_is_not_fetched_again(away: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepare_corpus(away).store
    heard = store.samples(0, 0, store.lengths[0]).copy()
    monkeypatch.setattr(remote, "_read", None)
    assert (pickle.loads(pickle.dumps(store)).samples(0, 0, store.lengths[0]) == heard).all()


def test_blocks_of_another_size_are_not_taken_for_others(away: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = replace(away, cache_gb=1.0)
    refuse_damaged(prepare_corpus(roomy).store)
    for block in (3_000, 6_000):
        monkeypatch.setattr(remote, "BLOCK", block)
        refuse_damaged(prepare_corpus(roomy).store)


def test_a_cache_that_lost_its_sum_or_shrank_is_counted_anew(away: DataConfig) -> None:
    store = prepare_corpus(away).store
    refuse_damaged(store)
    (total,) = Path(away.store).glob("remote/*/blocks.sum")
    total.write_text("")
    refuse_damaged(store)
    assert cached(away) <= MOST
    refuse_damaged(prepare_corpus(replace(away, cache_gb=MOST / 2e9)).store)
    assert cached(away) <= MOST / 2


def test_another_store_in_its_place_is_read_anew(local: DataConfig, away: DataConfig) -> None:
    before = prepare_corpus(away).store
    system = fsspec.filesystem("memory")
    system.rm("/bucket/corpus", recursive=True)
    store = prepare_corpus(replace(local, max_speakers=9)).store
    system.put(str(store.folder), "/bucket/corpus", recursive=True)
    after = prepare_corpus(replace(away, max_speakers=9)).store
    assert after.folder != before.folder
    refuse_damaged(after)


def test_a_folder_on_a_network_disk_is_read_through_the_cache_too(local: DataConfig, tmp_path: Path) -> None:
    folder = prepare_corpus(local).store.folder
    away = replace(local, root=f"file://{folder}", store=str(tmp_path / "cache"), cache_gb=MOST / 1e9)
    refuse_damaged(prepare_corpus(away).store)
    assert 0 < cached(away) <= MOST


def test_what_cannot_be_read_is_one_line(away: DataConfig, tmp_path: Path) -> None:
    for root, said in (
        ("memory://nowhere/x", "memory://nowhere/x/store.json cannot be read: FileNotFoundError"),
        ("nothing://x", "nothing://x/store.json cannot be read: ValueError: Protocol not known"),
    ):
        with pytest.raises(InputError, match=rf"^data\.root: {said}") as refusal:
            prepare_corpus(replace(away, root=root))
        assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match=r"lies elsewhere; name data\.root and data\.store"):
        prepare_corpus(away, may_prepare=False)
    store = prepare_corpus(away).store
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/corpus/shard-00000.s16", b"1234")
    row = int((store.index["shard"] == 0).argmax())
    with pytest.raises(InputError, match=r"shard-00000\.s16 is cut: it has 4 bytes"):
        store.read(row, 0, store.lengths[row])
    system.pipe("/bucket/corpus/store.json", b'{"format": 1}')
    with pytest.raises(InputError, match="is no store of format 2; prepare it anew"):
        prepare_corpus(away)


def test_a_store_with_a_shard_missing_is_refused(local: DataConfig, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(prepare_corpus(local).store.folder, tmp_path / "copy"))
    (copy / "shard-00002.s16").unlink()
    with pytest.raises(InputError, match=r"copy is not a complete store; .*\(shard-00002\.s16 is not there\)"):
        Store.open(copy)
