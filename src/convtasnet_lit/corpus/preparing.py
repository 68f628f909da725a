"""Recordings -> a store: read once, left out where they cannot be used, gone on with after whatever stopped it."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from filelock import FileLock
from rich.console import Console
from rich.filesize import decimal
from rich.progress import MofNCompleteColumn, Progress

from convtasnet_lit.corpus.recording import Recording, changed_at, fingerprint, place, read_in_order
from convtasnet_lit.corpus.store import ABOUT, FORMAT_VERSION, INDEX, LEFT_OUT, SAMPLES, Store, read_about
from convtasnet_lit.errors import InputError

MOST_LEFT_OUT = 0.01  # of all recordings; more says that the corpus is not what it is taken for

_JOURNAL = "journal.jsonl"


def prepare_store(
    recordings: Sequence[Recording],
    root: Path,
    stores: Path,
    name: str,
    sample_rate: int,
    made_of: Mapping[str, Any] | None = None,
) -> Store:
    """Write recordings into a store, or open the one made of them before.

    Whatever stops it, the same call goes on where it was. Its folder is named by a hash of what it is made of.

    Args:
        recordings: What to read.
        root: The folder they lie in.
        stores: The folder of the prepared corpora.
        name: First part of the store's name.
        sample_rate: The store's sample rate in Hz.
        made_of: What else its `store.json` shall say of its origin.

    Raises:
        InputError: The disk is full or cannot be written, or more than 1 % of the recordings cannot be used.
    """
    folder = store_folder(recordings, root, stores, name, sample_rate)
    if not folder.exists():
        newest = max(map(changed_at, recordings))
        origin = {"corpus": name, "root": str(root.absolute()), "newest": newest, "made_of": dict(made_of or {})}
        try:
            stores.mkdir(parents=True, exist_ok=True)
            with FileLock(stores / ".lock"):  # each uses every core, so one at a time
                if not folder.exists():
                    _write(recordings, root, folder, sample_rate, origin)
        except OSError as error:
            raise InputError(f"data.store: {stores} cannot be written: {error.strerror or error}") from error
    return Store.open(folder)


def store_folder(recordings: Sequence[Recording], root: Path, stores: Path, name: str, sample_rate: int) -> Path:
    """Name the store of some recordings, which may not be there; the arguments are those of `prepare_store`."""
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, sample_rate]).encode())
    for recording in recordings:
        digest.update(fingerprint(recording, root).encode())
    return stores / f"{name}-{sample_rate}hz-{digest.hexdigest()[:12]}"


class _Entry(NamedTuple):
    """What came of one recording, a line of the journal; `reason` says why there are no samples."""

    length: int
    rms: float
    sha256: str
    reason: str


def _write(
    recordings: Sequence[Recording], root: Path, folder: Path, sample_rate: int, origin: Mapping[str, Any]
) -> None:
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(exist_ok=True)
    origin = read_about(partial) or origin  # of the first attempt: what was changed since is newer
    _write_synced(partial / ABOUT, json.dumps(origin))
    entries = _resume(partial)
    try:
        _append(recordings, partial, entries, sample_rate)
        left_out = _write_tables(recordings, root, partial, entries, {**origin, "sample_rate": sample_rate})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(_disk_full(len(recordings), folder.parent, entries)) from error
        raise
    _refuse_many_left_out(left_out, len(recordings), partial, folder)
    partial.rename(folder)
    (folder / _JOURNAL).unlink()


def _resume(partial: Path) -> list[_Entry]:
    # The samples are compared with their hashes: after a power cut the journal may be ahead of them.
    entries: list[_Entry] = []
    journal_end = samples_end = 0
    (partial / _JOURNAL).touch()
    (partial / SAMPLES).touch()
    with (partial / _JOURNAL).open("r+b") as journal, (partial / SAMPLES).open("r+b") as samples:
        for line in journal:
            try:
                entry = _Entry(*json.loads(line))
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n") or _digest(samples.read(2 * entry.length)) != entry.sha256:
                break
            entries.append(entry)
            journal_end += len(line)
            samples_end += 2 * entry.length
        journal.truncate(journal_end)
        samples.truncate(samples_end)
    return entries


def _append(recordings: Sequence[Recording], partial: Path, entries: list[_Entry], sample_rate: int) -> None:
    progress = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True))
    with (partial / SAMPLES).open("ab") as samples, (partial / _JOURNAL).open("ab") as journal, progress:
        task = progress.add_task("prepare", total=len(recordings), completed=len(entries))
        with closing(read_in_order(recordings[len(entries) :], sample_rate)) as readings:
            for piece, rms, reason in readings:
                entry = _Entry(len(piece), rms, _digest(piece.tobytes()), reason)
                samples.write(piece.tobytes())
                samples.flush()  # first, so that the journal never promises what is not there
                journal.write(json.dumps(entry).encode() + b"\n")
                journal.flush()
                entries.append(entry)
                progress.advance(task)
        os.fsync(samples.fileno())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _write_tables(
    recordings: Sequence[Recording], root: Path, partial: Path, entries: list[_Entry], origin: Mapping[str, Any]
) -> pd.DataFrame:
    rows, problems, offset = [], [], 0
    for recording, entry in zip(recordings, entries, strict=True):
        if entry.reason:
            problems.append((place(recording, root), entry.reason))
            continue
        who = (recording.utterance, recording.speaker, recording.gender, recording.part)
        rows.append((*who, offset, entry.length, entry.rms, entry.sha256))
        offset += entry.length
    columns = ["utterance", "speaker", "gender", "part", "offset", "length", "rms", "sha256"]
    about = {"format": FORMAT_VERSION, **origin, "utterances": len(rows), "samples": offset}
    index, left_out = pd.DataFrame(rows, columns=columns), pd.DataFrame(problems, columns=["path", "reason"])
    _write_synced(partial / INDEX, index.to_csv(index=False, lineterminator="\n"))
    _write_synced(partial / LEFT_OUT, left_out.to_csv(index=False, lineterminator="\n"))
    _write_synced(partial / ABOUT, json.dumps(about, indent=1) + "\n")
    return left_out


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _refuse_many_left_out(left_out: pd.DataFrame, count: int, partial: Path, folder: Path) -> None:
    if len(left_out) <= MOST_LEFT_OUT * count:
        return
    kept = (partial / LEFT_OUT).replace(folder.with_name(folder.name + ".left_out.csv"))
    shutil.rmtree(partial)
    shown = "".join(f"\n{row.path}: {row.reason}" for row in left_out.head(10).itertuples())
    share = f"{len(left_out)} of {count} recordings cannot be used, more than {MOST_LEFT_OUT:.0%}"
    raise InputError(f"data.root: {share}; all of them are in {kept}, the first are:{shown}")


def _disk_full(count: int, stores: Path, entries: Sequence[_Entry]) -> str:
    written = 2 * sum(entry.length for entry in entries)
    needed = (
        f"about {decimal(round(written / len(entries) * (count - len(entries))))}" if written else "an unknown amount"
    )
    free = decimal(shutil.disk_usage(stores).free)
    advice = "finished work is kept, and the same command continues"
    return f"data.store: no space left in {stores}: {needed} more is needed, {free} is free; {advice}"
