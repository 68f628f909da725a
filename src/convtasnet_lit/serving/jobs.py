"""Recordings that wait, run or are done, and whose turn it is."""

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.refusal import RefusedError


@dataclass(frozen=True)
class Order:
    """What a client wants of a recording.

    Args:
        scale: `least_squares` or `mixture`, as `separate --scale`.
        format: `wav` or `flac`, of the results.
        subtype: libsndfile's name of their encoding.
        timeline: Whether to tell who speaks when.
    """

    scale: str
    format: str
    subtype: str
    timeline: bool


@dataclass(eq=False)
class Job:
    """A recording that was accepted.

    Args:
        number: Counted from the start of the service; names it in logs, and its folder. It opens nothing.
        client: Whose it is, for fairness.
        folder: Where it and its results lie.
        seconds: Its length.
        order: What is wanted of it.

    Attributes:
        id: 128 random bits, which open it.
    """

    number: int
    client: str
    folder: Path
    seconds: float
    order: Order
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = "waiting"
    progress: float = 0.0
    error: str | None = None
    attempts: int = 0
    files: dict[str, str] = field(default_factory=dict)  # what may be fetched, and its media type
    tracks: list[str] = field(default_factory=list)
    timeline: list[dict[str, Any]] | None = None
    made: float = field(default_factory=time.monotonic)
    asked: float = field(default_factory=time.monotonic)
    ended: float | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)  # one of its pictures at a time

    @property
    def left(self) -> float:
        """Seconds of audio that are still to be separated."""
        return self.seconds * (1 - self.progress)

    def end(self, state: str, error: str | None = None) -> None:
        """Go over into one of the states in which nothing happens any more."""
        self.state, self.error, self.ended = state, error, time.monotonic()
        self.over.set()


class Queue:
    """Jobs that wait; clients take turns, and a client's own jobs keep their order."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()

    def __iter__(self) -> Iterator[Job]:
        """All jobs in the order in which they will be taken."""
        for turn in zip_longest(*self._waiting.values()):
            yield from (job for job in turn if job is not None)

    def add(self, job: Job, first: bool = False) -> None:
        """Put a job in line, behind the client's others, or before them if it was taken already."""
        line = self._waiting.setdefault(job.client, deque())
        line.appendleft(job) if first else line.append(job)
        if first:
            self._waiting.move_to_end(job.client, last=False)

    def take(self, busy: set[str]) -> Job | None:
        """Take out the next job.

        Args:
            busy: Clients who have one running, and must wait for it.
        """
        for client, line in self._waiting.items():
            if client not in busy:
                job = line.popleft()
                self._waiting.move_to_end(client)
                self._forget_if_empty(client)
                return job
        return None

    def remove(self, job: Job) -> None:
        """Take out a job that will not be separated."""
        self._waiting[job.client].remove(job)
        self._forget_if_empty(job.client)

    def ahead_of(self, job: Job) -> float:
        """Seconds of audio that are taken before a job."""
        return sum(other.left for other in takewhile(lambda other: other is not job, self))

    def _forget_if_empty(self, client: str) -> None:
        if not self._waiting[client]:
            del self._waiting[client]


def check_room(jobs: list[Job], client: str, seconds: float, bounds: Bounds, speed: float) -> None:
    """Refuse a recording for which there is no room.

    Args:
        jobs: All that wait or run.
        client: Whose the recording is.
        seconds: Its length.
        bounds: How much may wait.
        speed: Seconds of audio that are separated in a second.

    Raises:
        RefusedError: 429, with the time after which there should be room.
    """
    everybody = sum(job.left for job in jobs)
    own = sum(job.left for job in jobs if job.client == client)
    for there, most, whose in (
        (everybody, bounds.queue_seconds, "the service has"),
        (own, bounds.client_seconds, "you have"),
    ):
        if there + seconds > most:
            sentence = f"The queue is full: {whose} {there:.0f} s of audio waiting, and at most {most:.0f} s may wait."
            raise RefusedError(429, "queue", sentence, (there + seconds - most) / speed)
