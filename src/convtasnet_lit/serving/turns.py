"""One thread computes at a time, and those that wait take turns."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that is given to the threads in the order in which they asked for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn and keep it; within, `pass_on` lets the others go first."""
        self._take()
        try:
            yield
        finally:
            self._give()

    def pass_on(self) -> None:
        """Let each of those who wait have a turn, and go on after them."""
        self._give()
        self._take()

    def _take(self) -> None:
        mine = threading.Event()
        with self._lock:
            self._line.append(mine)
            if self._line[0] is mine:
                mine.set()
        mine.wait()

    def _give(self) -> None:
        with self._lock:
            self._line.popleft()
            if self._line:
                self._line[0].set()
