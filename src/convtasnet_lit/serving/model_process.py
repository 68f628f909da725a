"""The process that holds the network: separates files window by window in turn, and streams as they come.

Messages to it: `("separate", number, folder, order)`, `("cancel", number)`, `("open", number, rate, encoding)`,
`("samples", number, bytes)`, where None for the bytes ends a stream.
From it: `("ready", facts)` or `("refused", sentence)` first; then `("progress", number, part)`,
`("done", number, results)`, `("failed", number, sentence)`; `("estimates", number, bytes)`, where None ends a stream,
and `("broken", number, sentence)`.
"""

import copy
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from convtasnet_lit.audio import resample_blocks
from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.live import StreamingSeparator, separated
from convtasnet_lit.inference.pipe import ENCODINGS, decode, encode
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.serving.engine import Facts
from convtasnet_lit.serving.jobs import Order
from convtasnet_lit.serving.results import make_results
from convtasnet_lit.serving.turns import Turns

HOP_SECONDS = 0.01  # of a stream, separated at once; as `convtasnet stream`
MEASURED_SECONDS = 2.0  # of noise, to find out how fast this machine is
MEASURED_TIMES = 3  # of which the fastest counts: other programs can only make it slower
MOST_FILES = 64  # that may be under way; the service sends fewer
POLITENESS = 10  # of threads that separate files, where there are streams, whose time presses


class _CancelledError(Exception):
    """Nobody wants the job any more."""


def main(connection: Connection, model: str, device: str) -> None:
    """Be the process until the other end of the connection is closed.

    Args:
        connection: To the service.
        model: What `Separator.from_pretrained` takes.
        device: The same.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to all; the service says when to stop
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("convtasnet_lit").setLevel(logging.ERROR)  # warnings name the file
    try:
        separator = Separator.from_pretrained(model, device)
        facts = _measured(separator)
    except InputError as error:
        connection.send(("refused", str(error)))
        return
    with suppress(BrokenPipeError):  # the service was stopped before it began
        connection.send(("ready", facts))
        ModelProcess(connection, separator, facts).run()
    os._exit(0)  # whatever is still under way


def _measured(separator: Separator) -> Facts:
    rate, speakers = separator.sample_rate, separator.network.num_sources
    noise = np.random.default_rng(0).normal(0, 0.1, round(MEASURED_SECONDS * rate)).astype(np.float32)
    separator.separate(noise, rate)  # the first time takes longer
    speed = MEASURED_SECONDS / _seconds(lambda: separator.separate(noise, rate))
    try:
        stream = StreamingSeparator(separator.network, rate)
    except ValueError:
        return Facts(rate, speakers, False, speed, 0.0)
    hops = np.array_split(noise, round(MEASURED_SECONDS / HOP_SECONDS))
    load = _seconds(lambda: list(separated(stream, hops))) / MEASURED_SECONDS
    return Facts(rate, speakers, True, speed, load)


def _seconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(MEASURED_TIMES):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


class ModelProcess:
    """What goes on in the process: a thread for each file and each stream.

    Args:
        connection: To the service.
        separator: With the network.
        facts: What was found out of it.
    """

    def __init__(self, connection: Connection, separator: Separator, facts: Facts) -> None:
        self._connection, self._separator, self._facts = connection, separator, facts
        self._sending, self._turns = threading.Lock(), Turns()
        self._files = ThreadPoolExecutor(MOST_FILES)  # kept threads keep the threads that torch gives each of them
        self._cancelled = set[int]()
        self._streams: dict[int, SimpleQueue[bytes | None]] = {}

    def run(self) -> None:
        """Do what comes until nothing can come any more."""
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                return
            match message:
                case ("separate", *what):
                    self._files.submit(self._separate, *what)
                case ("cancel", number):
                    self._cancelled.add(number)
                case ("open", number, rate, encoding):
                    self._streams[number] = SimpleQueue()
                    threading.Thread(target=self._stream, args=(number, rate, encoding), daemon=True).start()
                case ("samples", number, data):
                    if number in self._streams:
                        self._streams[number].put(data)

    def _send(self, *message: Any) -> None:
        with self._sending:
            self._connection.send(message)

    def _separate(self, number: int, folder: Path, order: Order) -> None:
        if self._facts.causal and sys.platform == "linux":  # where each thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), POLITENESS)

        took, since = 0.0, 0.0  # seconds of this job's turns; the start of this one

        def progress(done: float, total: float) -> None:
            nonlocal took, since
            took += time.perf_counter() - since
            self._send("progress", number, min(1.0, done / total))
            self._turns.pass_on()
            since = time.perf_counter()
            if number in self._cancelled:
                raise _CancelledError

        separator = copy.copy(self._separator)  # of the same network
        separator.scale = order.scale
        try:
            with self._turns.taken():
                since = time.perf_counter()
                results = make_results(separator, folder, order, progress)
                took += time.perf_counter() - since
            self._send("done", number, {**results, "took": took})
        except _CancelledError:
            self._send("failed", number, "cancelled")
        except InputError as error:
            self._send("failed", number, str(error).replace(f"{folder}{os.sep}", ""))
        except Exception as error:
            logging.getLogger(__name__).exception("a job failed")
            self._send("failed", number, f"The service failed at this recording ({type(error).__name__}).")
        self._cancelled.discard(number)

    def _stream(self, number: int, rate: int, encoding: str) -> None:
        own_rate = self._separator.sample_rate
        separator = StreamingSeparator(self._separator.network, own_rate)
        try:
            mixture = resample_blocks(self._incoming(number, rate, encoding), rate, own_rate)
            estimates = (piece.T for piece in separated(separator, mixture))
            for piece in resample_blocks(estimates, own_rate, rate, separator.num_speakers):
                if len(piece):
                    self._send("estimates", number, encode(piece, encoding)[0])
            self._send("estimates", number, None)
        except InputError as error:
            self._send("broken", number, str(error))
        del self._streams[number]

    def _incoming(self, number: int, rate: int, encoding: str) -> Iterator[np.ndarray]:
        """Hops of one length, however the bytes come: a hop of another would have another level."""
        size = max(1, round(HOP_SECONDS * rate)) * ENCODINGS[encoding].itemsize
        held = b""
        while (data := self._streams[number].get()) is not None:
            held += data
            whole = len(held) // size * size
            for start in range(0, whole, size):
                yield decode(held[start : start + size], encoding)
            held = held[whole:]
        if held:
            yield decode(held, encoding)
