"""Who speaks when: made voices, whose turns are known, are found again."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from convtasnet_lit.inference.timeline import FRAME_SECONDS, find_turns, track_turns, write_timeline

Turns = list[tuple[float, float]]
FIRST: Turns = [(0.5, 2.0), (3.0, 4.23), (7.0, 7.5)]
SECOND: Turns = [(1.5, 3.5), (5.011, 6.0)]


def voice(turns: Turns, rate: int, seconds: float = 8.0, seed: int = 0) -> np.ndarray:
    """Noise in syllables of 0.2 s that swell and fade by 20 dB, in the given turns."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.05, len(time))
    spoken = sum(((begin <= time) & (time < end)).astype(float) for begin, end in turns)
    return noise * spoken * 10 ** (-(np.sin(np.pi * time / 0.2) ** 2))


def write(folder: Path, rate: int, *tracks: np.ndarray) -> list[Path]:
    files = [folder / f"talk_speaker{number}.wav" for number in range(1, len(tracks) + 1)]
    for file, track in zip(files, tracks, strict=True):
        soundfile.write(file, track, rate)
    return files


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
@pytest.mark.parametrize("leak_db", [-60, -15])
def test_turns_are_found_to_three_frames_at_any_rate(rate: int, leak_db: int, tmp_path: Path) -> None:
    first, second = voice(FIRST, rate), voice(SECOND, rate, seed=1)
    leak = 10 ** (leak_db / 20)
    found = track_turns(write(tmp_path, rate, first + leak * second, second + leak * first))
    for turns, truth in zip(found, (FIRST, SECOND), strict=True):
        assert len(turns) == len(truth)
        np.testing.assert_allclose(turns, truth, atol=3 * FRAME_SECONDS)


@pytest.mark.parametrize("gain_db", [-40, 20])
def test_neither_the_level_nor_long_silence_change_the_turns(gain_db: int) -> None:
    energies = np.square(np.stack([voice(FIRST, 8000), voice(SECOND, 8000, seed=1)])).reshape(2, -1, 160).mean(2)
    expected = find_turns(energies)
    assert [len(turns) for turns in expected] == [3, 2]
    quiet = np.pad(energies, ((0, 0), (0, 100_000)))
    assert find_turns(10 ** (gain_db / 10) * quiet) == expected


def test_what_leaks_from_a_lone_speaker_is_no_second_one(tmp_path: Path) -> None:
    alone = voice(FIRST, 8000)
    turns, none = track_turns(write(tmp_path, 8000, alone, 0.2 * alone))
    assert (len(turns), none) == (3, [])
    assert [len(turns) for turns in track_turns(write(tmp_path, 8000, alone))] == [3]


@pytest.mark.parametrize("level_db", [-np.inf, -100])
def test_nobody_speaks_in_silence(level_db: float, tmp_path: Path) -> None:
    noise = 10 ** (level_db / 20) * np.random.default_rng(0).normal(size=(2, 8000))
    assert find_turns(np.square(noise).reshape(2, -1, 160).mean(2)) == [[], []]


def test_a_recording_shorter_than_a_frame_holds_nobody(tmp_path: Path) -> None:
    assert track_turns(write(tmp_path, 8000, np.full(100, 0.1), np.zeros(100))) == [[], []]


@pytest.mark.parametrize("frames", range(6))
def test_a_recording_of_a_few_frames_is_one_turn_if_a_turn_can_be_so_short(frames: int) -> None:
    energies = np.full((2, frames), 0.01)
    assert find_turns(energies) == [[], []]
    turns = [(0, frames)] if frames else []
    assert find_turns(energies, frame_seconds=0.5) == [turns, turns]


def test_short_breaks_are_bridged_and_short_sounds_left_out() -> None:
    frames = np.zeros((1, 300))
    for begin, end in ((20, 60), (70, 100), (120, 160), (200, 205)):  # breaks of 10, 20, 40 frames; a sound of 5
        frames[0, begin:end] = 0.01
    assert find_turns(frames) == [[(20, 100), (120, 160)]]


def test_a_turn_goes_on_where_it_is_soft_but_does_not_begin_there() -> None:
    frames = np.zeros((1, 300))
    frames[0, 20:60], frames[0, 60:90], frames[0, 150:200] = 1e-2, 3e-5, 3e-5  # 25 dB under
    assert find_turns(frames) == [[(20, 90)]]


def test_a_timeline_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    files = write(tmp_path, 8000, voice(FIRST, 8000), voice(SECOND, 8000))
    (tmp_path / "talk.wav.rttm").mkdir()
    with pytest.raises(ValueError, match=r"talk\.wav\.rttm: cannot be written: "):
        write_timeline(tmp_path / "talk.wav", files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.wav.rttm", *(file.name for file in files)]
