"""Files and folders that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write to, and rename it into place once it is written.

    Args:
        path: The file; its folder is made. What stood there before stays until the new one is whole, and stays for
            good if writing fails.

    Raises:
        OSError: The disk is full, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a" / "notes.txt"
        >>> with written_whole(path) as partial:
        ...     _ = partial.write_text("all of it")
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('all of it', ['notes.txt'])
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # on the disk before the name points to it
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def built_whole(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder beside a folder to fill, and rename it into place once it is filled.

    Args:
        folder: Missing or empty; it stays as it was if filling fails.
        replace: It may also be full, and makes way.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    partial, former = (folder.with_name(folder.name + ending) for ending in (".partial", ".former"))
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        if replace and folder.exists():
            folder.rename(former)
        partial.rename(folder)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
