import shutil

import pytest

from convtasnet_lit.corpus.aishell3 import scan
from convtasnet_lit.errors import InputError
from tests.corpus.trees import speaker_name, write_aishell3


@pytest.fixture
def tree(tmp_path):
    return write_aishell3(tmp_path / "corpus", train=2, test=2, shared=1, utterances=2, seconds=0.05)


def facts(recordings, root):
    return [(r.path.relative_to(root).as_posix(), r.utterance, r.speaker, r.gender, r.part) for r in recordings]


def test_speaker_gender_and_part_of_each_file(tree):
    recordings = scan(tree)
    assert len(recordings) == 2 * 2 + 3 * 2
    assert facts(recordings, tree)[:3] == [
        ("train/wav/SSB0005/SSB00050001.wav", "SSB00050001", "SSB0005", "female", "train"),
        ("train/wav/SSB0005/SSB00050002.wav", "SSB00050002", "SSB0005", "female", "train"),
        ("train/wav/SSB0012/SSB00120001.wav", "SSB00120001", "SSB0012", "male", "train"),
    ]
    assert {r.speaker for r in recordings if r.part == "test"} == {"SSB0005", "SSB0019", "SSB0026"}
    assert not any(r.problem for r in recordings)


def test_the_top_folder_makes_no_difference(tree, tmp_path):
    with_top = write_aishell3(tmp_path / "top", train=2, test=2, shared=1, utterances=2, seconds=0.05, top_folder=True)
    expected = facts(scan(tree), tree)
    assert facts(scan(with_top), with_top / "data_aishell3") == expected
    assert facts(scan(with_top / "data_aishell3"), with_top / "data_aishell3") == expected


def test_hidden_files_and_other_files_are_no_recordings(tree):
    folder = tree / "train/wav/SSB0005"
    before = len(scan(tree))
    (folder / "._SSB00050001.wav").write_bytes(b"macOS")
    (folder / "notes.txt").write_text("no sound")
    (tree / "train/wav/.DS_Store").write_bytes(b"")
    (folder / "SSB00050001.wav").rename(folder / "SSB00050001.WAV")
    assert len(scan(tree)) == before


def test_a_file_in_another_speakers_folder_is_mislabelled(tree):
    shutil.copy(tree / "train/wav/SSB0005/SSB00050001.wav", tree / "train/wav/SSB0012/SSB00050009.wav")
    shutil.copy(tree / "train/wav/SSB0005/SSB00050001.wav", tree / "train/wav/SSB00050010.wav")
    problems = {r.utterance: r.problem for r in scan(tree) if r.problem}
    assert problems == {
        "SSB00050009": "mislabelled: its name says speaker SSB0005, its folder SSB0012",
        "SSB00050010": "mislabelled: its name says speaker SSB0005, its folder wav",
    }


def test_names_stay_unique_where_train_and_test_share_one(tree):
    shutil.copy(tree / "train/wav/SSB0005/SSB00050001.wav", tree / "test/wav/SSB0005/SSB00050001.wav")
    names = [r.utterance for r in scan(tree)]
    assert len(set(names)) == len(names)
    assert {"train/SSB0005/SSB00050001", "test/SSB0005/SSB00050001"} < set(names)


def test_without_the_speaker_table_genders_are_unknown(tree):
    (tree / "spk-info.txt").write_text("# only\nSSB0005\tB\tfemale\tnorth\nSSB0012\nSSB0019\tB\tother\tnorth\n")
    assert {r.speaker: r.gender for r in scan(tree)} == {
        "SSB0005": "female",
        **{speaker_name(n): "unknown" for n in (1, 2, 3)},
    }
    (tree / "spk-info.txt").unlink()
    assert {r.gender for r in scan(tree)} == {"unknown"}


def test_a_table_with_a_byte_order_mark_and_spaces_is_read(tree):
    (tree / "spk-info.txt").write_text("\ufeffSSB0005  B  male  north\r\n", encoding="utf-8")
    assert {r.gender for r in scan(tree) if r.speaker == "SSB0005"} == {"male"}


def test_what_is_not_the_corpus_is_refused_by_name(tree, tmp_path):
    shutil.rmtree(tree / "test")
    for root in (tree, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"data\.root: .* test/wav .*data\.download=true") as refusal:
            scan(root)
        assert str(root) in str(refusal.value)
    (tree / "test/wav").mkdir(parents=True)
    shutil.rmtree(tree / "train/wav")
    (tree / "train/wav").mkdir()
    with pytest.raises(InputError, match="no WAV file"):
        scan(tree)
