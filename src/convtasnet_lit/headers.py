"""How long an audio file must be by its own header: libsndfile takes what there is of a cut one without a word."""

import os
import re
from collections.abc import Callable
from typing import BinaryIO

from convtasnet_lit.errors import InputError

_UNKNOWN_SIZE = 2**31 - 2**16  # bytes; a writer into a pipe writes about 2 GiB (sox) or 4 GiB (ffmpeg) for "unknown"
_LONGEST_PAGE = 65_307  # bytes, of Ogg


def check_whole(file: BinaryIO, size: int) -> None:
    """Refuse an audio file that was cut short: WAV, RF64, W64, AIFF, AU, VOC, CAF, NIST or Ogg.

    Args:
        file: At its start.
        size: Bytes of it.

    Raises:
        InputError: It is shorter than it says.
    """
    start = file.read(4)
    file.seek(0)
    if start == b"OggS":
        if not _has_last_page(file, size):
            raise InputError("truncated: its last page is missing")
    elif start in _PROMISED:
        promised = _PROMISED[start](file)
        if size < promised and (start == b"RF64" or promised < _UNKNOWN_SIZE):
            raise InputError(f"truncated: its header promises {promised} bytes, the file has {size}")


def _riff(file: BinaryIO) -> int:
    """The length by that of the samples where it comes before the end."""
    promised = _number(file, 4)  # without 8: many count the header of the header, or a padding byte that is not there
    file.seek(12)
    while len(chunk := file.read(8)) == 8:
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return max(promised, file.tell() + length)
        file.seek(length + length % 2, os.SEEK_CUR)
    return promised


def _rf64(file: BinaryIO) -> int:
    return _number(file, 20, 8)


def _w64(file: BinaryIO) -> int:
    return _number(file, 16, 8)


def _form(file: BinaryIO) -> int:
    """AIFF and 8SVX."""
    return _number(file, 4, order="big")


def _au(file: BinaryIO) -> int:
    return _number(file, 4, order="big") + _number(file, 8, order="big")


def _voc(file: BinaryIO) -> int:
    first = _number(file, 20, 2)
    return first + 4 + _number(file, first + 1, 3)


def _caf(file: BinaryIO) -> int:
    file.seek(8)
    while len(chunk := file.read(12)) == 12:
        length = int.from_bytes(chunk[4:], "big", signed=True)
        if chunk[:4] == b"data" or length < 0:
            return file.tell() + max(length, 0)
        file.seek(length, os.SEEK_CUR)
    return 0


def _nist(file: BinaryIO) -> int:
    text = file.read(1024).decode("ascii", "replace")
    names = ("sample_count", "sample_n_bytes", "channel_count")
    found = [re.search(rf"{name} -i (\d{{1,15}})\b", text) for name in names]
    count, each, channels = (int(match[1]) if match else 0 for match in found)
    return 1024 + count * each * channels if "sample_coding -s3 pcm" in text else 0


def _number(file: BinaryIO, place: int, length: int = 4, order: str = "little") -> int:
    file.seek(place)
    return int.from_bytes(file.read(length), "little" if order == "little" else "big")


def _has_last_page(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - _LONGEST_PAGE))
    tail = file.read()
    last_page = tail[tail.rfind(b"OggS") :]  # RFC 3533: 27 bytes, as many lengths as the last says, and so much
    if len(last_page) < 27 or not last_page[5] & 4:
        return False
    lengths = last_page[27 : 27 + last_page[26]]
    return len(last_page) >= 27 + last_page[26] + sum(lengths)


_PROMISED: dict[bytes, Callable[[BinaryIO], int]] = {
    b"RIFF": _riff,
    b"RF64": _rf64,
    b"riff": _w64,
    b"FORM": _form,
    b".snd": _au,
    b"Crea": _voc,
    b"caff": _caf,
    b"NIST": _nist,
}
