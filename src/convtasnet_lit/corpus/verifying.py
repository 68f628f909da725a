"""Whether a store still holds what was written into it."""

import hashlib

from rich.console import Console
from rich.progress import track

from convtasnet_lit.corpus.store import INDEX, Store, digest, shard_name
from convtasnet_lit.errors import InputError

_SHOWN = 10


def refuse_damaged(store: Store) -> None:
    """Compare the samples of every utterance with its hash, and the index with its own.

    Args:
        store: The prepared corpus.

    Raises:
        InputError: Some are not what was written; the line names the shards and the utterances.
    """
    index = store.index
    found = hashlib.sha256((store.folder / INDEX).read_bytes()).hexdigest()
    damaged = [INDEX] if found != store.about.get("index", found) else []  # earlier versions wrote no hash of it
    rows = zip(index["utterance"], index["shard"], index["sha256"], strict=True)
    for row, (utterance, shard, expected) in enumerate(track(rows, "verify", len(index), console=Console(stderr=True))):
        if digest(store.samples(row, 0, store.lengths[row]).tobytes()) != expected:
            damaged.append(f"{utterance} in {shard_name(shard)}")
    if damaged:
        more = f" and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
        shown = ", ".join(damaged[:_SHOWN]) + more
        advice = "delete the folder, and the same command makes it anew"
        raise InputError(f"{store.folder} is not what was written: {shown}; {advice}")
