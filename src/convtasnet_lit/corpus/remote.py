"""A store that lies elsewhere: its tables are copied, its shards read by blocks through a cache of bounded size."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from convtasnet_lit.corpus.store import ABOUT, FORMAT_VERSION, INDEX, LEFT_OUT, SAMPLE, Store, shard_name
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import built_whole, printable, written_whole

BLOCK = 2**19  # samples, 1 MiB: about as long to transfer from object storage as to wait for, and seven utterances

_FREED = 0.1  # of the cache when it is full, so that its files are seldom listed


def open_remote(url: str, stores: Path, most: int) -> Store:
    """Open a store that lies elsewhere.

    Args:
        url: Its folder, such as s3://bucket/aishell3-16000hz-0123456789ab, as fsspec names it.
        stores: The folder of the prepared corpora; its tables and its cache come into `remote` there.
        most: Bytes of the cache.

    Raises:
        InputError: It cannot be reached, or is no store of this version.
    """
    about = _read(url, ABOUT)
    if not _is_current(about):
        advice = "prepare it anew, or open a local copy"
        raise InputError(f"data.root: {url} is no store of format {FORMAT_VERSION}; {advice}")
    # Another store in its place has another `store.json`, which holds a hash of the index, and so of the samples.
    name = f"{printable(url.rstrip('/').rpartition('/')[2])}-{hashlib.sha256(about).hexdigest()[:12]}"
    folder = stores / "remote" / name
    if not folder.exists():
        tables = {ABOUT: about} | {table: _read(url, table) for table in (INDEX, LEFT_OUT)}
        with built_whole(folder) as partial:
            for table, content in tables.items():
                (partial / table).write_bytes(content)
    return Store(folder, Remote(url, folder / "blocks", most))


def _is_current(about: bytes) -> bool:
    try:
        return bool(json.loads(about)["format"] == FORMAT_VERSION)
    except (ValueError, KeyError, TypeError):
        return False


@dataclass(frozen=True)
class Remote:
    """The shards of a store that lies elsewhere; processes of one machine share their cache.

    Args:
        url: The store's folder.
        cache: The folder of the blocks that were read.
        most: Bytes in it, at any time.
    """

    url: str
    cache: Path
    most: int

    def piece(self, shard: int, start: int, length: int) -> NDArray[np.int16]:
        """Read samples of a shard.

        Args:
            shard: Its number.
            start: First sample within the shard.
            length: In samples.

        Raises:
            InputError: They cannot be reached, or the cache cannot be written.
        """
        end = start + length
        blocks = range(start // BLOCK, (end - 1) // BLOCK + 1)
        parts = [self._part(shard, b, max(start - b * BLOCK, 0), min(end - b * BLOCK, BLOCK)) for b in blocks]
        return np.concatenate(parts)

    def _part(self, shard: int, block: int, start: int, end: int) -> NDArray[np.int16]:
        path = self.cache / f"{shard:05d}-{block * BLOCK}.s16"  # where it starts, for another version's BLOCK
        with suppress(FileNotFoundError):
            os.utime(path)  # what was used last goes last
            part = np.fromfile(path, SAMPLE, end - start, offset=SAMPLE.itemsize * start)
            if len(part) == end - start:
                return part
        first = SAMPLE.itemsize * block * BLOCK
        data = _read(self.url, shard_name(shard), first, first + SAMPLE.itemsize * BLOCK)
        if len(data) < SAMPLE.itemsize * end:
            raise InputError(f"data.root: {self.url}/{shard_name(shard)} is cut: it has {first + len(data)} bytes")
        self._keep(path, data)
        return np.frombuffer(data, SAMPLE)[start:end]

    def _keep(self, path: Path, data: bytes) -> None:
        if len(data) > self.most:
            return
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            with FileLock(self.cache.with_name("blocks.lock")):  # one at a time, so that the sum holds
                if path.exists() and path.stat().st_size == len(data):  # another process read it meanwhile
                    return
                total = self._total() + len(data)
                if total > self.most:
                    total = self._freed(round((1 - _FREED) * self.most) - len(data)) + len(data)
                # First the sum: a kill in between counts too much, not too little.
                self._sum.write_text(str(total), encoding="utf-8")
                with written_whole(path) as partial:
                    partial.write_bytes(data)
        except OSError as error:
            text = f"data.store: {self.cache} cannot be written: {error.strerror or error}"
            raise InputError(f"{text}; data.cache_gb says how large it may become") from error

    @property
    def _sum(self) -> Path:
        return self.cache.with_name("blocks.sum")

    def _total(self) -> int:
        """Bytes in the cache; what says so may be missing or cut."""
        try:
            return int(self._sum.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return self._freed(self.most)

    def _freed(self, room: int) -> int:
        """Remove what was not used for longest, until the rest fits; return the bytes of the rest."""
        with os.scandir(self.cache) as files:
            known = sorted((status.st_mtime_ns, status.st_size, file.path) for file in files if (status := file.stat()))
        total = sum(size for _, size, _ in known)
        for _, size, path in known:
            if total <= room:
                break
            Path(path).unlink()
            total -= size
        return total


def _read(url: str, name: str, start: int | None = None, end: int | None = None) -> bytes:
    with _reaching(url, name):
        import fsspec

        system, folder = fsspec.url_to_fs(url)  # here, as an open one is of no use in a forked process; it is cached
        data: bytes = system.cat_file(f"{folder.rstrip('/')}/{name}", start=start, end=end)
    return data


@contextmanager
def _reaching(url: str, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each kind of storage has errors of its own
        text = f"data.root: {url.rstrip('/')}/{name} cannot be read: {type(error).__name__}: {error}"
        raise InputError(" ".join(text.split())) from error
