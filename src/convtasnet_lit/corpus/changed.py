"""Whether a corpus is still what its store was made of, though its files look newer."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from rich.console import Console

from convtasnet_lit.corpus.recording import Recording, changed_at, place, read_in_order
from convtasnet_lit.corpus.store import ABOUT, Store
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole

_ROUNDING = 2  # of 32,768: what another version of the resampler may change
_SAMPLED = 8  # recordings read each time: a filtered copy of a corpus has its names and sizes, and may look older


def refuse_changed(store: Store, recordings: Sequence[Recording], root: Path) -> None:
    """Read the recordings that are newer than a store again, once, and refuse other samples than the store's.

    A copied corpus has new files with the old content; a file that was changed in place may keep its size. A few of the
    others are read each time.

    Args:
        store: What was made of them.
        recordings: The recordings as they are now.
        root: The folder they lie in.

    Raises:
        InputError: One of them is not what it was.
    """
    times = [changed_at(recording) for recording in recordings]
    newer = [recording for recording, time in zip(recordings, times, strict=True) if time > store.about["newest"]]
    few = [recording for recording in recordings[:: -(-len(recordings) // _SAMPLED)] if not recording.problem]
    if newer:
        text = f"comparing {len(newer)} newer recordings with {store.folder}"
        Console(stderr=True).print(text, soft_wrap=True, markup=False, highlight=False)
    read = [*few, *newer]
    rows = {utterance: row for row, utterance in enumerate(store.index["utterance"])}
    for recording, reading in zip(read, read_in_order(read, store.sample_rate), strict=True):
        if not _is_same(store, rows.get(recording.utterance), reading.samples):
            what = f"{place(recording, root)} in {root} is not what {store.folder} was made of"
            raise InputError(f"data.root: {what}; delete that folder, or give another data.store")
    if not newer:
        return
    with suppress(OSError), written_whole(store.folder / ABOUT) as partial:  # a store for reading only is read again
        partial.write_text(json.dumps({**store.about, "newest": max(times)}, indent=1) + "\n", encoding="utf-8")


def _is_same(store: Store, row: int | None, samples: np.ndarray) -> bool:
    if row is None:  # it was left out
        return len(samples) == 0
    if len(samples) != store.lengths[row]:
        return False
    return bool(np.abs(samples.astype(np.int32) - store.samples(row, 0, len(samples))).max() <= _ROUNDING)
