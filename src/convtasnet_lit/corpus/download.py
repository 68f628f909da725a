"""Fetch and unpack a corpus; what was interrupted goes on where it stopped."""

import hashlib
import tarfile
import zlib
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import built_whole

AISHELL3_URL = "https://www.openslr.org/resources/93/data_aishell3.tgz"  # 19 GB

_BLOCK = 1 << 20  # bytes
_TIMEOUT = 60  # seconds without a byte


def download_aishell3(root: Path, url: str = AISHELL3_URL) -> None:
    """Fetch AISHELL-3 and unpack it; the archive stays beside the folder.

    Args:
        root: The folder to make.
        url: The address of the archive.

    Raises:
        InputError: The network, the archive or the disk failed.
    """
    archive = root.parent / PurePosixPath(urlparse(url).path).name
    fetch(url, archive)
    unpack(archive, root)


def fetch(url: str, destination: Path) -> None:
    """Fetch a file, going on with what an earlier call left in `destination.part`; write its SHA-256 beside it.

    Args:
        url: What to fetch.
        destination: The file to write; nothing is done if it is there.

    Raises:
        InputError: The transfer failed or ended early; the same call continues it.
    """
    if destination.exists():
        return
    part = destination.with_name(destination.name + ".part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _transfer(url, part)
        digest = _sha256(part)
        destination.with_name(destination.name + ".sha256").write_text(f"{digest}  {destination.name}\n")
        part.rename(destination)
        part.with_name(part.name + ".version").unlink(missing_ok=True)
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        advice = f"what is in {part} is kept, and the same command continues"
        raise InputError(f"data.download: {url}: {reason}; {advice}") from error


def unpack(archive: Path, root: Path) -> None:
    """Unpack a tar archive into a new folder, which appears only once it is complete.

    Args:
        archive: A tar file, compressed or not.
        root: The folder to make; missing or empty.

    Raises:
        InputError: The archive is damaged or holds unsafe names, or the disk failed.
    """
    try:
        with (
            built_whole(root) as partial,
            _progress() as progress,
            progress.open(archive, "rb", description=f"unpack {archive.name}") as file,
        ):
            _extract(file, partial)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        advice = "delete it, and the same command fetches it again"
        raise InputError(f"data.download: {archive} is damaged ({error}); {advice}") from error
    except OSError as error:
        raise InputError(f"data.download: {archive} cannot be unpacked: {error}") from error


def _extract(file: BinaryIO, folder: Path) -> None:
    with tarfile.open(fileobj=file, mode="r|*") as tar:  # as a stream: one pass, and the progress is that of the file
        tar.extractall(folder, filter="data")  # refuses names that lead out of the folder


def _transfer(url: str, part: Path) -> None:
    version = part.with_name(part.name + ".version")
    known = version.read_text(encoding="latin-1") if version.exists() else ""
    start = part.stat().st_size if part.exists() and known else 0  # of a version that nobody knows, nothing is kept
    request = Request(url, headers={"Range": f"bytes={start}-", "If-Range": known} if start else {})
    try:
        response = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        with error:
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            complete = error.headers.get("Content-Range") == f"bytes */{start}"
        if not complete:  # what is there is longer than the file itself, so it belongs to another one
            part.unlink()
            _transfer(url, part)
        return
    with response, part.open("ab") as file:
        if response.status != HTTPStatus.PARTIAL_CONTENT:  # the server ignores Range, and sends all of it
            start = 0
            file.truncate(0)
            version.write_text(_version(response), encoding="latin-1")
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise OSError("the server sent another range than it was asked for")
        _copy(response, file, start)


def _version(response: HTTPResponse) -> str:
    """What tells one version of a file from the next; a weak tag may stand for several."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _copy(response: HTTPResponse, file: BinaryIO, start: int) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    done = start
    with _progress() as progress:
        task = progress.add_task("fetch", total=total, completed=start)
        while block := response.read(_BLOCK):
            done += file.write(block)
            progress.update(task, completed=done)
    if total is not None and done != total:
        raise OSError(f"the connection ended after {done} of {total} bytes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
