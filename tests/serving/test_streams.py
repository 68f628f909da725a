"""Streams over websockets: equal to the offline result however they come, refused in words."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from convtasnet_lit.audio import resample_blocks
from convtasnet_lit.inference.live import StreamingSeparator, separated
from convtasnet_lit.inference.pipe import decode, encode
from tests.serving.running import RATE, Running

END = '{"end": true}'


def opened(service: Running, query: str = "", **options: Any) -> ClientConnection:
    return connect(f"{service.url.replace('http', 'ws')}/v1/stream{query}", proxy=None, open_timeout=60, **options)


def received(connection: ClientConnection) -> bytes:
    """All frames until the service closes."""
    found = b""
    try:
        while True:
            found += connection.recv(timeout=60)  # type: ignore[operator]
    except ConnectionClosed:
        return found


def closed(connection: ClientConnection) -> tuple[int | None, str | None]:
    """The code and the reason with which the service closes."""
    received(connection)
    return connection.close_code, connection.close_reason


def hops(data: bytes, rate: int, encoding: str) -> Iterator[np.ndarray]:
    """What `convtasnet stream` reads at once."""
    size = rate // 100 * {"s16": 2, "f32": 4}[encoding]
    yield from (decode(data[start : start + size], encoding) for start in range(0, len(data), size))


def offline(separator: StreamingSeparator, data: bytes, rate: int, encoding: str) -> bytes:
    mixture = resample_blocks(hops(data, rate, encoding), rate, RATE)
    estimates = (piece.T for piece in separated(separator, mixture))
    return b"".join(encode(piece, encoding)[0] for piece in resample_blocks(estimates, RATE, rate, 2))


@pytest.mark.parametrize(("rate", "encoding"), [(8000, "s16"), (8000, "f32"), (16_000, "f32"), (44_100, "s16")])
def test_pieces_of_any_size_are_the_offline_result(service: Running, network: Any, rate: int, encoding: str) -> None:
    random = np.random.default_rng(0)
    data = encode(random.normal(0, 0.1, rate * 2 + 3), encoding)[0]
    with opened(service, f"?rate={rate}&format={encoding}") as connection:
        start = 0
        while start < len(data):
            size = int(random.choice([1, 2, 3, 7, 1000, 4001]))  # also within a sample
            connection.send(data[start : start + size])
            start += size
        connection.send(END)
        found = received(connection)
    assert connection.close_code == 1000
    assert found == offline(StreamingSeparator.from_pretrained(network), data, rate, encoding)
    assert abs(len(found) - 2 * len(data)) <= 2 * 4 * rate // 1000  # resampling may lose a millisecond


@pytest.mark.parametrize(
    ("query", "frame", "code", "words"),
    [
        ("?rate=fast", None, 4400, "rate must be from 1000 to 48000 Hz."),
        ("?rate=96000", None, 4400, "rate must be"),
        ("?format=mp3", None, 4400, "format must be s16 or f32."),
        ("", "hello", 4400, 'A frame must be samples, or the text {"end": true}.'),
        ("?format=f32", np.full(100, np.nan, "<f4").tobytes(), 4422, "samples: holds NaN"),
        ("?format=f32", bytes(8000 * 4 * 31), 4413, "A stream may last 30 s."),
        ("", b"", 4408, "No samples came for 2 s."),
    ],
)
def test_what_is_no_stream_is_closed_in_a_sentence(
    service: Running, query: str, frame: bytes | str | None, code: int, words: str
) -> None:
    with opened(service, query) as connection:
        if frame is not None:
            connection.send(frame)
        found, reason = closed(connection)
    assert found == code
    assert reason is not None and words in reason


def test_pages_of_other_sites_get_no_stream(service: Running) -> None:
    with opened(service, origin="http://evil.example") as connection:
        assert closed(connection) == (4403, "Pages of other sites must not use this service.")


def test_a_client_that_goes_leaves_no_stream(service: Running) -> None:
    with opened(service) as connection:
        connection.send(bytes(1000))
    with service.client as client:
        while "convtasnet_streams 0.0" not in client.get("/metrics").text:
            pass
