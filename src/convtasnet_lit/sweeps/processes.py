"""The processes of a sweep's runs, which stop where the sweep's own is asked to, and end where it is killed."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from types import FrameType
from typing import IO

TERMINATED = 143  # what a shell says of a program that SIGTERM ended


class Processes:
    """Processes that are each in a group of its own, so that a terminal's Ctrl-C reaches them through here alone.

    A second Ctrl-C stops a training at once, so none may hear of the first one twice.
    """

    def __init__(self) -> None:
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._asked, self._lock = False, Lock()

    def run(self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> int:
        """Run a command to its end, in any thread.

        Args:
            command: The program and its arguments.
            environment: Its environment.
            log: What it prints goes here.

        Returns:
            Its exit code; of one that a signal ended, the signal's number below 0.
        """
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            preexec_fn=_END_WITH_PARENT,
            process_group=0,
        ) as process:
            with self._lock:
                self._alive.add(process)
                asked = self._asked
            if asked:
                self._ask(process)
            code = process.wait()
            with self._lock:
                self._alive.remove(process)
            return code

    @contextmanager
    def told_of_signals(self) -> Iterator[None]:
        """Ask the processes to stop where this one, in its main thread, is asked to by Ctrl-C or SIGTERM."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        for process in list(self._alive):
            self._ask(process)
        if first and number == signal.SIGTERM:
            sys.exit(TERMINATED)
        if first:
            raise KeyboardInterrupt

    def _ask(self, process: "subprocess.Popen[bytes]") -> None:
        if sys.platform != "win32":  # there a console tells all its processes itself
            process.send_signal(signal.SIGINT)


def _end_with_parent() -> None:
    assert _LIBC
    _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


# Linux ends a run when the sweep's process is killed, so that the next one finds its folder free.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_END_WITH_PARENT = _end_with_parent if sys.platform == "linux" else None
