"""What becomes of jobs when the model process dies, clients go, or the service stops; a stand-in is the process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from convtasnet_lit.serving import upkeep
from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.engine import Engine
from convtasnet_lit.serving.jobs import Job, Order
from convtasnet_lit.serving.live_streams import check_stream
from convtasnet_lit.serving.refusal import RefusedError
from convtasnet_lit.serving.service import Service

ORDER = Order("least_squares", "wav", "PCM_16", False)
BOUNDS = Bounds(free_bytes=1.0)


class Process:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.ready, self.heard, self.told, self.killed = True, time.monotonic(), list[Any](), 0
        self.facts = SimpleNamespace(speed=2.0, causal=True, stream_load=0.3)

    def send(self, *message: Any) -> None:
        self.told.append(message[:2])

    def kill(self) -> None:
        self.killed += 1


class Here(Service):
    """A service with a stand-in for its process."""

    def __init__(self, folder: Path, bounds: Bounds = BOUNDS) -> None:
        self.process = Process()
        super().__init__(cast(Engine, self.process), folder, bounds)

    def accept(self, client: str = "one", seconds: float = 10.0) -> Job:
        with self.place(client) as (number, folder):
            (folder / "mixture.wav").write_bytes(b"")
            return self.submit(number, client, folder, seconds, ORDER)

    def finish(self, job: Job) -> None:
        self.received(("done", job.number, {"tracks": ["mixture.wav"], "timeline": None, "took": 5.0}))

    def die_and_come_back(self) -> None:
        self.process.ready = False
        self.engine_died()
        self.process.ready = True
        self.received(("ready", self.process.facts))

    @property
    def started(self) -> list[int]:
        return [message[1] for message in self.process.told if message[0] == "separate"]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(cast(Any, test()))


def test_a_job_is_done_again_once_when_the_process_dies_and_then_fails_in_words(tmp_path: Path) -> None:
    service = Here(tmp_path)
    job = service.accept()
    assert job.state == "running"
    service.process.ready = False
    service.engine_died()
    assert (service.is_ready, job.state) == (False, "waiting")
    service.process.ready = True
    service.received(("ready", service.process.facts))
    assert (job.state, service.started) == ("running", [1, 1])
    service.die_and_come_back()
    assert (job.state, job.error) == ("failed", "The model process ended twice while it separated this recording.")
    assert not job.folder.exists()


def test_a_recording_that_kills_the_process_takes_no_other_with_it(tmp_path: Path) -> None:
    service = Here(tmp_path)
    deadly, innocent = service.accept("evil"), service.accept("one")
    assert service.started == [1, 2]
    service.die_and_come_back()
    alone = service.started[2:]
    assert len(alone) == 1  # the other waits
    for _ in range(4):
        running = list(service.running.values())
        if running == [deadly]:
            service.die_and_come_back()
        elif running:
            service.finish(running[0])
    assert (deadly.state, innocent.state) == ("failed", "done")


def test_of_each_client_one_runs_and_the_next_starts_when_it_is_over(tmp_path: Path) -> None:
    service = Here(tmp_path)
    first, second = service.accept("one", 3600.0), service.accept("two", 10.0)
    with pytest.raises(RefusedError, match="you have 3600 s of audio waiting"):
        service.accept("one", 10.0)
    third = service.accept("two", 20.0)
    assert [job.state for job in (first, second, third)] == ["running", "running", "waiting"]
    assert service.ahead_of(third) == 3610.0
    assert service.estimate(third) == 3630.0 / 2.0
    service.finish(second)
    assert third.state == "running"
    service.received(("progress", first.number, 0.5))
    assert service.estimate(first) == (1800.0 + 20.0) / 2.0  # at the speed of one, as both took 2 s a second
    assert [job.number for job in service.unfinished()] == [first.number, third.number]


def test_a_job_of_which_nobody_asks_is_cancelled_and_old_results_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = asyncio.sleep
    monkeypatch.setattr(upkeep.asyncio, "sleep", lambda _: wait(0.01))
    service = Here(tmp_path, replace(BOUNDS, asked_time=0.5, kept_time=1.0, stalled_time=0.2))

    async def test() -> None:
        kept, forgotten = service.accept("one"), service.accept("two")
        sweeping = asyncio.ensure_future(upkeep.sweep(service))
        while forgotten.state == "running":
            service.find(kept.id)
            await wait(0.01)
        assert (kept.state, forgotten.state) == ("running", "cancelled")
        assert ("cancel", forgotten.number) in service.process.told
        assert not forgotten.folder.exists()
        assert service.process.killed > 0  # it said nothing for longer than it may
        service.received(("failed", forgotten.number, "cancelled"))  # comes late, and changes nothing
        assert forgotten.state == "cancelled"
        service.finish(kept)
        while service.jobs:
            await wait(0.01)
        sweeping.cancel()

    run(test)
    assert list(tmp_path.iterdir()) == []


def test_stopping_finishes_what_runs_and_refuses_the_rest_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FETCHING_SECONDS", 0.2)
    service = Here(tmp_path)
    runs, waits = service.accept("one"), service.accept("one")

    async def test() -> None:
        draining = asyncio.ensure_future(upkeep.drain(service))
        await asyncio.sleep(0.05)
        assert (waits.state, waits.error) == ("failed", "The service is stopping; send it again.")
        assert (runs.state, service.is_ready, draining.done()) == ("running", False, False)
        with pytest.raises(RefusedError, match="The service is stopping") as refused:
            service.accept("two")
        assert refused.value.status == 503
        service.finish(runs)
        await draining

    run(test)
    assert runs.state == "done"
    assert (runs.folder / "mixture.wav").exists()  # until the folder of all goes


def test_what_runs_too_long_for_an_end_is_refused_in_words(tmp_path: Path) -> None:
    service = Here(tmp_path, replace(BOUNDS, drain_time=0.2))
    runs = service.accept()
    run(lambda: upkeep.drain(service))
    assert (runs.state, runs.error) == (
        "failed",
        "The service had to stop before this was done; send it again.",
    )


@pytest.mark.parametrize(
    ("bounds", "status", "words"),
    [
        ({"submissions": 1.0}, 429, "You begin too often: 1 times a minute"),
        ({"uploads": 1.0}, 429, "Too many recordings are being received"),
        ({"client_uploads": 1.0}, 429, "Too many recordings are being received"),
        ({"free_bytes": 1e30}, 503, "no room for recordings"),
        ({"queue_seconds": 5.0}, 429, "The queue is full"),
    ],
)
def test_no_place_is_given_beyond_the_bounds(tmp_path: Path, bounds: dict[str, float], status: int, words: str) -> None:
    service = Here(tmp_path, replace(BOUNDS, **bounds))

    def accept_two() -> None:
        with service.place("one"):
            service.accept()
            service.accept()

    with pytest.raises(RefusedError, match=words) as refused:
        accept_two()
    assert refused.value.status == status
    assert not [path for path in tmp_path.iterdir() if not any(path.iterdir())]


def test_no_more_streams_are_taken_than_can_be_held_in_real_time(tmp_path: Path) -> None:
    service = Here(tmp_path)  # a stream takes 0.3 of a core, and all may take 0.7
    for number in range(2):
        check_stream(service, "one")
        service.streams[number] = asyncio.Queue()
    with pytest.raises(RefusedError, match="no more than 2 streams in real time") as refused:
        check_stream(service, "one")
    assert refused.value.status == 429
    service.process.facts.causal = False
    with pytest.raises(RefusedError, match="not causal"):
        check_stream(service, "one")
