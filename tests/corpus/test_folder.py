import os

import pytest
import soundfile

from convtasnet_lit.corpus.folder import scan
from convtasnet_lit.errors import InputError
from tests.corpus.trees import bursts


def write(path, sample_rate=16_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, bursts(0.1, 1, sample_rate), sample_rate)
    return path


def test_one_folder_a_speaker_in_four_formats(tmp_path):
    for name in ("p225/a.wav", "p225/deep/er/b.flac", "p226/c.ogg", "p226/d.MP3", "p226/notes.txt", "p226/.e.wav"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no sound")
        else:
            write(tmp_path / name)
    found = [(r.utterance, r.speaker, r.gender, r.part, r.problem) for r in scan(tmp_path, 1)]
    assert found == [
        ("p225/a", "p225", "unknown", "", ""),
        ("p225/deep/er/b", "p225", "unknown", "", ""),
        ("p226/c", "p226", "unknown", "", ""),
        ("p226/d", "p226", "unknown", "", ""),
    ]


def test_librispeech_has_its_speakers_at_depth_2(tmp_path):
    write(tmp_path / "train-clean-100/19/198/19-198-0001.flac")
    write(tmp_path / "dev-clean/84/121123/84-121123-0000.flac")
    recordings = scan(tmp_path, 2)
    assert [r.speaker for r in recordings] == ["84", "19"]
    assert recordings[1].utterance == "train-clean-100/19/198/19-198-0001"


def test_a_file_too_high_up_is_a_problem(tmp_path):
    write(tmp_path / "a/stray.wav")
    write(tmp_path / "a/19/x.wav")
    problems = {r.utterance: r.problem for r in scan(tmp_path, 2)}
    assert problems["a/19/x"] == ""
    assert problems["a/stray"] == "no speaker: it lies 1 folders below data.root, data.speaker_depth is 2"


def test_genders_come_from_the_table(tmp_path):
    for speaker in ("19", "p2", "p3", "p4"):
        write(tmp_path / speaker / "x.wav")
    (tmp_path / "speakers.csv").write_text(
        "\ufeffspeaker,age,gender\n19,20,F\np2,30, male\np3,30,?\n", encoding="utf-8"
    )
    assert {r.speaker: r.gender for r in scan(tmp_path, 1)} == {
        "19": "female",
        "p2": "male",
        "p3": "unknown",
        "p4": "unknown",
    }
    (tmp_path / "speakers.csv").write_text("speaker;gender\n19;F\n")
    with pytest.raises(InputError, match=r"speakers\.csv: the column gender and speaker is missing"):
        scan(tmp_path, 1)


def test_one_name_in_two_formats_is_two_utterances(tmp_path):
    write(tmp_path / "s/x.wav")
    write(tmp_path / "s/x.flac")
    assert [r.utterance for r in scan(tmp_path, 1)] == ["s/x.flac", "s/x.wav"]


def test_links_to_folders_are_followed_but_never_round_in_circles(tmp_path):
    write(tmp_path / "elsewhere/x.wav")
    (tmp_path / "root/s").mkdir(parents=True)
    (tmp_path / "root/s/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    assert [r.utterance for r in scan(tmp_path / "root", 1)] == ["linked/x"]


def test_names_that_are_not_utf8_become_printable(tmp_path):
    folder = tmp_path / os.fsdecode("广州".encode("gbk"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    write(tmp_path / "x.wav").rename(folder / "x.wav")
    (recording,) = scan(tmp_path, 1)
    assert recording.speaker == r"\xb9\xe3\xd6\xdd"
    assert recording.path.stat().st_size > 0


def test_no_audio_is_an_error(tmp_path):
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"data\.root: there is no \.wav, \.flac, \.ogg, \.mp3 file"):
            scan(root, 1)
