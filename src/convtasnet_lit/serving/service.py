"""The service: takes jobs, has them separated, forgets them."""

import asyncio
import itertools
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.clients import Rate
from convtasnet_lit.serving.engine import Engine
from convtasnet_lit.serving.jobs import Job, Order, Queue, check_room
from convtasnet_lit.serving.picturing import PICTURES
from convtasnet_lit.serving.refusal import RefusedError
from convtasnet_lit.serving.telemetry import Metrics

MEDIA_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".rttm": "text/plain; charset=utf-8",
    ".json": "application/json",
}
SPEED_MEMORY = 0.8  # of the measured speed, when a job tells a new one
_log = logging.getLogger(__name__)


class Service:
    """All jobs; lives in the event loop.

    Args:
        engine: The model process.
        folder: Where the jobs' folders lie.
        bounds: How much is taken.
    """

    def __init__(self, engine: Engine, folder: Path, bounds: Bounds) -> None:
        self.engine, self.folder, self.bounds = engine, folder, bounds
        self.draining, self.asked = False, time.monotonic()
        self.rate = Rate(bounds.submissions)
        self.streams: dict[int, asyncio.Queue[tuple[str, Any]]] = {}
        self.decoding = asyncio.Semaphore(int(bounds.decoders))
        self.uploads = list[str]()  # whose recordings are being received or decoded
        self._queue = Queue()
        self.jobs: dict[str, Job] = {}  # by their ids
        self.running: dict[int, Job] = {}  # by their numbers
        self._numbers = itertools.count(1)
        self._speed = engine.facts.speed
        self.metrics = Metrics(
            lambda: sum(job.left for job in self.unfinished()),
            lambda: len(self.streams),
            lambda: self._speed,
            lambda: self.is_ready,
        )

    @property
    def is_ready(self) -> bool:
        """Whether new work will be done soon."""
        return self.engine.ready and not self.draining

    def unfinished(self) -> list[Job]:
        """All jobs that run or wait."""
        return [*self.running.values(), *self._queue]

    @contextmanager
    def place(self, client: str) -> Iterator[tuple[int, Path]]:
        """Give a recording that is about to come a number and a folder, which is removed if it does not become a job.

        Args:
            client: Who sends it.

        Raises:
            RefusedError: There is no room, or the service stops.
        """
        self.refuse_if_draining()
        self.rate.count(client)
        check_room(self.unfinished(), client, 0.0, self.bounds, self._speed)
        own = self.uploads.count(client)
        if len(self.uploads) >= self.bounds.uploads or own >= self.bounds.client_uploads:
            raise RefusedError(429, "uploads", "Too many recordings are being received at once; try again soon.", 5)
        if shutil.disk_usage(self.folder).free < self.bounds.free_bytes:
            raise RefusedError(503, "disk", "The service has no room for recordings; try again later.", 60)
        number = next(self._numbers)
        folder = self.folder / str(number)
        folder.mkdir(mode=0o700)
        self.uploads.append(client)
        try:
            yield number, folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self.uploads.remove(client)

    def new_number(self) -> int:
        """A number for a stream."""
        return next(self._numbers)

    def refuse_if_draining(self) -> None:
        """Refuse new work where the service is about to stop.

        Raises:
            RefusedError: 503.
        """
        if self.draining:
            raise RefusedError(503, "stopping", "The service is stopping; send it again soon.", 10)

    def submit(self, number: int, client: str, folder: Path, seconds: float, order: Order) -> Job:
        """Take a job.

        Raises:
            RefusedError: There is no room, or the service stops.
        """
        self.refuse_if_draining()
        check_room(self.unfinished(), client, seconds, self.bounds, self._speed)
        job = Job(number, client, folder, seconds, order)
        self.jobs[job.id] = job
        self._queue.add(job)
        _log.info("job accepted", extra={"facts": {"job": number, "seconds": round(seconds, 3)}})
        self._dispatch()
        return job

    def find(self, id_: str) -> Job:
        """Return a job, which counts as asked for.

        Raises:
            RefusedError: 404.
        """
        job = self.jobs.get(id_)
        if job is None:
            raise RefusedError(404, "job", "There is no such job, or its results were deleted.")
        job.asked = self.asked = time.monotonic()
        return job

    def ahead_of(self, job: Job) -> float:
        """Seconds of audio that are separated before a job."""
        if job.state != "waiting":
            return 0.0
        return sum(other.left for other in self.running.values()) + self._queue.ahead_of(job)

    def estimate(self, job: Job) -> float | None:
        """Seconds until a job is done; None if it is over."""
        if job.ended is not None:
            return None
        beside = sum(min(other.left, job.left) for other in self.running.values() if other is not job)
        return (self.ahead_of(job) + (beside if job.state == "running" else 0.0) + job.left) / self._speed

    def cancel(self, job: Job) -> None:
        """End a job of which nobody wants to know."""
        if job.state == "waiting":
            self._queue.remove(job)
        elif job.state == "running":
            self.engine.send("cancel", job.number)
            self.running.pop(job.number)
        self._over(job, "cancelled", "The job was cancelled, as nobody waited for it.")
        self._dispatch()

    def forget(self, job: Job) -> None:
        """Delete a job and all that is of it."""
        if job.ended is None:
            self.cancel(job)
        self.jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def received(self, message: Any) -> None:
        """Do what a message of the model process asks for."""
        match message:
            case ("ready", _):
                self._dispatch()
            case ("estimates" | "broken" as kind, number, what):
                if number in self.streams:
                    self.streams[number].put_nowait((kind, what))
            case ("progress", number, part):
                if number in self.running:
                    self.running[number].progress = part
            case ("done" | "failed" as kind, number, what):
                job = self.running.pop(number, None)
                if job is None:  # was cancelled; what it wrote meanwhile
                    shutil.rmtree(self.folder / str(number), ignore_errors=True)
                elif kind == "done":
                    self._done(job, what)
                else:
                    self._over(job, "failed", what)
                self._dispatch()

    def engine_died(self) -> None:
        """Have what ran done again, once, and end the streams."""
        self.metrics.deaths.inc()
        for stream in self.streams.values():
            stream.put_nowait(("lost", "The model process ended and is started again; begin another stream."))
        running, self.running = self.running, {}
        for job in running.values():
            if job.attempts > 1:
                self._over(job, "failed", "The model process ended twice while it separated this recording.")
            else:
                job.state, job.progress = "waiting", 0.0
                self._queue.add(job, first=True)

    def stop_waiting(self) -> None:
        """Take nothing new; refuse in words what waits, and end the streams."""
        self.draining = True
        for stream in self.streams.values():
            stream.put_nowait(("stop", "The service is stopping."))
        for job in list(self._queue):
            self._queue.remove(job)
            self._over(job, "failed", "The service is stopping; send it again.")

    def stop_running(self) -> None:
        """Refuse in words what still runs."""
        for job in self.running.values():
            self._over(job, "failed", "The service had to stop before this was done; send it again.")
        self.running.clear()

    def _dispatch(self) -> None:
        """Hand as many jobs to the model process as take turns; one during which it ended before runs alone."""
        while self.engine.ready and len(self.running) < self.bounds.taking_turns:
            again = any(job.attempts for job in self._queue)
            if self.running and (again or any(job.attempts > 1 for job in self.running.values())):
                return
            job = self._queue.take({running.client for running in self.running.values()})
            if job is None:
                return
            job.state, job.attempts = "running", job.attempts + 1
            self.running[job.number] = job
            self.engine.heard = time.monotonic()
            self.engine.send("separate", job.number, job.folder, job.order)

    def _done(self, job: Job, results: dict[str, Any]) -> None:
        job.tracks, job.timeline, job.progress = results["tracks"], results["timeline"], 1.0
        files = [*job.folder.iterdir(), *(Path(track).with_suffix(kind) for track in job.tracks for kind in PICTURES)]
        job.files = {file.name: MEDIA_TYPES[file.suffix] for file in files if file.suffix in MEDIA_TYPES}
        took = time.monotonic() - job.made
        self.metrics.latency.observe(took)
        self.metrics.audio.inc(job.seconds)
        if results["took"] > 0:
            self._speed = SPEED_MEMORY * self._speed + (1 - SPEED_MEMORY) * job.seconds / results["took"]
        self._over(job, "done", None)

    def _over(self, job: Job, state: str, error: str | None) -> None:
        job.end(state, error)
        if state != "done":
            shutil.rmtree(job.folder, ignore_errors=True)
        self.metrics.jobs.labels(state).inc()
        took = round(time.monotonic() - job.made, 3)
        _log.info("job over", extra={"facts": {"job": job.number, "state": state, "took": took}})
