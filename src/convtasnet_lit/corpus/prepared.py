"""From the settings of the data to a prepared corpus: provide, scan, choose speakers, prepare, split."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from convtasnet_lit.corpus.changed import refuse_changed
from convtasnet_lit.corpus.preparation import Preparation
from convtasnet_lit.corpus.preparing import prepare_store
from convtasnet_lit.corpus.remote import open_remote
from convtasnet_lit.corpus.sources import is_there, provide, scan
from convtasnet_lit.corpus.splits import Splits, alternating, assign_splits, select_speakers
from convtasnet_lit.corpus.store import ABOUT, Store, read_about
from convtasnet_lit.data_config import CorpusName, DataConfig
from convtasnet_lit.errors import InputError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PreparedCorpus:
    """A prepared corpus and who is trained, validated and tested on.

    Args:
        store: The samples and their index.
        splits: The speakers of the three sets.
    """

    store: Store
    splits: Splits

    def rows(self, split: str) -> NDArray[np.int64]:
        """List the rows of the store's index that a set uses.

        Args:
            split: `train`, `validation` or `test`.

        Returns:
            Row numbers, ascending.
        """
        speakers = {"train": self.splits.train, "validation": self.splits.validation, "test": self.splits.test}[split]
        used = self.store.index["speaker"].isin(speakers)
        if split != "test":
            used &= self.store.index["part"] != "test"
        return np.flatnonzero(used)

    def with_fewer(self, count: int, quota: int, purpose: str) -> "PreparedCorpus":
        """Train on some of the training speakers; validation and test stay as they are.

        Args:
            count: How many, women and men alike as far as there are; 0 means all.
            quota: Samples that each must have.
            purpose: Another one draws others.

        Raises:
            InputError: There are not so many that have so much speech.
        """
        index = self.store.index.iloc[self.rows("train")]
        each = index.groupby("speaker").agg(gender=("gender", "first"), samples=("length", "sum"))
        able = each.index[each["samples"] >= quota]
        count = count or len(each)
        if count > len(able):
            asked = f" with {quota / self.store.sample_rate:.1f} s of speech each (data.train_hours)" if quota else ""
            raise InputError(f"data.train_speakers: {count}{asked}, but the training set has {len(able)} such speakers")
        chosen = alternating(each.loc[able, "gender"].to_dict(), purpose)[:count]
        return replace(self, splits=replace(self.splits, train=tuple(sorted(chosen))))


def prepare_corpus(data: DataConfig, may_prepare: bool = True) -> PreparedCorpus:
    """Provide a corpus, and prepare it unless that was done before.

    A store stands alone: `data.root` may be its folder or address, and where `data.root` is not there, the one that was
    made of it is used.

    Args:
        data: Which corpus, where, at what rate, and how to split it.
        may_prepare: Whether a corpus may be made or downloaded, and a store be written.

    Raises:
        InputError: The corpus is not there or damaged, a listed speaker is unknown, or the disk is full.
    """
    store = _named_store(data, may_prepare) or _store_of_missing(data) or _store_of_recordings(data, may_prepare)
    rows = list(store.index[["speaker", "gender", "part"]].itertuples(index=False, name=None))
    return PreparedCorpus(store, _split(data, _selected(data, rows)))


def describe(prepared: PreparedCorpus) -> Group:
    """Show hours, utterances and speakers by set and gender, and what was left out and why.

    Args:
        prepared: The corpus.

    Returns:
        Something for `rich.print`.
    """
    return Group(_table(prepared), *(Text(line, overflow="fold") for line in _left_out_lines(prepared)))


def preparation(data: DataConfig, may_prepare: bool = True) -> Preparation:
    """Provide a corpus, and plan its store.

    Args:
        data: Which corpus, where, and at what rate.
        may_prepare: Whether a corpus may be made or downloaded.

    Raises:
        InputError: The corpus is not there or damaged, or a listed speaker is unknown.
    """
    root, stores = Path(data.root), Path(data.store)
    if may_prepare:
        provide(data)
    if not is_there(root):
        advice = "; data=aishell3 data.download=true fetches the corpus" if data.corpus is CorpusName.aishell3 else ""
        raise InputError(f"data.root: {root} is not there, and {stores} holds no store of it that fits{advice}")
    recordings = scan(data)
    usable = [(each.speaker, each.gender, each.part) for each in recordings if not each.problem]
    selected = _selected(data, usable)
    _split(data, selected)  # a misspelt speaker fails before the work
    made_of = _made_of_all(data)
    if len(selected) < len(usable):
        chosen, made_of = {speaker for speaker, _, _ in selected}, _made_of(data)
        recordings = [recording for recording in recordings if recording.speaker in chosen]
    return Preparation(recordings, root, stores, data.corpus.name, data.sample_rate, made_of)


def _named_store(data: DataConfig, may_prepare: bool) -> Store | None:
    root = data.root if data.is_remote else Path(data.root)
    if isinstance(root, str):
        if not may_prepare:  # a file names it, and anybody may have written that
            raise InputError(f"data.root: {root} lies elsewhere; name data.root and data.store to have it read")
        store = open_remote(root, Path(data.store), round(data.cache_gb * 1e9))
    elif (root / ABOUT).is_file():
        store = Store.open(root)
    else:
        return None
    roots = sorted(each.prefix for each in data.roots)
    about = {**store.about, "roots": [prefix for prefix, *_ in store.about.get("made_of", {}).get("roots", [])]}
    for key, asked in (("sample_rate", data.sample_rate), ("corpus", data.corpus.name), ("roots", roots)):
        if (held := about.get(key, asked)) != asked:
            raise InputError(f"data.{key}: {asked}, but data.root is the store {root}, which is of {held}")
    return store


def _store_of_missing(data: DataConfig) -> Store | None:
    root = Path(data.root)
    needed = is_there(root) or data.corpus is CorpusName.librimix  # whose lists are nowhere else
    fitting = [] if needed else _made_like(data, _made_of(data)) or _made_like(data, _made_of_all(data))
    if not fitting:
        return None
    if len(fitting) > 1:
        names = " and ".join(map(str, fitting))
        raise InputError(f"data.root: {root} is not there, and {names} both fit; give one of them as data.root")
    store = Store.open(fitting[0])
    text = f"{root} is not there: using {store.folder}, made of {store.about['root']}"
    Console(stderr=True).print(text, soft_wrap=True, markup=False, highlight=False)
    return store


def _made_like(data: DataConfig, made_of: dict[str, Any]) -> list[Path]:
    """List the stores that were made so of this `data.root`, else of any, where the corpus's name says which it is."""
    name = f"{data.corpus.name}-{data.sample_rate}hz-{'[0-9a-f]' * 12}"
    known = {folder: read_about(folder) for folder in sorted(Path(data.store).glob(name))}
    fitting = {folder: about["root"] for folder, about in known.items() if about.get("made_of") == made_of}
    here = [folder for folder, root in fitting.items() if root == str(Path(data.root).absolute())]
    return here or ([] if data.corpus in (CorpusName.folder, CorpusName.mixed) else [*fitting])


def _store_of_recordings(data: DataConfig, may_prepare: bool) -> Store:
    plan = preparation(data, may_prepare)
    if not may_prepare and not plan.folder.exists():
        raise InputError(f"data.root: {plan.root} is not prepared in {plan.stores}; name both to have that done")
    store = prepare_store(plan)
    refuse_changed(store, plan.recordings, plan.root)
    return store


def _made_of(data: DataConfig) -> dict[str, Any]:
    """Tell all that decides which recordings of a corpus are in its store, and whose they are."""
    kept = sorted({*data.test_speakers, *data.validation_speakers}) if data.max_speakers else []
    depth = data.speaker_depth if data.corpus is CorpusName.folder else 1
    roots = sorted([each.prefix, each.corpus.name, each.speaker_depth] for each in data.roots)
    made_of = {"speaker_depth": depth, "max_speakers": data.max_speakers, "kept": kept}
    return {**made_of, "roots": roots} if roots else made_of


def _made_of_all(data: DataConfig) -> dict[str, Any]:
    return _made_of(replace(data, max_speakers=0))


def _selected(data: DataConfig, rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    keep = [*data.test_speakers, *data.validation_speakers]
    chosen = select_speakers(rows, data.max_speakers, keep)
    return [row for row in rows if row[0] in chosen]


def _split(data: DataConfig, rows: Iterable[tuple[str, str, str]]) -> Splits:
    if data.corpus is CorpusName.librimix:  # others are validated and tested on, in lists of their own
        return Splits(tuple(sorted({speaker for speaker, _, _ in rows})), (), ())
    return assign_splits(
        rows,
        validation_fraction=data.validation_fraction,
        validation_speakers=data.validation_speakers,
        test_fraction=data.test_fraction,
        test_speakers=data.test_speakers,
    )


def _table(prepared: PreparedCorpus) -> Table:
    store = prepared.store
    table = Table("set", "gender", title=f"{store.folder.name}, {store.sample_rate} Hz", title_justify="left")
    for name in ("speakers", "utterances", "hours"):
        table.add_column(name, justify="right")
    for split in SPLITS:
        utterances = store.index.iloc[prepared.rows(split)]
        groups = [(gender, utterances[utterances["gender"] == gender]) for gender in sorted(set(utterances["gender"]))]
        for gender, group in [*groups, ("all", utterances)]:
            hours = group["length"].sum() / store.sample_rate / 3600
            table.add_row(split, gender, f"{group['speaker'].nunique()}", f"{len(group):,}", f"{hours:.2f}")
        table.add_section()
    return table


def _left_out_lines(prepared: PreparedCorpus, most: int = 10) -> list[str]:
    lines = []
    if prepared.splits.dropped:
        reason = "their speaker is in train/, or not among data.test_speakers"
        lines.append(f"{prepared.splits.dropped} utterances of test/ are left out of every set: {reason}.")
    left_out = prepared.store.left_out
    if len(left_out):
        lines.append(f"{len(left_out)} recordings could not be used (all: {prepared.store.folder / 'left_out.csv'}):")
        lines += [f"  {row.path}: {row.reason}" for row in left_out.head(most).itertuples()]
    return lines
