"""A stream over a websocket: samples in, speakers out, as fast as real time and no faster."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from convtasnet_lit.audio import LOWEST_RATE
from convtasnet_lit.serving.clients import client_of
from convtasnet_lit.serving.refusal import RefusedError
from convtasnet_lit.serving.service import Service

SAMPLE_BYTES = {"s16": 2, "f32": 4}
LONGEST_FRAME = 1 << 20  # bytes, of a frame that comes


class _EndedError(Exception):
    """The stream is over.

    Args:
        code: Of the websocket.
        reason: A sentence.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def serve_stream(service: Service, socket: WebSocket) -> None:
    """Serve a websocket to its end.

    Args:
        service: Which has room for it, or refuses it.
        socket: A websocket that was not accepted yet.
    """
    await socket.accept()
    try:
        rate, encoding = _asked(socket, service)
        check_stream(service, client_of(socket))
        await _Stream(service, socket, rate, encoding).run()
    except RefusedError as refusal:
        service.metrics.refusals.labels(refusal.reason).inc()
        await _close(socket, 4000 + refusal.status, refusal.sentence)
    except _EndedError as end:
        await _close(socket, end.code, end.reason)
    except WebSocketDisconnect:
        pass  # the client went


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.client_state is WebSocketState.CONNECTED:
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(code, reason.encode()[:123].decode(errors="ignore"))  # the most a close frame holds


def _asked(socket: WebSocket, service: Service) -> tuple[int, str]:
    """The rate and the encoding that the address asks for."""
    text = socket.query_params.get("rate", str(service.engine.facts.sample_rate))
    highest = int(service.bounds.highest_rate)
    if not (text.isascii() and text.isdigit() and len(text) < 9 and LOWEST_RATE <= int(text) <= highest):
        raise RefusedError(400, "rate", f"rate must be from {LOWEST_RATE} to {highest} Hz.")
    encoding = socket.query_params.get("format", "s16")
    if encoding not in SAMPLE_BYTES:
        raise RefusedError(400, "encoding", "format must be s16 or f32.")
    return int(text), encoding


def check_stream(service: Service, client: str) -> None:
    """Refuse a stream that could not be held in real time.

    Args:
        service: Which would hold it.
        client: Whose it is.

    Raises:
        RefusedError: There is no room, the network takes no streams, or it is being loaded.
    """
    service.refuse_if_draining()
    service.rate.count(client)
    facts = service.engine.facts
    if not facts.causal:
        raise RefusedError(400, "causal", "The network of this service is not causal, so it separates files alone.")
    if not service.engine.ready:
        raise RefusedError(503, "starting", "The model process is being started; try again soon.")
    if (len(service.streams) + 1) * facts.stream_load > service.bounds.stream_share:
        raise RefusedError(
            429, "streams", f"This machine holds no more than {len(service.streams)} streams in real time."
        )


class _Stream:
    def __init__(self, service: Service, socket: WebSocket, rate: int, encoding: str) -> None:
        self._service, self._socket, self._bounds = service, socket, service.bounds
        self._rate, self._encoding, self._number = rate, encoding, service.new_number()
        self._bytes_a_second = rate * SAMPLE_BYTES[encoding]
        self._taken = self._given = 0  # bytes of the mixture; of it, those whose estimates were sent
        self._caught_up = asyncio.Event()

    async def run(self) -> None:
        """Open the stream, serve it, and close it in any case."""
        engine, streams = self._service.engine, self._service.streams
        streams[self._number] = queue = asyncio.Queue[tuple[str, Any]]()
        engine.send("open", self._number, self._rate, self._encoding)
        tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._speak(queue))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            del streams[self._number]
            engine.send("samples", self._number, None)

    async def _listen(self) -> None:
        """Hand on what comes, until the client says that it was the last."""
        began = time.monotonic()
        while (data := await self._frame()) is not None:
            self._taken += len(data)
            seconds = self._taken / self._bytes_a_second
            if seconds > self._bounds.stream_seconds:
                raise _EndedError(4413, f"A stream may last {self._bounds.stream_seconds:.0f} s.")
            self._service.engine.send("samples", self._number, data)
            await asyncio.sleep(max(0.0, seconds - self._bounds.stream_lead - (time.monotonic() - began)))
            while (self._taken - self._given) / self._bytes_a_second > self._bounds.stream_lead:
                self._caught_up.clear()
                await self._in_time(self._caught_up.wait(), "The estimates were not read")
        self._service.engine.send("samples", self._number, None)

    async def _frame(self) -> bytes | None:
        """The samples of the next frame; None at the end."""
        message = await self._in_time(self._socket.receive(), "No samples came")
        if message["type"] == "websocket.disconnect":
            raise _EndedError(1000, "")
        data: bytes | None = message.get("bytes")
        if data is None and message.get("text", "").replace(" ", "") != '{"end":true}':
            raise _EndedError(4400, 'A frame must be samples, or the text {"end": true}.')
        return data

    async def _in_time(self, waiting: Any, problem: str) -> Any:
        try:
            async with asyncio.timeout(self._bounds.stream_pause):
                return await waiting
        except TimeoutError:
            raise _EndedError(4408, f"{problem} for {self._bounds.stream_pause:.0f} s.") from None

    async def _speak(self, queue: asyncio.Queue[tuple[str, Any]]) -> None:
        """Send what the model process makes of it."""
        speakers = self._service.engine.facts.speakers
        while True:
            kind, what = await queue.get()
            if kind != "estimates":
                raise _EndedError({"broken": 4422, "lost": 4503, "stop": 1001}[kind], what)
            if what is None:
                raise _EndedError(1000, "")
            await self._socket.send_bytes(what)
            self._given += len(what) // speakers
            self._caught_up.set()
