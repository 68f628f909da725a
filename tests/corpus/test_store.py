import errno
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from convtasnet_lit.corpus import aishell3, recording
from convtasnet_lit.corpus.preparation import Preparation
from convtasnet_lit.corpus.preparing import prepare_store
from convtasnet_lit.corpus.recording import Recording
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.corpus.verifying import refuse_damaged
from convtasnet_lit.errors import InputError
from tests.corpus.trees import bursts, write_aishell3

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def write(folder, name, signal, sample_rate=16_000, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, sample_rate, **options)
    return Recording(path, path.stem, "S1", "female", "train")


def prepare(recordings, folder, sample_rate=16_000, stores=None):
    return prepare_store(Preparation(recordings, folder, stores or folder / "stores", "test", sample_rate))


def whole(store):
    """All samples of a store of one shard."""
    return np.concatenate([store.samples(row, 0, length) for row, length in enumerate(store.lengths)])


def tone(frequency, sample_rate, seconds=2.0, level=0.3):
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * sample_rate)) / sample_rate)


def level_db(samples):
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    return 20 * np.log10(np.sqrt(np.mean(np.square(middle, dtype=np.float64))) + 1e-12)


@pytest.fixture
def tree(tmp_path):
    return write_aishell3(tmp_path / "corpus", train=3, test=2, shared=1, utterances=2, seconds=0.1)


def test_the_index_says_what_is_in_the_samples(tree, tmp_path):
    recordings = aishell3.scan(tree)
    store = prepare(recordings, tree, stores=tmp_path / "stores")
    index = store.index
    assert index["utterance"].tolist() == [r.utterance for r in recordings]
    assert index["part"].tolist() == [r.part for r in recordings]  # those of train speakers in test/ are kept
    assert index["offset"].tolist() == [0, *index["length"].cumsum()[:-1]]
    assert set(index["shard"]) == {0}
    samples = np.fromfile(store.folder / "shard-00000.s16", "<i2")
    assert len(samples) == index["length"].sum()
    assert len(store.left_out) == 0
    for row in index.itertuples():
        piece = samples[row.offset : row.offset + row.length]
        assert row.sha256 == hashlib.sha256(piece.tobytes()).hexdigest()[:16]
        assert row.rms == pytest.approx(np.sqrt(np.mean((piece / 32768.0) ** 2)), rel=1e-12)


def test_a_16_bit_file_of_the_stores_rate_is_kept_bit_by_bit(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    samples[:2] = -32768, 32767
    store = prepare([write(tmp_path, "a.wav", samples)], tmp_path)
    assert np.array_equal(whole(store), samples)


def test_reading_gives_any_piece_as_float32_below_1(tmp_path):
    first, second = (np.random.default_rng(i).integers(-32768, 32768, 3000).astype(np.int16) for i in (0, 1))
    store = prepare([write(tmp_path, "a.wav", first), write(tmp_path, "b.wav", second)], tmp_path)
    piece = store.read(1, 100, 2000)
    assert piece.dtype == np.float32
    assert np.array_equal(piece, second[100:2100] / np.float32(32768))
    assert store.read(1, 0, 3000).flags.writeable
    assert not store.samples(0, 0, 10).flags.writeable


def test_a_worker_process_gets_the_path_not_the_samples(tmp_path):
    store = prepare([write(tmp_path, "a.wav", bursts(2.0, 1, 16_000), 16_000)], tmp_path)
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    assert np.array_equal(pickle.loads(pickled).read(0, 10, 50), store.read(0, 10, 50))


def test_names_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    path = write(tmp_path, "a.wav", bursts(0.2, 1, 16_000)).path
    names = ["001", "NA", "1e5", 'a,"b"', ""]
    recordings = [Recording(path, f"{i}{name}", name, "unknown", "") for i, name in enumerate(names)]
    index = prepare(recordings, tmp_path).index
    assert index["speaker"].tolist() == names
    assert index["utterance"].tolist() == [r.utterance for r in recordings]


# Properties of the signal


def test_a_1_khz_tone_keeps_its_level_and_pitch(tmp_path):
    store = prepare([write(tmp_path, "a.wav", tone(1000, 44_100), 44_100)], tmp_path)
    signal = store.read(0, 0, store.lengths[0])
    assert len(signal) == 32_000
    assert level_db(signal) == pytest.approx(level_db(tone(1000, 44_100)), abs=0.1)
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
    assert np.argmax(spectrum) * 16_000 / len(signal) == pytest.approx(1000, abs=0.5)
    assert np.allclose(signal[8000:24_000], tone(1000, 16_000)[8000:24_000], atol=1e-4)  # no delay either


def test_a_10_khz_tone_vanishes(tmp_path):
    both = tone(1000, 44_100, level=0.3) + tone(10_000, 44_100, level=0.3)
    store = prepare([write(tmp_path, "a.wav", both, 44_100)], tmp_path)
    rest = store.read(0, 0, 32_000) - tone(1000, 16_000)
    assert level_db(rest) < -85


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 48_000])
def test_any_rate_can_be_made_of_any(tmp_path, sample_rate):
    recordings = [write(tmp_path, f"{rate}.wav", tone(440, rate), rate) for rate in (8_000, 44_100, 48_000)]
    store = prepare(recordings, tmp_path, sample_rate)
    assert store.sample_rate == sample_rate
    assert store.index["length"].tolist() == [2 * sample_rate] * 3
    assert [level_db(store.read(row, 0, 2 * sample_rate)) for row in range(3)] == pytest.approx([-13.47] * 3, abs=0.1)


def test_channels_are_averaged(tmp_path):
    left, right = tone(300, 16_000), tone(700, 16_000)
    store = prepare([write(tmp_path, "a.wav", np.stack([left, right], 1), subtype="FLOAT")], tmp_path)
    assert np.allclose(store.read(0, 0, 32_000), (left + right) / 2, atol=2e-5)


def test_what_is_too_loud_is_scaled_down_not_clipped(tmp_path):
    store = prepare([write(tmp_path, "a.wav", tone(1000, 16_000, level=2.5), subtype="FLOAT")], tmp_path)
    assert np.allclose(store.read(0, 0, 32_000), tone(1000, 16_000, level=1.0), atol=5e-5)


def test_a_file_longer_than_a_block_is_read_whole(tmp_path):
    store = prepare([write(tmp_path, "a.wav", tone(440, 44_100, seconds=30), 44_100)], tmp_path)
    signal = store.read(0, 0, 30 * 16_000)
    assert np.allclose(signal[8000:-8000], tone(440, 16_000, seconds=30)[8000:-8000], atol=1e-4)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_every_format_is_read_whole(tmp_path, name):
    store = prepare([write(tmp_path, name, tone(1000, 44_100), 44_100)], tmp_path)
    assert store.lengths[0] == pytest.approx(32_000, abs=10)
    assert level_db(store.read(0, 0, store.lengths[0])) == pytest.approx(-13.47, abs=0.3)


# Bad files


def cut(recording, share):
    data = recording.path.read_bytes()
    recording.path.write_bytes(data[: int(share * len(data))])
    return recording


def bad_recordings(folder):
    speech = bursts(1.0, 7, 16_000)
    noise = np.random.default_rng(0).standard_normal(16_000)
    broken = {"nan": speech.copy(), "inf": speech.copy()}
    broken["nan"][100], broken["inf"][-1] = np.nan, -np.inf
    yield "truncated: its header promises 32044 bytes, the file has 16022", cut(write(folder, "cut.wav", speech), 0.5)
    yield "truncated", cut(write(folder, "last.wav", speech), 0.99995)
    yield "truncated", cut(write(folder, "cut.ogg", speech), 0.7)
    yield "truncated", cut(write(folder, "cut.mp3", speech), 0.6)
    yield "unreadable: flac decoder lost sync", cut(write(folder, "cut.flac", speech), 0.5)
    yield "truncated", cut(write(folder, "head.wav", speech), 0.0005)
    yield "empty: 0 bytes", cut(write(folder, "empty.wav", speech), 0)
    yield "zero length", write(folder, "zero.wav", np.zeros(0))
    yield "zero length", write(folder, "one.wav", np.ones(1), 96_000)
    yield "silent: its level is below -70 dBFS", write(folder, "silent.wav", np.zeros(16_000))
    yield "silent", write(folder, "faint.wav", 10 ** (-71 / 20) * noise, subtype="FLOAT")
    yield "non-finite", write(folder, "nan.wav", broken["nan"], subtype="FLOAT")
    yield "non-finite", write(folder, "inf.wav", broken["inf"], subtype="DOUBLE")
    yield (
        "mislabelled: by hand",
        Recording(folder / "missing.wav", "m", "S1", "female", "train", "mislabelled: by hand"),
    )
    yield "unreadable: No such file", Recording(folder / "gone.wav", "gone", "S1", "female", "train")
    garbage = folder / "garbage.wav"
    garbage.write_bytes(np.random.default_rng(1).bytes(5000))
    yield "unreadable", Recording(garbage, "garbage", "S1", "female", "train")


def test_a_recording_of_days_is_left_out_before_it_fills_the_memory(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", bursts(4.0, 0, 1000), 1000)
    assert len(recording.read_samples(tmp_path / "a.wav", 16_000)) == 64_000
    monkeypatch.setattr(recording, "LONGEST", 50_000)
    with pytest.raises(InputError, match=r"too long: over 0.0 hours; cut it into parts"):
        recording.read_samples(tmp_path / "a.wav", 16_000)


def test_bad_files_are_left_out_and_reported_by_name(tmp_path):
    reasons, bad = zip(*bad_recordings(tmp_path), strict=True)
    good = write(tmp_path, "good/good.wav", bursts(0.2, 1, 16_000))
    faint = write(tmp_path, "good/faint.wav", 10 ** (-69 / 20) * np.random.default_rng(0).standard_normal(16_000))
    many = [Recording(good.path, f"good{i}", "S1", "female", "train") for i in range(100 * len(bad))]
    store = prepare([*bad, *many, faint], tmp_path)
    assert len(store.index) == len(many) + 1
    assert store.left_out["path"].tolist() == [r.path.name for r in bad]
    for found, expected in zip(store.left_out["reason"], reasons, strict=True):
        assert found.startswith(expected)


def test_more_than_1_percent_of_bad_files_is_an_error_that_lists_ten(tmp_path):
    good = write(tmp_path, "good.wav", bursts(0.05, 1, 16_000))
    bad = [write(tmp_path, f"bad{i:02d}.wav", np.zeros(800)) for i in range(11)]
    many = [Recording(good.path, f"good{i}", "S1", "female", "train") for i in range(1000)]
    with pytest.raises(InputError) as refusal:
        prepare([*many, *bad], tmp_path)
    first, *rest = str(refusal.value).splitlines()
    assert first.startswith("data.root: 11 of 1011 recordings cannot be used, more than 1%")
    assert rest == [f"bad{i:02d}.wav: silent: its level is below -70 dBFS" for i in range(10)]
    (listed,) = (tmp_path / "stores").glob("*.left_out.csv")
    assert str(listed) in first
    assert len(pd.read_csv(listed)) == 11
    assert not [path for path in (tmp_path / "stores").iterdir() if path.is_dir()]
    assert len(prepare([*many, *bad[:10]], tmp_path).left_out) == 10  # just under


def test_headers_that_are_no_truncation(tmp_path):
    speech = bursts(0.5, 7, 16_000)
    sizes = {"ffmpeg": (2**32 - 1, 2**32 - 1), "sox": (2**31 - 4060, 2**31 - 4096), "zero": (0, 16_000)}
    sizes["padding"] = (16_000 + 36 + 8, 16_000)
    recordings = []
    for name, (riff, data) in sizes.items():
        recordings.append(write(tmp_path, f"{name}.wav", speech))
        content = bytearray(recordings[-1].path.read_bytes())
        content[4:8], content[40:44] = riff.to_bytes(4, "little"), data.to_bytes(4, "little")
        recordings[-1].path.write_bytes(content)
    store = prepare(recordings, tmp_path)
    assert store.index["length"].tolist() == [8_000] * 4


# The folder


def test_a_complete_store_is_opened_and_not_made_again(tree, tmp_path, monkeypatch):
    recordings = aishell3.scan(tree)
    store = prepare(recordings, tree, stores=tmp_path / "stores")
    monkeypatch.setattr("convtasnet_lit.corpus.preparing.read_in_order", None)
    assert prepare(aishell3.scan(tree), tree, stores=tmp_path / "stores").folder == store.folder
    assert store.folder.name.startswith("test-16000hz-")
    names = {"shard-00000.s16", "index.csv", "left_out.csv", "store.json"}
    assert {path.name for path in store.folder.iterdir()} == names


def test_the_key_follows_everything_a_store_depends_on(tree, tmp_path):
    recordings = aishell3.scan(tree)
    stores = tmp_path / "stores"
    folders = [prepare(recordings, tree, stores=stores).folder]
    folders.append(prepare(recordings, tree, 8_000, stores=stores).folder)
    folders.append(prepare(recordings[1:], tree, stores=stores).folder)
    os.utime(recordings[0].path, (1, 1))  # a copy has other times
    assert prepare(recordings, tree, stores=stores).folder == folders[0]
    (tree / "spk-info.txt").unlink()
    folders.append(prepare(aishell3.scan(tree), tree, stores=stores).folder)
    assert len(set(folders)) == 4
    moved = tree.rename(tmp_path / "moved")
    assert prepare(aishell3.scan(moved), moved, stores=stores).folder == folders[-1]


@pytest.mark.parametrize("damage", ["samples", "index", "offset", "shard", "length", "about", "missing"])
def test_a_damaged_store_is_refused_by_name(tree, tmp_path, damage):
    folder = prepare(aishell3.scan(tree), tree, stores=tmp_path / "50%s").folder
    if damage == "samples":
        os.truncate(folder / "shard-00000.s16", 100)
    elif damage == "index":
        (folder / "index.csv").write_text("".join((folder / "index.csv").read_text().splitlines(keepends=True)[:-1]))
    elif damage in ("offset", "shard", "length"):
        index = pd.read_csv(folder / "index.csv")
        index.loc[3, damage] += 1
        index.loc[4, damage] -= 1  # the sum is what it was
        index.to_csv(folder / "index.csv", index=False)
    elif damage == "about":
        (folder / "store.json").write_text("{}")
    else:
        shutil.rmtree(folder)
    with pytest.raises(InputError, match="is not a complete store; delete the folder"):
        Store.open(folder)


def test_verify_names_the_shard_and_the_utterance_of_a_flipped_byte(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", 10_000)
    store = prepare(aishell3.scan(tree), tree, stores=tmp_path / "stores")
    refuse_damaged(store)
    row = store.index[store.index["shard"] == 1].iloc[2]
    with (store.folder / "shard-00001.s16").open("r+b") as file:
        file.seek(2 * (row.offset + row.length) - 1)
        last = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(InputError, match=f"not what was written: {row.utterance} in shard-00001.s16; delete the fo"):
        refuse_damaged(Store.open(store.folder))
    text = (store.folder / "index.csv").read_text()
    (store.folder / "index.csv").write_text(text.replace("female", "male", 1))
    with pytest.raises(InputError, match=f"not what was written: index.csv, {row.utterance} in"):
        refuse_damaged(Store.open(store.folder))


def test_a_store_of_the_first_format_is_read_as_it_is(tree, tmp_path, monkeypatch):
    store = prepare(aishell3.scan(tree), tree, stores=tmp_path / "stores")
    heard = whole(store)
    (store.folder / "shard-00000.s16").rename(store.folder / "samples.i16")
    store.index.drop(columns="shard").to_csv(store.folder / "index.csv", index=False)
    about = {key: value for key, value in store.about.items() if key not in ("shards", "index")}
    (store.folder / "store.json").write_text(json.dumps({**about, "format": 1}))
    monkeypatch.setattr("convtasnet_lit.corpus.preparing.read_in_order", None)
    first = prepare(aishell3.scan(tree), tree, stores=tmp_path / "stores")
    assert (first.folder, first.shards) == (store.folder, 1)
    assert np.array_equal(whole(first), heard)
    refuse_damaged(first)


# Interruption

SLOW_SCRIPT = """
import sys, time
from pathlib import Path
from convtasnet_lit.corpus import aishell3, preparation, preparing, recording
quick = recording.read_samples
root, stores, most = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
calls = []
def slow(path, sample_rate):
    calls.append(path)
    time.sleep(0.01 if len(calls) <= most else 600)  # it never gets further, however late the kill comes
    return quick(path, sample_rate)
recording.read_samples = slow
preparation.SHARD_BYTES = int(sys.argv[4])
plan = preparation.Preparation(aishell3.scan(root), root, stores, "test", 16_000)
preparing.prepare_share(plan, *map(int, sys.argv[5:])) if sys.argv[5:] else preparing.prepare_store(plan)
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def started(tree, stores, most, *share):
    """A process that prepares, at most so many recordings, then it hangs."""
    command = [sys.executable, "-c", SLOW_SCRIPT, tree, stores, most, SMALL_SHARD, *share]
    return subprocess.Popen(list(map(str, command)), env=ENVIRONMENT, stderr=subprocess.DEVNULL)


def killed_with(shards, process, stores):
    """Kill a process when so many shards are whole."""
    try:
        while process.poll() is None and len(list(stores.glob("*.partial/shard-*.json"))) < shards:
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


SMALL_SHARD = 100_000  # bytes; the corpus below makes seven of them


@pytest.fixture
def larger(tmp_path):
    """A corpus of which two recordings are bad, under 1 %."""
    tree = write_aishell3(tmp_path / "corpus", train=6, test=2, shared=2, utterances=8, seconds=0.1)
    (tree / "train/wav/SSB0005/SSB00050003.wav").write_bytes(b"")
    soundfile.write(tree / "train/wav/SSB0012/SSB00120003.wav", np.zeros(100), 44_100)
    many = [r for r in aishell3.scan(tree) if r.path.stat().st_size > 1000]
    for copy in range(9, 30):
        for r in many[:8]:
            shutil.copy(r.path, r.path.with_name(f"{r.speaker}{copy:02d}{r.utterance[-2:]}.wav"))
    return tree


def test_after_two_kills_the_store_is_the_same_to_the_last_byte(larger, tmp_path, monkeypatch):
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", SMALL_SHARD)
    before = prepare(aishell3.scan(larger), larger, stores=tmp_path / "whole")
    stores = tmp_path / "stores"
    for shards in (1, 3):
        killed_with(shards, started(larger, stores, 150), stores)
        (partial,) = stores.glob("*.partial")
        assert shards <= len(list(partial.glob("shard-*.json"))) < before.shards
    (partial / "samples.i16").write_bytes(b"of an earlier version")
    resumed = prepare(aishell3.scan(larger), larger, stores=stores)
    assert resumed.folder.name == before.folder.name
    assert contents(resumed.folder) == contents(before.folder)
    assert len(resumed.left_out) == 2


def test_four_processes_of_which_one_is_killed_make_the_same_store(larger, tmp_path, monkeypatch):
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", SMALL_SHARD)
    before = prepare(aishell3.scan(larger), larger, stores=tmp_path / "whole")
    stores = tmp_path / "stores"
    shares = [started(larger, stores, 20 if number == 2 else 1000, number, 4) for number in (1, 2, 3, 4)]
    assert [shares[number].wait() for number in (0, 2, 3)] == [0, 0, 0]
    shares[1].send_signal(signal.SIGKILL)
    shares[1].wait()
    plan = Preparation(aishell3.scan(larger), larger, stores, "test", 16_000)
    assert plan.missing() == list(range(1, before.shards, 4))
    assert started(larger, stores, 1000, 2, 4).wait() == 0
    monkeypatch.setattr("convtasnet_lit.corpus.preparing.read_in_order", None)  # joining reads no recording
    assert plan.missing() == []
    assert contents(prepare_store(plan).folder) == contents(before.folder)
    assert {path.name for path in stores.iterdir()} == {plan.folder.name, ".lock"}


def test_the_shards_share_out_all_recordings_evenly(larger, tmp_path, monkeypatch):
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", SMALL_SHARD)
    store = prepare(aishell3.scan(larger), larger, stores=tmp_path / "stores")
    one = prepare(aishell3.scan(larger), larger, sample_rate=8_000, stores=tmp_path / "stores")
    assert one.shards < store.shards
    sizes = store.index.groupby("shard")["length"].sum() * 2
    assert len(sizes) == store.shards
    assert sizes.between(0.5 * SMALL_SHARD, 1.5 * SMALL_SHARD).all()
    assert (store.index.groupby("speaker")["shard"].nunique() > store.shards / 2).all()


def test_a_shard_that_was_cut_is_written_again(tree, tmp_path, monkeypatch):
    recordings = aishell3.scan(tree)
    before = prepare(recordings, tree, stores=tmp_path / "whole")
    monkeypatch.setattr("convtasnet_lit.corpus.preparing._merge", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(recordings, tree, stores=tmp_path / "stores")
    monkeypatch.undo()
    (samples,) = (tmp_path / "stores").glob("*.partial/*.s16")
    os.truncate(samples, samples.stat().st_size // 2)
    assert contents(prepare(recordings, tree, stores=tmp_path / "stores").folder) == contents(before.folder)


def interrupt(*_):
    raise KeyboardInterrupt


# A full disk


class FullDisk:
    """A file that has room for some bytes and no more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)


def test_a_full_disk_keeps_what_is_done_and_the_other_stores(tree, tmp_path, monkeypatch):
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", 10_000)
    recordings = aishell3.scan(tree)
    stores = tmp_path / "stores"
    before = prepare(recordings, tree, 8_000, stores=stores)
    kept = contents(before.folder)
    plain_open = Path.open

    def limited(path, mode="r", *arguments, **options):
        file = plain_open(path, mode, *arguments, **options)
        return FullDisk(file, 5_000) if "shard-00002.s16" in path.name and mode == "wb" else file

    monkeypatch.setattr(Path, "open", limited)
    with pytest.raises(
        InputError, match=r"data\.store: no space left in .*: about [\d.]+ \w+ more is needed"
    ) as refusal:
        prepare(recordings, tree, stores=stores)
    monkeypatch.setattr(Path, "open", plain_open)
    assert "the same command continues" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert contents(before.folder) == kept
    assert {path.name for path in stores.glob("*.partial/shard-*.s16")} == {"shard-00000.s16", "shard-00001.s16"}
    whole = prepare(recordings, tree, stores=tmp_path / "whole")
    assert contents(prepare(recordings, tree, stores=stores).folder) == contents(whole.folder)


TMPFS_SCRIPT = """
import json, subprocess, sys
from pathlib import Path
from convtasnet_lit.corpus import aishell3
from convtasnet_lit.corpus.preparation import Preparation
from convtasnet_lit.corpus.preparing import prepare_store
from convtasnet_lit.errors import InputError
root, disk = map(Path, sys.argv[1:])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], check=True)
recordings = aishell3.scan(root)
before = prepare_store(Preparation(recordings[:4], root, disk / "stores", "test", 16_000))
content = before.folder.joinpath("shard-00000.s16").read_bytes()
messages = []
for _ in range(2):
    try:
        prepare_store(Preparation(recordings, root, disk / "stores", "test", 16_000))
    except InputError as error:
        messages.append(str(error))
assert before.folder.joinpath("shard-00000.s16").read_bytes() == content
subprocess.run(["mount", "-o", "remount,size=20m", "tmpfs", disk], check=True)
store = prepare_store(Preparation(recordings, root, disk / "stores", "test", 16_000))
print(json.dumps([messages, store.index["sha256"].tolist()]))
"""


def test_a_full_tmpfs_is_one_clear_line_and_then_the_work_goes_on(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    private = ["unshare", "--mount", "--map-root-user"]  # the mount goes when the process does
    if (
        not shutil.which("unshare")
        or subprocess.run([*private, "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("mounting a tmpfs is not allowed here")
    tree = write_aishell3(tmp_path / "corpus", train=4, test=2, shared=2, utterances=4, seconds=0.5)
    command = [*private, sys.executable, "-c", TMPFS_SCRIPT, str(tree), str(disk)]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    messages, hashes = json.loads(result.stdout)
    assert len(messages) == 2  # still full at the second attempt
    for message in messages:
        assert message.startswith(f"data.store: no space left in {disk}/stores")
        assert len(message.splitlines()) == 1
    assert hashes == prepare(aishell3.scan(tree), tree, stores=tmp_path / "stores").index["sha256"].tolist()


def test_a_store_that_cannot_be_written_is_an_error_that_names_the_key(tree, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"data\.store: .*file/stores cannot be written: Not a directory"):
        prepare(aishell3.scan(tree), tree, stores=tmp_path / "file/stores")


def test_two_processes_at_once_make_one_store(tree, tmp_path):
    both = [started(tree, tmp_path / "stores", 100) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len([path for path in (tmp_path / "stores").iterdir() if path.is_dir()]) == 1
