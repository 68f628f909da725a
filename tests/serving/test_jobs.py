"""Whose turn it is, and for how much there is room."""

from pathlib import Path

import pytest

from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.jobs import Job, Order, Queue, check_room
from convtasnet_lit.serving.refusal import RefusedError

ORDER = Order("least_squares", "wav", "PCM_16", False)


def job(client: str, seconds: float = 10.0, number: int = 0) -> Job:
    return Job(number, client, Path("nowhere"), seconds, ORDER)


def test_clients_take_turns_and_keep_their_own_order() -> None:
    queue = Queue()
    jobs = [job("many", number=number) for number in range(3)] + [job("one", number=10), job("two", number=20)]
    for each in jobs:
        queue.add(each)
    listed = [each.number for each in queue]
    assert listed == [0, 10, 20, 1, 2]
    taken = [queue.take(set()) for _ in jobs]
    assert [each.number for each in taken if each] == listed
    assert queue.take(set()) is None


def test_who_has_one_running_waits_and_who_was_taken_before_comes_first() -> None:
    queue = Queue()
    first, second, again = job("many"), job("one"), job("two")
    for each in (first, second):
        queue.add(each)
    assert queue.take({"many"}) is second
    queue.add(again, first=True)
    assert [*queue] == [again, first]


def test_what_is_ahead_is_what_is_taken_before() -> None:
    queue = Queue()
    long, next_, short = job("many", 3600.0), job("many", 60.0), job("one", 10.0)
    for each in (long, next_, short):
        queue.add(each)
    assert [queue.ahead_of(each) for each in (long, short, next_)] == [0.0, 3600.0, 3610.0]
    queue.remove(long)
    assert queue.ahead_of(short) == 60.0


@pytest.mark.parametrize(
    ("client", "seconds", "allowed"), [("one", 40, True), ("one", 41, False), ("two", 60, True), ("two", 61, False)]
)
def test_room_is_counted_in_seconds_of_audio_for_all_and_for_each(client: str, seconds: float, allowed: bool) -> None:
    there = [job("one", 20.0), job("three", 40.0)]
    there[1].progress = 0.5  # half of it is done
    bounds = Bounds(queue_seconds=100.0, client_seconds=60.0)
    if allowed:
        check_room(there, client, seconds, bounds, 2.0)
    else:
        with pytest.raises(
            RefusedError, match=r"The queue is full: (you have|the service has) .* may wait\."
        ) as refused:
            check_room(there, client, seconds, bounds, 2.0)
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")  # a second at twice the speed
