"""Small parts that keep the service safe."""

import fcntl
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from convtasnet_lit.errors import InputError
from convtasnet_lit.serving.bounds import changed
from convtasnet_lit.serving.clients import Rate
from convtasnet_lit.serving.defences import is_known_host
from convtasnet_lit.serving.private import PREFIX, private_folder
from convtasnet_lit.serving.refusal import RefusedError
from convtasnet_lit.serving.turns import Turns


def test_the_folder_is_private_and_gone_at_the_end_and_what_a_killed_service_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, in_use, other = (tmp_path / f"{PREFIX}{name}" for name in ("left", "in-use", "other"))
    for folder in (left, in_use):
        folder.mkdir()
        (folder / "lock").touch()
    other.symlink_to(tmp_path)
    handle = os.open(in_use / "lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert sorted(tmp_path.iterdir()) == sorted([folder, in_use, other])
        (folder / "file").touch()
    assert sorted(tmp_path.iterdir()) == sorted([in_use, other])
    os.close(handle)


def test_each_client_may_begin_so_often_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    rate = Rate(60.0)
    for _ in range(60):
        rate.count("one")
    with pytest.raises(RefusedError, match="60 times a minute") as refused:
        rate.count("one")
    assert refused.value.headers == {"Retry-After": "1"}
    rate.count("two")
    now += 1.0
    rate.count("one")
    with pytest.raises(RefusedError):
        rate.count("one")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("192.0.2.1:80", True),
        ("Voices.example.org", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_hosts(host: str, known: bool) -> None:
    assert is_known_host(host, ["voices.example.org"]) is known


@pytest.mark.parametrize("setting", ["length=3", "seconds", "seconds=long", "seconds=0", "seconds=nan", "seconds=inf"])
def test_a_bound_that_is_none_is_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"--limit: {setting}"):
        changed([setting])


def test_threads_take_turns_in_the_order_in_which_they_came() -> None:
    turns, order, inside = Turns(), list[str](), list[str]()

    def work(name: str) -> None:
        with turns.taken():
            for _ in range(3):
                inside.append(name)
                order.append(name)
                assert len(inside) == 1
                inside.pop()
                turns.pass_on()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    with turns.taken():
        for number, thread in enumerate(threads, start=2):
            thread.start()
            while len(turns._line) < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list("abc" * 3)
