"""What files, folders and patterns on a command line stand for."""

from pathlib import Path

import pytest

from convtasnet_lit.inference.inputs import find_inputs


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.wav", "b.FLAC", "notes.txt", "calls/c.mp3", "calls/late/d.ogg", "calls/.hidden.wav", "[1].wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*names: str, out: Path | None = None) -> dict[str, str]:
    inputs, problems = find_inputs(names, out)
    assert not problems
    return {item.path.as_posix(): item.folder.as_posix() for item in inputs}


def test_results_lie_beside_each_recording_by_default(tree: Path) -> None:
    assert found("in") == {
        "in/[1].wav": "in",
        "in/a.wav": "in",
        "in/b.FLAC": "in",
        "in/calls/c.mp3": "in/calls",
        "in/calls/late/d.ogg": "in/calls/late",
    }
    assert found("in/notes.txt") == {"in/notes.txt": "in"}  # named, it is tried


def test_results_of_a_folder_keep_their_places_below_another(tree: Path) -> None:
    placed = found("in/calls", "in/a.wav", out=Path("out"))
    assert placed == {"in/calls/c.mp3": "out", "in/calls/late/d.ogg": "out/late", "in/a.wav": "out"}


def test_patterns_are_resolved_also_where_the_shell_does_not(tree: Path) -> None:
    assert list(found("in/*.wav")) == ["in/[1].wav", "in/a.wav"]
    assert list(found("in/**/*.ogg", str(tree / "in" / "c*" / "*.mp3"))) == [
        "in/calls/late/d.ogg",
        f"{tree}/in/calls/c.mp3",
    ]
    assert list(found("in/[1].wav")) == ["in/[1].wav"]  # a name that looks like a pattern


def test_results_of_an_earlier_call_are_no_recordings(tree: Path) -> None:
    before = found("in")
    for name in ("a_speaker1.wav", "a_speaker2.wav", "interview_speaker1.wav"):
        (tree / "in" / name).touch()
    assert set(found("in")) - set(before) == {"in/interview_speaker1.wav"}  # of no recording here
    assert "in/a_speaker1.wav" in found("in/a_speaker1.wav")


def test_results_in_another_format_are_no_recordings_either(tree: Path) -> None:
    (tree / "in" / "calls" / "c_speaker1.wav").touch()  # of c.mp3, which may hold what can only be read
    assert "in/calls/c_speaker1.wav" not in found("in")


def test_results_below_the_input_are_no_recordings(tree: Path) -> None:
    (tree / "in" / "apart").mkdir()
    (tree / "in" / "apart" / "a_speaker1.wav").touch()
    (tree / "in" / "a_speaker2.wav").touch()
    assert not [name for name in found("in", out=Path("in/apart")) if "_speaker" in name]
    assert not [name for name in found("in/*.wav") if "_speaker" in name]
    assert "in/apart/a_speaker1.wav" in found("in", out=Path("elsewhere"))  # who knows whose it is


def test_recordings_that_differ_in_their_format_alone_have_results_of_their_own(tree: Path) -> None:
    (tree / "in" / "a.flac").touch()
    assert set(found("in/a.wav", "in/a.flac")) == {"in/a.wav", "in/a.flac"}


def test_no_recording_is_replaced_by_the_result_of_another(tree: Path) -> None:
    (tree / "in" / "a_speaker1.wav").touch()
    inputs, problems = find_inputs(["in/a.wav", "in/a_speaker1.wav"], None)
    assert [item.path.name for item in inputs] == ["a_speaker1.wav"]
    assert problems == ["in/a.wav: left out, as its results would replace in/a_speaker1.wav"]


def test_the_same_recording_twice_is_separated_once(tree: Path) -> None:
    assert list(found("in/a.wav", "./in/a.wav", "in/a.*")) == ["in/a.wav"]


def test_what_is_not_there_is_named(tree: Path) -> None:
    (tree / "empty").mkdir()
    (tree / "other").mkdir()
    (tree / "other" / "a.wav").touch()
    inputs, problems = find_inputs(["none.wav", "no*.wav", "", "empty", "in/a.wav", "other/a.wav"], Path("out"))
    assert [item.path.name for item in inputs] == ["a.wav"]
    assert problems == [
        "none.wav: there is no such file",
        "no*.wav: there is no such file",
        "'': there is no such file",
        "empty: holds no recordings",
        "other/a.wav: left out, as its results would replace those of in/a.wav",
    ]
