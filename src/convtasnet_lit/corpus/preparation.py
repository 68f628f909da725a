"""What makes a store: its recordings, how they are dealt out to shards, and which of these are there."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from convtasnet_lit.audio import AudioInput, UnusableError
from convtasnet_lit.corpus.recording import Recording, fingerprint
from convtasnet_lit.corpus.store import shard_name

SHARD_BYTES = 10**9  # of a shard, about: minutes of work, and what a network disk reads at its best

_CONTENT_VERSION = 1  # of the samples, which the names of stores are made of; layouts have FORMAT_VERSION
_SAMPLED = 500  # headers read to tell how much speech a corpus holds
_FEWEST_BYTES = 500  # of a second of any codec; a header that promises more is wrong


@dataclass(frozen=True)
class Preparation:
    """What a store is made of; from this alone follow its name, how many shards it has, and what is in each.

    The recordings are dealt out to the shards in turn. So each shard can be written without the others, all are of
    about one size, and a few of them hold some utterances of nearly every speaker.

    Args:
        recordings: What to read.
        root: The folder they lie in.
        stores: The folder of the prepared corpora.
        name: First part of the store's name.
        sample_rate: The store's sample rate in Hz.
        made_of: What else its `store.json` shall say of its origin.
    """

    recordings: Sequence[Recording]
    root: Path
    stores: Path
    name: str
    sample_rate: int
    made_of: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def folder(self) -> Path:
        """The store, which may not be there; its name holds a hash of what it is made of."""
        digest = hashlib.sha256(json.dumps([_CONTENT_VERSION, self.sample_rate]).encode())
        for recording in self.recordings:
            digest.update(fingerprint(recording, self.root).encode())
        return self.stores / f"{self.name}-{self.sample_rate}hz-{digest.hexdigest()[:12]}"

    @property
    def partial(self) -> Path:
        """Where it is until it is whole."""
        return self.folder.with_name(self.folder.name + ".partial")

    @cached_property
    def size(self) -> int:
        """About how many bytes it will have, by some recordings' headers."""
        some = self.recordings[:: -(-len(self.recordings) // _SAMPLED)]
        seconds = sum(map(_seconds, some)) / len(some) * len(self.recordings)
        return round(2 * self.sample_rate * seconds)

    @cached_property
    def shards(self) -> int:
        """How many shards it has."""
        return min(len(self.recordings), max(1, round(self.size / SHARD_BYTES)))

    def dealt(self, shard: int) -> Sequence[Recording]:
        """The recordings of a shard."""
        return self.recordings[shard :: self.shards]

    def missing(self) -> list[int]:
        """List the shards that are not there."""
        if self.folder.exists():
            return []
        return [shard for shard in range(self.shards) if read_entries(self, shard) is None]


class Entry(NamedTuple):
    """What came of one recording; `reason` says why there are no samples."""

    utterance: str
    length: int
    rms: float
    sha256: str
    reason: str


def _seconds(recording: Recording) -> float:
    try:
        return float(min(AudioInput(recording.path).seconds, recording.path.stat().st_size / _FEWEST_BYTES))
    except UnusableError:  # it will be left out
        return 0.0


def entries_file(plan: Preparation, shard: int) -> Path:
    """Name the file of what is known of a shard, until they are merged."""
    return (plan.partial / shard_name(shard)).with_suffix(".json")


def read_entries(plan: Preparation, shard: int) -> list[Entry] | None:
    """Read what is known of a shard; nothing if it is not whole, or was dealt other recordings."""
    try:
        lines = json.loads(entries_file(plan, shard).read_text(encoding="utf-8"))
        size = (plan.partial / shard_name(shard)).stat().st_size
        entries = [Entry(*line) for line in lines]
    except (OSError, ValueError, TypeError):
        return None
    same = [entry.utterance for entry in entries] == [recording.utterance for recording in plan.dealt(shard)]
    return entries if same and size == 2 * sum(entry.length for entry in entries) else None
