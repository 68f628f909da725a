import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from convtasnet_lit.config import CorpusName, DataConfig
from convtasnet_lit.corpus import prepared as prepared_module
from convtasnet_lit.corpus.prepared import SPLITS, describe, prepare_corpus
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

    monkeypatch.setattr(prepared_module, "download_aishell3", download)
    root = tmp_path / "aishell3"
    data = DataConfig(corpus=CorpusName.aishell3, root=str(root), store=str(tmp_path / "store"))
    with pytest.raises(InputError, match=r"data\.download=true"):
        prepare_corpus(data)
    data.download = True
    prepare_corpus(data)
    prepare_corpus(data)
    assert calls == [root]


def test_the_corpus_rooms_import_no_torch():
    script = (
        "import sys, convtasnet_lit.corpus.prepared; "
        "print(sorted({'torch', 'lightning', 'torchaudio', 'wandb'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
