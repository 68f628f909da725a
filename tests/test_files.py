"""Files and folders appear whole, whoever else writes them and whoever is killed meanwhile."""

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import built_whole, find_audio, held, written_whole


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    with written_whole(file) as first:
        first.write_text("first")
        with written_whole(file) as second:
            assert first != second
            second.write_text("second")
        assert file.read_text() == "second"
    assert file.read_text() == "first"
    assert everything(tmp_path) == ["curves.csv"]


def test_a_builder_leaves_its_siblings_work_alone(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    with built_whole(folder) as slow:
        (slow / "half").write_text("mine")
        with built_whole(folder) as fast:
            (fast / "whole").write_text("theirs")
        assert (slow / "half").read_text() == "mine"
    assert everything(tmp_path) == ["corpus", "corpus/whole"]


def test_what_fails_leaves_the_former_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("old")
    with suppress(ZeroDivisionError), written_whole(tmp_path / "a") as partial:
        partial.write_text(f"new {1 // 0}")
    with suppress(ZeroDivisionError), built_whole(tmp_path / "b", replace=True) as building:
        (building / "new").write_text("new")
        (building / "more").write_text(f"new {1 // 0}")
    assert everything(tmp_path) == ["a", "b", "b/old"]
    assert (tmp_path / "a").read_text() == "old"


def write_and_wait(folder: Path) -> None:
    with written_whole(folder / "file") as file, built_whole(folder / "folder") as building:
        file.write_text("half")
        (building / "half").write_text("half")
        time.sleep(60)


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=write_and_wait, args=(tmp_path,))
    process.start()
    while not list(tmp_path.rglob("half")):
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(list(tmp_path.iterdir())) == 2
    with written_whole(tmp_path / "file") as file, built_whole(tmp_path / "folder") as building:
        assert not file.read_text()
        file.write_text("whole")
        (building / "whole").write_text("whole")
    assert everything(tmp_path) == ["file", "folder", "folder/whole"]


def test_planted_links_are_not_written_through(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "file"
    victim.write_text("precious")
    with written_whole(file) as partial:
        place = partial
    file.unlink()
    place.symlink_to(victim)
    place.with_name(place.name.replace("-0.", "-1.")).hardlink_to(victim)
    with written_whole(file) as partial:
        partial.write_text("new")
    assert (victim.read_text(), file.read_text()) == ("precious", "new")


def test_the_longest_names_and_the_usual_permissions(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 255)
    before = os.umask(0o027)
    try:
        with written_whole(file) as partial:
            partial.write_text("all")
        with built_whole(tmp_path / "folder") as building:
            (building / "x").write_text("all")
    finally:
        os.umask(before)
    assert (file.stat().st_mode & 0o777, (tmp_path / "folder").stat().st_mode & 0o777) == (0o640, 0o750)


def test_folders_with_links_to_each_other_are_looked_into_once(tmp_path: Path) -> None:
    names = [*"abcdef"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wav").touch()
        for other in names:
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    found = find_audio(tmp_path, {".wav"})
    assert sorted(path.relative_to(tmp_path).as_posix() for path in found) == [f"{n}/x.wav" for n in names] + [
        "loop.wav"
    ]
    assert len(find_audio(tmp_path / "a", {".wav"})) == len(names)  # also where all others are behind links


def hold_and_wait(folder: Path) -> None:
    with held(folder):
        (folder / "held").touch()
        time.sleep(60)


def test_a_folder_is_held_by_one_process_until_it_ends_or_is_killed(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=hold_and_wait, args=(tmp_path,))
    process.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.05)
    with pytest.raises(InputError, match="another process is at work in it"), held(tmp_path):
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert everything(tmp_path) == [".lock", "held"]
    with held(tmp_path):
        pass
    assert everything(tmp_path) == ["held"]
