"""The voices corpus: its table of speakers, what it does to prompts, and a whole build from tiny packages."""

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas
import pytest
import soundfile
import yaml

from convtasnet_lit.corpus import prompts, voices
from convtasnet_lit.corpus.prompts import join, split, trim, voiced_share
from convtasnet_lit.corpus.voices import build_voices, unpack_queen
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.errors import InputError

RATE = 16000
FloatArray = npt.NDArray[np.float32]
needs_debian = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None or shutil.which("apt-get") is None, reason="only on Debian"
)


def buzz(seconds: float, pitch: float = 120.0, rate: int = RATE) -> FloatArray:
    """Sum harmonics as a vowel does."""
    time = np.arange(int(seconds * rate)) / rate
    harmonics = [np.sin(2 * np.pi * pitch * number * time) / number for number in range(1, 15)]
    return np.asarray(0.1 * np.sum(harmonics, axis=0), np.float32)


def silence(seconds: float, rate: int = RATE) -> FloatArray:
    return np.zeros(int(seconds * rate), np.float32)


def noise(seconds: float, level: float = 0.1) -> FloatArray:
    return np.random.default_rng(1).normal(0, level, int(seconds * RATE)).astype(np.float32)


def table() -> pandas.DataFrame:
    return pandas.read_csv(Path(voices.__file__).with_name("voices.csv"))


def test_table_names_every_speaker_once_with_a_licence() -> None:
    speakers = table()
    assert list(speakers) == ["number", "key", "package", "person", "gender", "language", "licence", "rate", "part"]
    assert speakers["number"].is_unique
    assert speakers["key"].is_unique
    assert not speakers.isna().any().any()
    games = {"Drascula-License", "Flight-of-the-Amazon-Queen-License"}
    assert set(speakers["licence"]) == games | {"CC-BY-3.0", "CC-BY-SA-3.0", "GPL-2.0-only", "GPL-2.0-or-later"}


def test_table_has_50_train_speakers_and_two_women_and_two_men_for_test() -> None:
    speakers = table()
    assert dict(speakers["part"].value_counts()) == {"train": 50, "test": 4}
    test = speakers[speakers["part"] == "test"]
    assert dict(zip(test["key"], test["gender"], strict=True)) == {
        "ast-ru": "female",
        "tux-bg": "male",
        "tux-ca": "male",
        "tux-el": "female",
    }
    assert set(speakers["gender"]) == {"female", "male"}


def test_validation_speakers_are_wideband_people_of_train() -> None:
    config = yaml.safe_load((CONF_DIR / "data" / "voices.yaml").read_text())
    chosen = table().set_index(table()["number"].map("SSB{}".format)).loc[config["validation_speakers"]]
    assert sorted(chosen["gender"]) == ["female", "female", "male", "male"]
    assert set(chosen["part"]) == {"train"}
    assert (chosen["rate"] >= 16000).all()


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("pitch", [80.0, 120.0, 300.0])
def test_vowels_are_voiced(pitch: float, rate: int) -> None:
    assert voiced_share(buzz(1, pitch, rate), rate) > 0.95


def test_noise_is_not_voiced() -> None:
    assert voiced_share(noise(2), RATE) < 0.05


def test_trim_keeps_the_speech_and_a_margin() -> None:
    speech = trim(np.concatenate((silence(0.5), buzz(1), silence(0.7))), RATE)
    assert len(speech) / RATE == pytest.approx(1.08, abs=0.04)


def test_trim_removes_the_noise_around_speech() -> None:
    speech = trim(np.concatenate((silence(0.5), buzz(1), silence(0.7))) + noise(2.2, 0.003), RATE)
    assert len(speech) / RATE == pytest.approx(1.08, abs=0.08)


@pytest.mark.parametrize("gain", [0.1, 1.0, 5.0])
def test_trim_brings_speech_to_one_level_without_clipping(gain: float) -> None:
    speech = trim(gain * np.concatenate((silence(0.5), buzz(2), silence(0.5))), RATE)
    assert np.sqrt(np.mean(speech[RATE // 2 : -RATE // 2] ** 2)) == pytest.approx(prompts.LEVEL, rel=0.1)
    assert np.abs(speech).max() <= prompts.PEAK
    assert speech[0] == speech[-1] == 0


@pytest.mark.parametrize("empty", [silence(0), silence(0.05), silence(2), noise(2), noise(2, 1e-4)])
def test_trim_leaves_nothing_where_nobody_speaks(empty: FloatArray) -> None:
    assert len(trim(empty, RATE)) == 0


def test_split_cuts_in_the_pauses_and_loses_nothing() -> None:
    sentence = np.concatenate((buzz(5), silence(0.3)))
    speech = np.tile(sentence, 5)
    parts = list(split(speech, RATE))
    np.testing.assert_array_equal(np.concatenate(parts), speech)
    assert all(2 * RATE <= len(part) <= 10 * RATE for part in parts)
    assert all(part[-1] == 0 for part in parts)


def test_split_leaves_short_speech_whole() -> None:
    assert [len(part) for part in split(buzz(10), RATE)] == [10 * RATE]


def test_join_keeps_the_order_and_stays_within_10_s() -> None:
    lengths = np.random.default_rng(3).uniform(0.3, 9.9, 200)
    pieces = [(silence(seconds), str(index)) for index, seconds in enumerate(lengths)]
    joined = list(join(pieces, RATE, np.random.default_rng(4)))
    assert " ".join(source for _, source in joined).split() == [str(index) for index in range(200)]
    assert all(len(samples) <= 10 * RATE for samples, _ in joined)


def test_join_puts_a_pause_between_prompts() -> None:
    ((samples, source),) = join([(buzz(1), "a"), (buzz(1), "b")], RATE, np.random.default_rng(4))
    assert source == "a b"
    np.testing.assert_array_equal(samples, np.concatenate((buzz(1), silence(0.2), buzz(1))))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("asterisk-core-sounds-en-g722/usr/share/sounds/en_US/digits/1.g722", "ast-en"),
        ("asterisk-core-sounds-en-g722/usr/share/sounds/en_US/silence/1.g722", ""),
        ("asterisk-core-sounds-en-g722/usr/share/sounds/en_US/beep.g722", ""),
        ("asterisk-core-sounds-en-g722/usr/share/doc/readme.txt", ""),
        ("fillets-ng-data-nl/usr/share/sound/city/nl/vit-v-proc.ogg", "fil-nl-v"),
        ("fillets-ng-data-cs/usr/share/sound/city/cs/vit-hs-a.ogg", "fil-cs-hs"),
        ("fillets-ng-data-cs/usr/share/sound/cave/cs/jes-hs-a.ogg", ""),
        ("tuxpaint-stamps-default/usr/share/stamps/cat_desc_ro.ogg", "tux-ro"),
        ("ktuberling-data/usr/share/ktuberling/sounds/sl/hat.ogg", "ktu-sl"),
        ("klettres-data/usr/share/klettres/pt_BR/alpha/a.ogg", "kle-pt_BR"),
        ("drascula/usr/share/scummvm/drascula/en/241.ALS", "dra-hacker"),
        ("drascula/usr/share/scummvm/drascula/en/VB12.ALS", "dra-VB"),
        ("drascula/usr/share/scummvm/drascula/en/B12.ALS", ""),
        ("drascula/usr/share/scummvm/drascula/en/T1.ALS", "dra-LT"),
        ("flight-of-the-amazon-queen/usr/share/scummvm/queen/240006J1.SB", "que-joe"),
        ("flight-of-the-amazon-queen/usr/share/scummvm/queen/240006P1.SB", ""),
        ("flight-of-the-amazon-queen/usr/share/scummvm/queen/0800B3P5.SB", "que-frank"),
        ("flight-of-the-amazon-queen/usr/share/scummvm/queen/C18A_181.SB", ""),
    ],
)
def test_speaker_is_told_by_the_name_of_the_file(name: str, key: str) -> None:
    assert voices._key(Path(name), name) == key


def test_people_in_french_stamps_are_told_by_the_encoder(tmp_path: Path) -> None:
    path = tmp_path / "cat_desc_fr.ogg"
    path.write_bytes(b"OggS...Xiph.Org libVorbis I 20101101 ...")
    assert voices._key(path, f"tuxpaint-stamps-default/{path.name}") == "tux-fr-20101101"


def test_telephone_recordings_are_left_out(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "narrow.ogg", buzz(1, rate=8000), 8000)
    soundfile.write(tmp_path / "wide.ogg", buzz(1, rate=22050), 22050)
    assert len(voices._load(tmp_path / "narrow.ogg", RATE, 16000)) == 0
    assert len(voices._load(tmp_path / "wide.ogg", RATE, 16000)) == RATE


def test_g722_is_decoded(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frame = av.AudioFrame.from_ndarray((buzz(1) * 32767).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate = RATE
    with av.open(str(tmp_path / "prompt.g722"), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=RATE, layout="mono")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    decoded = voices._load(tmp_path / "prompt.g722", RATE, 16000)
    assert len(decoded) == pytest.approx(RATE, abs=400)
    assert voiced_share(decoded, RATE) > 0.95
    (tmp_path / "empty.g722").touch()
    assert len(voices._load(tmp_path / "empty.g722", RATE, 16000)) == 0


def headerless(seconds: float, pitch: float = 120.0) -> bytes:
    """A line of Drascula, 8 bits at 11,025 Hz."""
    return np.rint(128 + 127 * buzz(seconds, pitch, 11025)).astype(np.uint8).tobytes()


def queens_file(lines: dict[bytes, bytes]) -> bytes:
    """The one file of the Amazon Queen, with these files in it."""
    starts = 15 + 21 * len(lines) + np.cumsum([0, *map(len, lines.values())])
    places = zip(lines.items(), starts, strict=False)
    table = [struct.pack(">12sBII", name, 1, start, len(line)) for (name, line), start in places]
    return b"".join((b"QTBLCEM10\0\0\0\1", struct.pack(">H", len(lines)), *table, *lines.values()))


def test_lines_of_drascula_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "1.ALS").write_bytes(headerless(1))
    decoded = voices._load(tmp_path / "1.ALS", 11025, 11025)
    np.testing.assert_allclose(decoded, buzz(1, rate=11025), atol=0.01)


def test_lines_of_the_amazon_queen_are_taken_out_of_its_file(tmp_path: Path) -> None:
    lines = {b"020001P2.SB": b"who is it", b"BOB1.DOG": b"a script", b"020006J1.SB": b"me"}
    (tmp_path / "queen.1c").write_bytes(queens_file(lines))
    unpack_queen(tmp_path / "queen.1c")
    found = {path.name.encode(): path.read_bytes() for path in tmp_path.glob("*.*") if path.suffix != ".1c"}
    assert found == {name: line for name, line in lines.items() if name.endswith(b".SB")}


def test_no_line_of_a_dialogue_is_of_two_actors() -> None:
    names = [f"{number:02d}0006{who}" for number in range(100) for who in "JP"]
    actors = [[who for who, lines in voices.DIALOGUES.items() if re.fullmatch(lines, name)] for name in names]
    assert max(map(len, actors)) == 1
    assert {who for found in actors for who in found} == set(voices.DIALOGUES)


@pytest.mark.parametrize(("rate", "narrow"), [(8000, True), (11025, True), (16000, False), (44100, False)])
def test_people_of_a_narrow_band_are_only_in_narrow_corpora(tmp_path: Path, rate: int, narrow: bool) -> None:
    for part, speaker in (("train", "SSB9001"), ("train", "SSB9101"), ("test", "SSB9005")):
        (tmp_path / part / "wav" / speaker).mkdir(parents=True)
        (tmp_path / part / "wav" / speaker / f"{speaker}0001.wav").touch()
    speakers = {recording.speaker for recording in voices.scan(tmp_path, rate)}
    assert speakers == {"SSB9001", "SSB9005"} | ({"SSB9101"} if narrow else set())


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the Debian packages of the table, with speech in three of them only."""
    folder = tmp_path_factory.mktemp("packages")
    for name in set(table()["package"]):
        content = folder / name
        (content / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: none\n"
        (content / "DEBIAN" / "control").write_text(control)
        for stem, part in (("klettres-data", "klettres/nl/a{}"), ("tuxpaint-stamps-default", "t/{}_desc_el")):
            for index in range(6 if stem == name else 0):
                path = content / "usr" / "share" / (part.format(index) + ".ogg")
                path.parent.mkdir(parents=True, exist_ok=True)
                prompt = np.concatenate((silence(0.3, 22050), buzz(1.5, 100 + 20 * index, 22050)))
                soundfile.write(path, prompt, 22050)
        if name == "drascula":
            (content / "usr/share/en").mkdir(parents=True)
            for index in range(6):
                (content / f"usr/share/en/I{index}.ALS").write_bytes(headerless(1.5, 100 + 20 * index))
        command = ["dpkg-deb", "--build", "--root-owner-group", content, folder / f"{name}_1_all.deb"]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(content)
    return folder


@needs_debian
def test_build_from_packages_that_are_there(packages: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    build_voices(tmp_path / "first", packages=packages)
    build_voices(tmp_path / "second", packages=packages)
    paths = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*.*"))
    assert {path.parent.as_posix() for path in paths if path.suffix == ".wav"} == {
        "train/wav/SSB9072",
        "train/wav/SSB9124",
        "test/wav/SSB9035",
    }
    for path in paths:
        assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "second" / path).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
    assert all(path.suffix == ".deb" for path in packages.iterdir())


@needs_debian
def test_build_writes_the_layout_of_aishell3(packages: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    build_voices(tmp_path / "corpus", rate=8000, packages=packages)
    for part in ("train", "test"):
        lines = (tmp_path / "corpus" / part / "content.txt").read_text(encoding="utf-8").splitlines()
        files = sorted((tmp_path / "corpus" / part / "wav").rglob("*.wav"))
        assert [line.split("\t")[0] for line in lines] == [path.name for path in files]
        for path in files:
            info = soundfile.info(path)
            assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
            assert 2 <= info.duration <= 10
    assert "SSB9035\tB\tfemale\tel\n" in (tmp_path / "corpus" / "spk-info.txt").read_text(encoding="utf-8")
    credits_table = pandas.read_csv(tmp_path / "corpus" / "sources.csv")
    assert list(credits_table["licence"]) == list(table()["licence"])
    assert credits_table["utterances"].sum() == len(list((tmp_path / "corpus").rglob("*.wav")))


@needs_debian
def test_damaged_package_is_named(tmp_path: Path) -> None:
    pytest.importorskip("av")
    for name in set(table()["package"]):
        (tmp_path / f"{name}_1_all.deb").write_bytes(b"half a download")
    with pytest.raises(InputError, match=r"_1_all\.deb is damaged: delete it") as caught:
        build_voices(tmp_path / "corpus", packages=tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "corpus").exists()


def pretend_tools(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        (folder / tool).write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        (folder / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(sys.platform == "win32", reason="the tools are shell scripts")
def test_failed_download_asks_for_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    pretend_tools(tmp_path, monkeypatch)
    message = "^cannot download asterisk-core-sounds-en-g722: run `apt-get update` first .*Unable to locate package.$"
    with pytest.raises(InputError, match=message):
        build_voices(tmp_path / "corpus", packages=tmp_path / "debs")
    assert not (tmp_path / "corpus").exists()
    assert list((tmp_path / "debs").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the tools are shell scripts")
def test_missing_decoder_is_said_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_tools(tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'convtasnet_lit\[voices\]'"):
        build_voices(tmp_path / "corpus")
    assert not (tmp_path / "debs").exists()


def test_missing_apt_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs apt-get"):
        build_voices(tmp_path / "corpus")


def test_existing_corpus_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "somebody's").touch()
    build_voices(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["somebody's"]
