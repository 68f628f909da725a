"""The model process from outside: started, listened to, started again when it dies."""

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from convtasnet_lit.errors import InputError

LONGEST_WAIT = 30.0  # seconds, before it is started again for the n-th time in a row
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """What the service must know of the network.

    Args:
        sample_rate: Hz.
        speakers: How many at most.
        causal: Whether it takes streams.
        speed: Seconds of audio that it separates in a second.
        stream_load: Part of a second that a second of a stream takes.
    """

    sample_rate: int
    speakers: int
    causal: bool
    speed: float
    stream_load: float


def _run(connection: Connection, model: str, device: str) -> None:
    from convtasnet_lit.serving.model_process import main  # only in the process itself: it imports torch

    main(connection, model, device)


class Engine:
    """One model process.

    Args:
        model: What `Separator.from_pretrained` takes.
        device: The same.

    Attributes:
        facts: What the process found out.
        ready: Whether it can work.
        heard: When it last said something, by `time.monotonic`.

    Raises:
        InputError: The network cannot be opened.
    """

    def __init__(self, model: str, device: str) -> None:
        self._how = model, device
        self._deaths, self._stopping, self.ready = 0, False, False
        self._process, self._connection = self._started()
        try:
            kind, found = self._connection.recv()
        except EOFError:
            raise InputError(f"{model}: the process that opens it ended; is there enough memory?") from None
        if kind == "refused":
            raise InputError(found)
        self.facts: Facts = found
        self.ready, self.heard = True, time.monotonic()

    def attach(self, receive: Callable[[Any], None], died: Callable[[], None]) -> None:
        """Begin to listen, within the running loop.

        Args:
            receive: Told each message.
            died: Told that the process is gone with all it did.
        """
        self._loop, self._receive, self._died = asyncio.get_running_loop(), receive, died
        self._loop.add_reader(self._connection.fileno(), self._readable)

    def send(self, *message: Any) -> None:
        """Tell the process; where it is gone, nothing happens, and `died` will be called."""
        try:
            self._connection.send(message)
        except OSError:
            _log.debug("the model process is gone")

    def kill(self) -> None:
        """End the process at once; it is started again."""
        self._process.kill()

    def stop(self) -> None:
        """End the process for good."""
        self._stopping, self.ready = True, False
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        self._process.join(1)
        self._process.kill()
        self._process.join()

    def _started(self) -> tuple[BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(theirs, *self._how), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _readable(self) -> None:
        try:
            while self._connection.poll():
                self._take(self._connection.recv())
        except (EOFError, OSError):
            self._gone()

    def _take(self, message: Any) -> None:
        self.heard = time.monotonic()
        if message[0] == "ready":
            self.facts, self.ready = message[1], True
            _log.info("model process ready")
        elif message[0] == "refused":
            _log.error("the network can no longer be opened")
        elif message[0] == "done":
            self._deaths = 0
        self._receive(message)

    def _gone(self) -> None:
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        self._process.kill()
        self._process.join()
        self.ready = False
        _log.error("model process ended", extra={"facts": {"code": self._process.exitcode}})
        self._died()
        wait = min(LONGEST_WAIT, 0.1 * 2**self._deaths)
        self._deaths += 1
        self._loop.call_later(wait, self._restart)

    def _restart(self) -> None:
        if not self._stopping:
            self._process, self._connection = self._started()
            self._loop.add_reader(self._connection.fileno(), self._readable)
