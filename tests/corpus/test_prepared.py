import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from convtasnet_lit.corpus import prepared as prepared_module
from convtasnet_lit.corpus import sources
from convtasnet_lit.corpus.prepared import SPLITS, describe, prepare_corpus
from convtasnet_lit.data_config import CorpusName, DataConfig
from convtasnet_lit.errors import InputError
from tests.corpus.trees import bursts, speaker_name, write_aishell3


@pytest.fixture
def data(tmp_path):
    root = write_aishell3(tmp_path / "corpus", train=8, test=4, shared=3, utterances=2, seconds=0.1)
    return DataConfig(corpus=CorpusName.aishell3, root=str(root), store=str(tmp_path / "store"))


def shown(prepared):
    console = Console(width=200, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(describe(prepared))
    return capture.get()


def test_no_speaker_of_one_set_is_in_another(data):
    prepared = prepare_corpus(data)
    index = prepared.store.index
    speakers = {split: set(index["speaker"].iloc[prepared.rows(split)]) for split in SPLITS}
    assert speakers["test"] == {speaker_name(n) for n in range(8, 12)}
    assert speakers["train"] | speakers["validation"] == {speaker_name(n) for n in range(8)}
    assert not speakers["train"] & speakers["validation"]
    assert set(index["part"].iloc[prepared.rows("train")]) == {"train"}
    assert prepared.splits.dropped == 3 * 2
    rows = np.concatenate([prepared.rows(split) for split in SPLITS])
    assert len(np.unique(rows)) == len(rows) == len(index) - 6


def test_the_description_counts_everything_and_names_what_was_left_out(data):
    folder = Path(data.root) / "train/wav" / speaker_name(0)
    for number in range(10, 110):
        path = folder / f"{folder.name}{number:04d}.wav"
        soundfile.write(path, bursts(0.36, number, 16_000), 16_000)
    path.write_bytes(b"")
    text = shown(prepare_corpus(data))
    rows = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["test", "all", "4", "8", "0.00"] in rows
    assert ["test", "female", "2", "4", "0.00"] in rows
    assert sum(int(row[3]) for row in rows if len(row) == 5 and row[1] == "all") == 6 * 2 + 2 * 2 + 99 + 8
    assert "6 utterances of test/ are left out of every set: their speaker is in train/" in text
    assert "1 recordings could not be used" in text
    assert f"  train/wav/{folder.name}/{path.name}: empty: 0 bytes" in text
    assert any(row[-1:] == ["0.01"] for row in rows)  # 99 x 0.36 s


def test_a_second_call_and_another_process_give_the_same(data):
    first, second = prepare_corpus(data), prepare_corpus(data)
    assert first.splits == second.splits
    assert first.store.folder == second.store.folder


def test_a_few_speakers_of_it_keep_the_three_sets(data):
    data.max_speakers = 9
    prepared = prepare_corpus(data)
    assert prepared.store.index["speaker"].nunique() == 9
    assert len(prepared.splits.test) == 2
    assert shown(prepared).count("test") >= 1


def test_a_misspelt_speaker_fails_before_anything_is_read(data, monkeypatch):
    monkeypatch.setattr(prepared_module, "prepare_store", None)
    data.validation_speakers = ["SSB0005", "SSB9999"]
    with pytest.raises(InputError, match=r"data\.validation_speakers: SSB9999"):
        prepare_corpus(data)


def test_a_tree_of_folders(tmp_path):
    for speaker in ("19", "26", "32", "39", "40", "60"):
        for chapter in ("1", "2"):
            path = tmp_path / "libri/clean" / speaker / chapter / f"{speaker}-{chapter}.flac"
            path.parent.mkdir(parents=True)
            soundfile.write(path, bursts(0.2, int(speaker), 16_000), 16_000)
    data = DataConfig(
        corpus=CorpusName.folder, root=str(tmp_path / "libri"), store=str(tmp_path / "store"), speaker_depth=2
    )
    prepared = prepare_corpus(data)
    assert [len(prepared.rows(split)) for split in SPLITS] == [4, 4, 4]
    assert prepared.store.folder.name.startswith("folder-16000hz-")


def test_the_corpus_is_fetched_only_if_asked_for_and_missing(tmp_path, monkeypatch):
    calls = []

    def download(root):
        calls.append(root)
        write_aishell3(root, utterances=1, seconds=0.05)

    monkeypatch.setattr(sources, "download_aishell3", download)
    root = tmp_path / "aishell3"
    data = DataConfig(corpus=CorpusName.aishell3, root=str(root), store=str(tmp_path / "store"))
    with pytest.raises(InputError, match=r"data\.download=true"):
        prepare_corpus(data)
    data.download = True
    prepare_corpus(data)
    prepare_corpus(data)
    assert calls == [root]


def test_a_speaker_that_only_a_mislabelled_file_names_is_not_chosen(data):
    for number in range(11):
        path = Path(data.root) / "train/wav" / speaker_name(0) / f"SSB99{number:02d}0001.wav"
        soundfile.write(path, bursts(0.1, number, 16_000), 16_000)
    with pytest.raises(InputError, match=r"11 of \d+ recordings cannot be used"):
        prepare_corpus(data)
    chosen = prepare_corpus(replace(data, max_speakers=9)).store.index["speaker"]
    assert chosen.nunique() == 9
    assert not chosen.str.startswith("SSB99").any()


def lists(data):
    """What a training meets: names and samples, by set."""
    prepared = prepare_corpus(data)
    index = prepared.store.index[["speaker", "utterance", "sha256"]]
    return {split: index.iloc[prepared.rows(split)].to_numpy().tolist() for split in SPLITS}


@pytest.mark.parametrize("how", ["gone", "empty", "store named", "store moved"])
@pytest.mark.parametrize("asked", [0, 9])
def test_a_store_stands_alone(data, tmp_path, how, asked):
    before = lists(replace(data, max_speakers=asked, store=str(tmp_path / "apart")))
    store = prepare_corpus(data).store.folder  # of all speakers
    shutil.rmtree(data.root)
    alone = replace(data, max_speakers=asked)
    if how == "empty":
        Path(data.root).mkdir()  # where nothing is mounted
    elif how == "store named":
        alone = replace(alone, root=str(store), store=str(tmp_path / "nowhere"))
    elif how == "store moved":
        alone = replace(alone, root="/another/machine", store=str(store.parent.rename(tmp_path / "other")))
    assert lists(alone) == before


def test_a_store_of_some_speakers_is_not_taken_for_one_of_all(data):
    some = replace(data, max_speakers=9)
    before = lists(some)
    shutil.rmtree(data.root)
    assert lists(some) == before
    for other in (data, replace(data, max_speakers=8), replace(some, test_speakers=[speaker_name(0)])):
        with pytest.raises(InputError, match=r"data\.root: .* is not there, and .* holds no store of it that fits"):
            prepare_corpus(other)


def test_several_stores_that_fit_are_named(data):
    first = prepare_corpus(data).store.folder
    next(Path(data.root).rglob("*.wav")).unlink()
    second = prepare_corpus(data).store.folder
    shutil.rmtree(data.root)
    with pytest.raises(InputError) as refusal:
        prepare_corpus(data)
    assert str(first) in str(refusal.value)
    assert str(second) in str(refusal.value)
    assert prepare_corpus(replace(data, root=str(second))).store.folder == second


def test_a_store_is_used_only_for_what_it_holds(data, tmp_path):
    store = prepare_corpus(data).store.folder
    with pytest.raises(InputError, match=r"data\.sample_rate: 8000, but data\.root is the store .* of 16000"):
        prepare_corpus(replace(data, root=str(store), sample_rate=8000))
    with pytest.raises(InputError, match=r"data\.corpus: demo, but"):
        prepare_corpus(replace(data, root=str(store), corpus=CorpusName.demo))
    for speaker in "abcdefgh":
        (tmp_path / "one" / speaker).mkdir(parents=True)
        soundfile.write(tmp_path / "one" / speaker / "x.wav", bursts(0.1, 1, 16_000), 16_000)
    trees = replace(data, corpus=CorpusName.folder, root=str(tmp_path / "one"))
    prepare_corpus(trees)
    with pytest.raises(InputError, match="other is not there"):  # the store of `one` is of somebody else
        prepare_corpus(replace(trees, root=str(tmp_path / "other")))


def test_a_store_of_an_earlier_version_opens_by_its_name(data):
    store = prepare_corpus(data).store.folder
    about = json.loads((store / "store.json").read_text())
    kept = {key: about[key] for key in ("sample_rate", "utterances", "samples")} | {"format": 1}
    (store / "shard-00000.s16").rename(store / "samples.i16")
    (store / "store.json").write_text(json.dumps(kept))
    shutil.rmtree(data.root)
    assert prepare_corpus(replace(data, root=str(store))).store.folder == store


def test_a_copy_of_the_corpus_is_compared_once_and_a_changed_file_refused(data, tmp_path, capfd):
    store = prepare_corpus(data).store
    copy = Path(shutil.copytree(data.root, tmp_path / "copy", copy_function=shutil.copyfile))
    copied = replace(data, root=str(copy))
    assert prepare_corpus(copied).store.folder == store.folder
    assert f"comparing {len(store.index)} newer recordings" in capfd.readouterr().err
    prepare_corpus(copied)
    assert "comparing" not in capfd.readouterr().err
    path = next(copy.rglob("*.wav"))
    samples, rate = soundfile.read(path, dtype="int16")
    size = path.stat().st_size
    soundfile.write(path, samples // 2, rate)
    assert path.stat().st_size == size
    with pytest.raises(InputError, match=rf"data\.root: .*{path.name} in .* is not what .* delete that folder"):
        prepare_corpus(copied)


def test_a_filtered_copy_that_looks_older_is_not_taken_for_the_corpus(data, tmp_path):
    prepare_corpus(data)
    copy = Path(shutil.copytree(data.root, tmp_path / "copy"))
    for path in copy.rglob("*.wav"):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path, samples // 2, rate)
        os.utime(path, (0, 0))
    with pytest.raises(InputError, match=r"data\.root: .* in .*copy is not what .* another data\.store"):
        prepare_corpus(replace(data, root=str(copy)))


def test_nothing_is_made_where_that_was_not_asked_for(data, tmp_path):
    with pytest.raises(InputError, match="is not prepared in"):
        prepare_corpus(data, may_prepare=False)
    demo = replace(data, corpus=CorpusName.demo, root=str(tmp_path / "demo"))
    with pytest.raises(InputError, match="is not there"):
        prepare_corpus(demo, may_prepare=False)
    assert {path.name for path in tmp_path.iterdir()} == {"corpus"}
    prepare_corpus(data)
    prepare_corpus(data, may_prepare=False)


BUILD = """
import sys, time
from pathlib import Path
from convtasnet_lit.data_config import CorpusName, DataConfig
from convtasnet_lit.corpus import demo
from convtasnet_lit.corpus.prepared import prepare_corpus
from tests.corpus.trees import write_aishell3

def slowly(root, *_):
    with open(sys.argv[2], "a") as file:
        file.write("built\\n")
    time.sleep(1)
    write_aishell3(root, utterances=1, seconds=0.05)

demo._write_corpus = slowly
prepare_corpus(DataConfig(corpus=CorpusName.demo, root=sys.argv[1] + "/demo", store=sys.argv[3]))
"""


def test_of_two_processes_one_builds_the_corpus_and_the_other_waits(tmp_path):
    log = tmp_path / "log"
    stores = [str(tmp_path / name) for name in ("one", "other")]  # their own, whose lock they do not share
    commands = [[sys.executable, "-c", BUILD, str(tmp_path / "data"), str(log), store] for store in stores]
    both = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
    assert [process.wait() for process in both] == [0, 0]
    assert log.read_text() == "built\n"
    assert not list((tmp_path / "data").glob("*.partial"))


def test_the_corpus_rooms_import_no_torch():
    script = (
        "import sys, convtasnet_lit.corpus.prepared; "
        "print(sorted({'torch', 'lightning', 'torchaudio', 'wandb'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
