"""Uploads that nobody should send: each a name of its kind, and a function that sends it."""

import io
import time
from collections.abc import Callable, Iterator
from itertools import islice

import httpx
import numpy as np
import soundfile

Upload = tuple[str, Callable[[httpx.Client], httpx.Response]]
RATE = 16_000
FORMATS = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "W64")
CHANGED_BYTES = 20


def hostile_uploads(count: int) -> Iterator[Upload]:
    """List uploads, kind after kind.

    Args:
        count: How many; equal counts give equal uploads.
    """
    return islice(_endless(), count)


def _endless() -> Iterator[Upload]:
    random = np.random.default_rng(0)
    sounds = [_sound(kind) for kind in FORMATS]
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(3600 * 4000, np.int16), 4000, format="FLAC")  # an hour in some kilobytes
    while True:
        sound = sounds[int(random.integers(len(sounds)))]
        head = bytearray(sound)
        for place in random.integers(0, min(200, len(head)), CHANGED_BYTES):
            head[place] = int(random.integers(256))
        yield "fuzzed header", _form(bytes(head))
        body = bytearray(sound)
        for place in random.integers(0, len(body), CHANGED_BYTES):
            body[place] = int(random.integers(256))
        yield "fuzzed", _form(bytes(body))
        yield "random", _form(random.bytes(5000))
        yield "cut", _form(sound[: int(random.integers(1, len(sound)))])
        yield "wrong type", _form(b"%PDF-1.7\n" + random.bytes(2000))
        yield "empty", _form(b"")
        yield "bomb", _form(silence.getvalue())
        yield "huge", _form(bytes(3_000_000))
        yield "huge, length untold", _untold
        yield "slow", _slow
        yield "no form", lambda client: client.post("/v1/separate", content=b"hello")
        yield "hostile name", _form(b"hello", "../../../etc/passwd\0.wav")


def _sound(kind: str) -> bytes:
    file, samples = io.BytesIO(), np.random.default_rng(0).normal(0, 0.1, 2 * RATE).clip(-1, 1)
    soundfile.write(file, samples, RATE, format=kind)
    return file.getvalue()


def _form(data: bytes, name: str = "a.wav") -> Callable[[httpx.Client], httpx.Response]:
    return lambda client: client.post("/v1/separate", files={"file": (name, data)})


HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
KIND = {"content-type": "multipart/form-data; boundary=x"}


def _untold(client: httpx.Client) -> httpx.Response:
    def pieces() -> Iterator[bytes]:
        yield HEAD
        for _ in range(40):
            yield bytes(100_000)

    return client.post("/v1/separate", content=pieces(), headers=KIND)


def _slow(client: httpx.Client) -> httpx.Response:
    def pieces() -> Iterator[bytes]:
        yield HEAD
        time.sleep(2.0)  # longer than the benchmark's service waits
        yield b"late"

    return client.post("/v1/separate", content=pieces(), headers=KIND)
