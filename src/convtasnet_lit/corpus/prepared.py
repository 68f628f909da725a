"""From the settings of the data to a prepared corpus: provide, scan, choose speakers, prepare, split."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

from convtasnet_lit.config import CorpusName, DataConfig
from convtasnet_lit.corpus import aishell3, folder
from convtasnet_lit.corpus.download import download_aishell3
from convtasnet_lit.corpus.recording import Recording
from convtasnet_lit.corpus.splits import Splits, assign_splits, select_speakers
from convtasnet_lit.corpus.store import Store, prepare_store

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


def prepare_corpus(data: DataConfig, may_prepare: bool = True) -> PreparedCorpus:
    """Provide a corpus, and prepare it unless that was done before.

    Args:
        data: Which corpus, where, at what rate, and how to split it.
        may_prepare: Make, download or prepare the corpus where that was not done before; else refuse.

    Raises:
        InputError: The corpus is not there or damaged, a listed speaker is unknown, or the disk is full.
    """
    root = Path(data.root)
    if may_prepare:
        _provide(data.corpus, root, data.download)
    recordings = _scan(data, root)
    chosen = select_speakers(recordings, data.max_speakers, keep=[*data.test_speakers, *data.validation_speakers])
    usable = [recording for recording in chosen if not recording.problem]
    _split(
        data, ((each.speaker, each.gender, each.part) for each in usable)
    )  # a misspelt speaker fails before the work
    store = prepare_store(chosen, root, Path(data.store), data.corpus.name, data.sample_rate, may_prepare)
    rows = store.index[["speaker", "gender", "part"]].itertuples(index=False, name=None)
    return PreparedCorpus(store, _split(data, rows))


def describe(prepared: PreparedCorpus) -> Group:
    """Show hours, utterances and speakers by set and gender, and what was left out and why.

    Args:
        prepared: The corpus.

    Returns:
        Something for `rich.print`.
    """
    return Group(_table(prepared), *(Text(line, overflow="fold") for line in _left_out_lines(prepared)))


def _provide(corpus: CorpusName, root: Path, download: bool) -> None:
    # Imported where they are used: they need extras that other corpora do not.
    if corpus is CorpusName.demo:
        from convtasnet_lit.corpus.demo import build_demo

        build_demo(root)
    elif corpus is CorpusName.voices:
        from convtasnet_lit.corpus.voices import build_voices

        build_voices(root)
    elif corpus is CorpusName.aishell3 and download and not (root.is_dir() and any(root.iterdir())):
        download_aishell3(root)


def _scan(data: DataConfig, root: Path) -> list[Recording]:
    if data.corpus is CorpusName.folder:
        return folder.scan(root, data.speaker_depth)
    return aishell3.scan(root)


def _split(data: DataConfig, rows: Iterable[tuple[str, str, str]]) -> Splits:
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
