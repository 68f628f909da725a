"""The demo corpus: its layout, its trap, and that the same bytes come out of every run."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convtasnet_lit.corpus import demo
from convtasnet_lit.corpus.aishell3 import write_tables
from convtasnet_lit.corpus.demo import SPEAKERS, build_demo, speak
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import built_whole

FEW = SPEAKERS[:4] + SPEAKERS[16:18]
UTTERANCES = 4


def sentences() -> list[str]:
    return Path(demo.__file__).with_name("demo_sentences.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader")
    root = tmp_path_factory.mktemp("demo")
    demo._write_corpus(root, FEW, UTTERANCES)
    return root


def names(root: Path, part: str) -> list[str]:
    return sorted(path.name for path in (root / part / "wav").rglob("*.wav"))


def people(root: Path, part: str) -> set[str]:
    return {name[:7] for name in names(root, part)}


def test_speakers_are_balanced_and_each_has_an_own_voice() -> None:
    assert Counter((speaker.part, speaker.gender) for speaker in SPEAKERS) == {
        ("train", "female"): 8,
        ("train", "male"): 8,
        ("test", "female"): 2,
        ("test", "male"): 2,
    }
    assert len({speaker.number for speaker in SPEAKERS}) == 20
    assert len({speaker.variant for speaker in SPEAKERS}) == 20


def test_sentences_are_many_distinct_and_short() -> None:
    lines = sentences()
    assert len(set(lines)) == len(lines) >= 240
    assert all(8 <= len(demo._hanzi(line)) <= 25 for line in lines)
    assert {character for line in lines for character in line if not "一" <= character <= "鿿"} <= set("，。？！")


def test_a_speaker_never_repeats_a_sentence() -> None:
    said = "".join(demo._texts(SPEAKERS[0], sentences()))
    assert all(said.count(sentence) <= 1 for sentence in sentences())
    assert len(list(demo._texts(SPEAKERS[0], sentences()))) >= demo.UTTERANCES + demo.TRAP_UTTERANCES


def test_speakers_say_different_things() -> None:
    first, second = (list(demo._texts(speaker, sentences()))[:45] for speaker in SPEAKERS[:2])
    assert len(set(first) & set(second)) < 20


def test_layout_is_that_of_aishell3(corpus: Path) -> None:
    for part in ("train", "test"):
        lines = (corpus / part / "content.txt").read_text(encoding="utf-8").splitlines()
        table = dict(line.split("\t") for line in lines)
        assert sorted(table) == names(corpus, part)
        assert all(set(map(len, text.split(" "))) == {1} for text in table.values())
        assert all(path.parent.name == path.name[:7] for path in (corpus / part / "wav").rglob("*.wav"))


def test_speaker_table_follows_three_header_lines(corpus: Path) -> None:
    lines = (corpus / "spk-info.txt").read_text(encoding="utf-8").splitlines()
    assert [line.startswith("#") for line in lines] == [True] * 3 + [False] * len(FEW)
    assert lines[3] == "SSB9001\tB\tfemale\tnorth"


def test_test_folder_also_holds_train_speakers(corpus: Path) -> None:
    shared = people(corpus, "train") & people(corpus, "test")
    assert shared == {"SSB9001", "SSB9002", "SSB9003"}
    assert not set(names(corpus, "train")) & set(names(corpus, "test"))


def test_some_speakers_are_only_in_test(corpus: Path) -> None:
    assert people(corpus, "test") - people(corpus, "train") == {"SSB9017", "SSB9018"}


def test_recordings_are_like_aishell3_and_do_not_clip(corpus: Path) -> None:
    paths = list(corpus.rglob("*.wav"))
    assert len(paths) == len(FEW) * UTTERANCES + 3 * demo.TRAP_UTTERANCES
    for path in paths:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (44100, 1, "PCM_16")
        assert 2.4 <= info.duration <= 7.0
        assert 0.02 < np.abs(soundfile.read(path)[0]).max() < 0.95


def test_two_builds_are_equal(corpus: Path, tmp_path: Path) -> None:
    demo._write_corpus(tmp_path, FEW[:2], UTTERANCES)
    paths = list(tmp_path.rglob("*.wav"))
    assert len(paths) == 2 * (UTTERANCES + demo.TRAP_UTTERANCES)
    for path in paths:
        assert path.read_bytes() == (corpus / path.relative_to(tmp_path)).read_bytes()


def test_speech_does_not_depend_on_what_was_said_before() -> None:
    pytest.importorskip("espeakng_loader")
    first = speak("今天天气很好。", SPEAKERS[7])
    speak("我们出去走走吧。", SPEAKERS[0])
    np.testing.assert_array_equal(speak("今天天气很好。", SPEAKERS[7]), first)


def test_every_variant_has_its_own_timbre() -> None:
    pytest.importorskip("espeakng_loader")  # it speaks with its default voice where it does not know a variant
    spoken = {speak("你好。", speaker._replace(number=1, pitch=50, speed=170)).tobytes() for speaker in SPEAKERS}
    assert len(spoken) == len(SPEAKERS)


def test_missing_synthesizer_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r"pip install 'convtasnet_lit\[demo\]'"):
        build_demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_existing_corpus_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    (tmp_path / "somebody's").touch()
    build_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["somebody's"]


def test_build_demo_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr(demo, "SPEAKERS", FEW[:1])
    monkeypatch.setattr(demo, "UTTERANCES", 1)
    build_demo(tmp_path / "data" / "demo")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["demo"]
    assert names(tmp_path / "data" / "demo", "train") == ["SSB90010001.wav"]


def test_leftover_of_an_earlier_build_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    leftover = tmp_path / "corpus.partial" / "leftover"
    leftover.parent.mkdir()
    leftover.touch()
    with built_whole(root) as partial:
        assert list(partial.iterdir()) == []
        assert not root.exists()
    assert root.is_dir()
    assert not partial.exists()


def test_failed_build_leaves_no_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(demo, "_write_corpus", fail)
    with pytest.raises(OSError, match="disk full"):
        build_demo(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_tables_are_written_with_one_line_each(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    write_tables(tmp_path, [("test", "SSB10000001.wav", "你 好")], [("SSB1000", "male", "south")])
    assert (tmp_path / "test" / "content.txt").read_bytes() == "SSB10000001.wav\t你 好\n".encode()
    assert (tmp_path / "train" / "content.txt").read_bytes() == b""
    assert (tmp_path / "spk-info.txt").read_text(encoding="utf-8").endswith("\nSSB1000\tB\tmale\tsouth\n")
