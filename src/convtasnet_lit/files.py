"""Files and folders that are there whole or not at all, whoever else writes beside them."""

import hashlib
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from convtasnet_lit.errors import InputError

try:
    import fcntl

    _LOCKS = True
except ImportError:  # Windows: there a place is told by its writer's number
    _LOCKS = False

_MOST_WRITERS = 100  # of one file at once
_LONGEST_NAME = 200  # bytes; a file system allows 255, and a place's name adds some


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write to, and rename it into place once it is written.

    Of several processes that write one file at once, each has a place of its own, and the last to finish wins. What a
    killed one left is taken over by the next.

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
    partial, handle = _claimed(path, os.O_RDWR | os.O_CREAT)
    try:
        os.ftruncate(handle, 0)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # on the disk before the name points to it
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


@contextmanager
def built_whole(folder: Path, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder beside a folder to fill, and rename it into place once it is filled.

    Args:
        folder: Missing or empty; it stays as it was if filling fails. If another process built it in the meantime, that
            process's work stays.
        replace: It may also be full, and makes way.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial, handle = _claimed(folder, os.O_RDONLY, is_folder=True)
    former = partial.with_suffix(f".former-{os.getpid()}-{threading.get_ident()}")  # whose place may be taken again
    try:
        for leftover in partial.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        yield partial
        if replace and folder.exists():
            folder.rename(former)
        _rename_unless_built(partial, folder)
    except BaseException:
        if former.exists() and not folder.exists():
            former.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(former, ignore_errors=True)
        os.close(handle)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone; what a killed one held is free again.

    Args:
        folder: It is made. While it is held, `.lock` lies in it; a file system without locks lets everybody in.

    Raises:
        InputError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / ".lock"
    handle = _locked(place)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
        os.close(handle)


def _locked(place: Path) -> int:
    while True:
        handle = os.open(place, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if _LOCKS:  # lockf, as the workers of a killed process would keep a flock
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), place.lstat()):
                return handle
        except FileNotFoundError:  # its holder ended meanwhile, and took the file away
            pass
        except (BlockingIOError, PermissionError) as error:
            os.close(handle)
            said = "another process is at work in it; wait for it, or choose another"
            raise InputError(f"{place.parent}: {said}") from error
        except OSError:  # no locks there
            return handle
        os.close(handle)


def _rename_unless_built(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir() or not any(folder.iterdir()):
            raise
        shutil.rmtree(partial)


def _claimed(path: Path, flags: int, is_folder: bool = False) -> tuple[Path, int]:
    """Find a place beside a file or folder in which nobody alive is writing.

    Returns:
        The place, and an open handle whose lock keeps it until it is closed, or until its process dies.
    """
    problem = OSError(f"{path}: {_MOST_WRITERS} processes are writing it")
    name = os.fsencode(path.name)
    short = path.name if len(name) <= _LONGEST_NAME else hashlib.sha256(name).hexdigest()
    numbers = range(_MOST_WRITERS) if _LOCKS else [os.getpid()]
    for number in numbers:
        place = path.with_name(f".{short}.convtasnet_lit-{number}.partial")
        try:
            if is_folder:
                place.mkdir(exist_ok=True)
            handle = os.open(place, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:  # somebody else's, or a planted link
            problem = error
            continue
        if not _LOCKS or _is_mine(place, handle, is_folder):
            return place, handle
        os.close(handle)
    raise problem


def _is_mine(place: Path, handle: int, is_folder: bool) -> bool:
    """Lock a place, unless it is locked, was renamed meanwhile by its writer, or is a second name of another file."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(handle)
        return os.path.samestat(status, place.lstat()) and (is_folder or status.st_nlink == 1)
    except OSError:
        return False


def printable(name: str) -> str:
    r"""Show a file's name as one line that every table and terminal can hold, even if it is not UTF-8.

    Example:
        >>> printable("café\n/\udcff.wav")
        'café\\n/\\xff.wav'
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def find_audio(root: Path, suffixes: Collection[str]) -> list[Path]:
    """List the audio files anywhere below a folder, sorted, without hidden ones (such as the `._x.wav` of macOS).

    Args:
        root: The folder; links to folders in it are followed, and each folder is looked into once.
        suffixes: Those that count, in lower case, with the dot.
    """
    found, met = [], {root.resolve()}
    for here, folders, files in os.walk(root, followlinks=True):
        seen = {name: Path(here, name).resolve() for name in sorted(folders) if not name.startswith(".")}
        folders[:] = [name for name, real in seen.items() if real not in met]  # links can lead in circles
        met.update(seen.values())
        shown = [name for name in files if not name.startswith(".")]
        found += [Path(here, name) for name in shown if Path(name).suffix.lower() in suffixes]
    return sorted(found)
