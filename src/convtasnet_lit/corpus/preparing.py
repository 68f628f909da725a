"""Recordings -> a store: read once, shard by shard, left out where they cannot be used; what is whole is kept."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pandas as pd
from filelock import FileLock
from rich.console import Console
from rich.filesize import decimal
from rich.progress import MofNCompleteColumn, Progress

from convtasnet_lit.corpus.preparation import Entry, Preparation, entries_file, read_entries
from convtasnet_lit.corpus.recording import changed_at, place, read_in_order
from convtasnet_lit.corpus.store import ABOUT, FORMAT_VERSION, INDEX, LEFT_OUT, Store, digest, read_about, shard_name
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole

MOST_LEFT_OUT = 0.01  # of all recordings; more says that the corpus is not what it is taken for


def prepare_store(plan: Preparation) -> Store:
    """Write recordings into a store, or open the one made of them before.

    Whatever stops it, the same call goes on with the shard it was at.

    Args:
        plan: What it is made of.

    Raises:
        InputError: The disk is full or cannot be written, or more than 1 % of the recordings cannot be used.
    """
    if not plan.folder.exists():
        with _refusing(plan):
            plan.stores.mkdir(parents=True, exist_ok=True)
            with FileLock(plan.stores / ".lock"):  # each uses every core, so one at a time
                if not plan.folder.exists():
                    _write_shards(plan, range(plan.shards))
                    _merge(plan)
    return Store.open(plan.folder)


def prepare_share(plan: Preparation, number: int, count: int) -> list[Path]:
    """Write one of several equal shares of a store's shards; other processes or machines write the others.

    Args:
        plan: What the store is made of.
        number: Which share, counted from 1.
        count: How many there are.

    Returns:
        The shards of this share; none where there are fewer shards than shares, or where the store is there.

    Raises:
        InputError: The disk is full or cannot be written.
    """
    if plan.folder.exists():
        return []
    mine = range(number - 1, plan.shards, count)
    with _refusing(plan):
        _write_shards(plan, mine)
    return [plan.partial / shard_name(shard) for shard in mine]


def _write_shards(plan: Preparation, shards: Sequence[int]) -> None:
    plan.partial.mkdir(parents=True, exist_ok=True)
    if not read_about(plan.partial):  # of the first attempt: what was changed since is newer
        newest = max(map(changed_at, plan.recordings))
        about = {"corpus": plan.name, "root": str(plan.root.absolute()), "newest": newest}
        _write_text(plan.partial / ABOUT, json.dumps({**about, "made_of": dict(plan.made_of)}))
    missing = [shard for shard in shards if read_entries(plan, shard) is None]
    all_of_them, rest = (sum(len(plan.dealt(shard)) for shard in some) for some in (shards, missing))
    progress = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True))
    with progress:
        task = progress.add_task("prepare", total=all_of_them, completed=all_of_them - rest)
        for shard in missing:
            _write_shard(plan, shard, lambda: progress.advance(task))


def _write_shard(plan: Preparation, shard: int, advance: Callable[[], None]) -> None:
    """Write the samples, then what is known of them; a shard is there when both are."""
    recordings, entries = plan.dealt(shard), []
    with (
        written_whole(plan.partial / shard_name(shard)) as partial,
        partial.open("wb") as samples,
        closing(read_in_order(recordings, plan.sample_rate)) as readings,
    ):
        for recording, (piece, rms, reason) in zip(recordings, readings, strict=True):
            data = piece.tobytes()
            samples.write(data)
            entries.append(Entry(recording.utterance, len(piece), rms, digest(data), reason))
            advance()
    _write_text(entries_file(plan, shard), json.dumps(entries))


def _merge(plan: Preparation) -> None:
    """Write one index of all shards, and give the store its name."""
    entries = [read_entries(plan, shard) or [] for shard in range(plan.shards)]
    rows, problems, ends = [], [], [0] * plan.shards
    for number, recording in enumerate(plan.recordings):
        turn, shard = divmod(number, plan.shards)
        entry = entries[shard][turn]
        if entry.reason:
            problems.append((place(recording, plan.root), entry.reason))
            continue
        who = (recording.utterance, recording.speaker, recording.gender, recording.part)
        rows.append((*who, shard, ends[shard], entry.length, entry.rms, entry.sha256))
        ends[shard] += entry.length
    columns = ["utterance", "speaker", "gender", "part", "shard", "offset", "length", "rms", "sha256"]
    index = pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")
    left_out = pd.DataFrame(problems, columns=["path", "reason"])
    counts = {"sample_rate": plan.sample_rate, "utterances": len(rows), "samples": sum(ends), "shards": plan.shards}
    about = {"format": FORMAT_VERSION, **read_about(plan.partial), **counts}
    about["index"] = hashlib.sha256(index.encode()).hexdigest()
    _write_text(plan.partial / LEFT_OUT, left_out.to_csv(index=False, lineterminator="\n"))
    _refuse_many_left_out(left_out, plan)
    _write_text(plan.partial / INDEX, index)
    _write_text(plan.partial / ABOUT, json.dumps(about, indent=1) + "\n")
    _finish(plan)


def _finish(plan: Preparation) -> None:
    shards = range(plan.shards)
    known = [entries_file(plan, shard).name for shard in shards]
    kept = {ABOUT, INDEX, LEFT_OUT, *map(shard_name, shards)}
    for path in plan.partial.iterdir():
        if path.name not in kept.union(known):  # of a process that was killed, or of an earlier version
            path.unlink()
    plan.partial.rename(plan.folder)
    for name in known:
        (plan.folder / name).unlink()


def _write_text(path: Path, text: str) -> None:
    with written_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def _refuse_many_left_out(left_out: pd.DataFrame, plan: Preparation) -> None:
    count = len(plan.recordings)
    if len(left_out) <= MOST_LEFT_OUT * count:
        return
    kept = (plan.partial / LEFT_OUT).replace(plan.folder.with_name(plan.folder.name + ".left_out.csv"))
    shutil.rmtree(plan.partial)
    shown = "".join(f"\n{row.path}: {row.reason}" for row in left_out.head(10).itertuples())
    share = f"{len(left_out)} of {count} recordings cannot be used, more than {MOST_LEFT_OUT:.0%}"
    raise InputError(f"data.root: {share}; all of them are in {kept}, the first are:{shown}")


@contextmanager
def _refusing(plan: Preparation) -> Iterator[None]:
    """Say in one line what keeps a store from being written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(_disk_full(plan)) from error
        raise InputError(f"data.store: {plan.stores} cannot be written: {error.strerror or error}") from error


def _disk_full(plan: Preparation) -> str:
    written = 0
    with suppress(OSError), os.scandir(plan.partial) as files:
        written = sum(file.stat().st_size for file in files)
    needed, free = decimal(max(0, plan.size - written)), decimal(shutil.disk_usage(plan.stores).free)
    advice = "finished shards are kept, and the same command continues"
    return f"data.store: no space left in {plan.stores}: about {needed} more is needed, {free} is free; {advice}"
