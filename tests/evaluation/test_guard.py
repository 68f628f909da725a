"""Whom a network has met is known by what they said, wherever the corpus lies; its file makes nothing on this disk."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from convtasnet_lit.config import Config, DataOverrides, Split
from convtasnet_lit.dashboards import results
from convtasnet_lit.data_config import CorpusName, RootConfig, Target
from convtasnet_lit.errors import InputError
from convtasnet_lit.evaluate import _is_of_its_run, _show_wandb
from convtasnet_lit.evaluation.guard import evaluated_data, output_folder, refuse_known_speakers
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.training.run import train
from convtasnet_lit.weights.checkpoint import read_checkpoint, write_checkpoint
from convtasnet_lit.weights.pretrained import read_stored
from convtasnet_lit.weights.published import write_published
from convtasnet_lit.weights.stored import StoredNetwork
from tests.corpus.trees import bursts, speaker_name
from tests.runs import write_run

KNOWN = [speaker_name(number) for number in range(2, 8)]  # in train/ alone, so trained or validated on


@pytest.fixture
def run(config: Config, tmp_path: Path) -> Path:
    """The folder of a run as training leaves it."""
    train(replace(config, trainer=replace(config.trainer, max_epochs=1)), tmp_path / "run")
    return tmp_path / "run"


def published(run: Path) -> StoredNetwork:
    folder = run.with_name("published")
    folder.mkdir()
    write_published(read_stored(run), folder)
    return read_stored(folder)


def by_speaker(corpus: Path, root: Path, rename: bool) -> Path:
    """The small corpus as one folder a speaker, perhaps under other names."""
    for number, speaker in enumerate(KNOWN):
        name = f"p{9 - number}" if rename else speaker
        (root / name).mkdir(parents=True)
        for count, path in enumerate(sorted((corpus / "train" / "wav" / speaker).iterdir())):
            shutil.copy(path, root / name / (f"{count}.wav" if rename else path.name))
    return root


def strangers(root: Path) -> Path:
    """Other people under the very names of the small corpus."""
    for seed, speaker in enumerate(KNOWN):
        (root / speaker).mkdir(parents=True)
        for number in range(2):
            soundfile.write(
                root / speaker / f"{speaker}{number + 1:04d}.wav", bursts(0.6, 10 * seed + number, 8000), 8000
            )
    return root


def check(stored: StoredNetwork, root: Path, corpus: str, test: list[str], store: Path) -> None:
    asked = DataOverrides(corpus=corpus, root=str(root), store=str(store), test_speakers=test, test_mixtures=3)
    refuse_known_speakers(evaluated_data(asked, stored), stored, Split.test)


def test_met_speakers_are_refused_wherever_they_lie_and_whatever_they_are_called(
    run: Path, corpus: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(corpus, tmp_path / "copy")
    same = by_speaker(corpus, tmp_path / "folder", rename=False)
    renamed = by_speaker(corpus, tmp_path / "renamed", rename=True)
    for stored in (read_stored(run), published(run)):
        for root, kind, test in (
            (corpus, "aishell3", KNOWN[:2]),
            (copy, "aishell3", KNOWN[:2]),
            (same, "folder", KNOWN[:2]),
            (renamed, "folder", ["p8", "p9"]),
        ):
            with pytest.raises(InputError, match=f"{', '.join(test)} were in this network's training"):
                check(stored, root, kind, test, tmp_path / "store")
        check(stored, copy, "aishell3", [], tmp_path / "store")  # its own test speakers are strangers


def test_those_who_speak_in_both_parts_are_known_by_either(run: Path, corpus: Path, tmp_path: Path) -> None:
    both = speaker_name(0)
    root = strangers(tmp_path / "test_part")
    for speaker in (both, *(speaker_name(number) for number in range(8, 12))):
        shutil.copytree(corpus / "test" / "wav" / speaker, root / speaker)
    with pytest.raises(InputError, match=f"test_speakers: {both} were"):
        check(read_stored(run), root, "folder", [both, speaker_name(8)], tmp_path / "store")


def test_others_of_the_same_names_are_strangers(run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = strangers(tmp_path / "others")
    for stored in (read_stored(run), published(run)):
        check(stored, root, "folder", KNOWN[:2], tmp_path / "store")
    assert not caplog.records


def test_an_older_file_is_checked_by_names_and_it_is_said(
    run: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = run / "checkpoints" / "best.ckpt"
    old = read_checkpoint(path)
    del old["MixtureDataModule"]["recordings"]
    write_checkpoint(old, path)
    for stored in (read_stored(run), published(run)):
        with pytest.raises(InputError, match=KNOWN[0]):
            check(stored, corpus, "aishell3", KNOWN[:2], tmp_path / "store")
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            check(stored, corpus, "aishell3", [], tmp_path / "store")
        (said,) = caplog.messages
        assert "does not say which recordings it was trained on" in said
        assert said.endswith("was checked by their names alone")


@pytest.mark.parametrize("kind", list(CorpusName))
def test_a_file_makes_nothing_where_it_names_a_place(kind: CorpusName, config: Config, tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "root.partial").mkdir(parents=True)
    for number in range(8):
        (there / "root" / f"S{number}").mkdir(parents=True)
        soundfile.write(there / "root" / f"S{number}" / "a.wav", bursts(0.6, number, 8000), 8000)
    before = sorted(there.rglob("*"))
    for root in ("root", "missing"):
        places = {"root": str(there / root), "store": str(there / "store"), "download": True}
        places["roots"] = [RootConfig(".")] if kind is CorpusName.mixed else []
        run = write_run(replace(config, data=replace(config.data, corpus=kind, **places)), tmp_path / "run")
        with pytest.raises(InputError, match=r"^data\.(root|store): "):
            refuse_known_speakers(evaluated_data(DataOverrides(), read_stored(run)), read_stored(run), Split.test)
        assert sorted(there.rglob("*")) == before


def test_a_store_that_a_file_names_or_that_is_for_reading_only_stays_as_it_is(
    run: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    MixtureDataModule(config.data).check()
    store = Path(config.data.store)
    before = sorted(store.rglob("*"))
    data = evaluated_data(DataOverrides(test_mixtures=17), read_stored(run))
    assert data.write_list(data.fixed_mixtures(Split.test), Split.test) not in before
    assert sorted(store.rglob("*")) == before
    monkeypatch.setattr(os, "access", lambda *_: False)  # a user's; root may write all
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("written"))
    MixtureDataModule(replace(config.data, test_mixtures=17)).check()


def test_a_network_is_asked_for_what_it_was_trained_to_give(config: Config, tmp_path: Path) -> None:
    run = write_run(replace(config, data=replace(config.data, target=Target.dry)), tmp_path / "run")
    elsewhere = DataOverrides(corpus="voices", root=str(tmp_path))
    for stored in (read_stored(run), published(run)):
        assert evaluated_data(elsewhere, stored).data.target is Target.dry
        assert evaluated_data(replace(elsewhere, target="reverberant"), stored).data.target is Target.reverberant


def test_what_is_asked_for_is_made(config: Config, corpus: Path, tmp_path: Path) -> None:
    run = write_run(replace(config, data=replace(config.data, store=str(tmp_path / "gone"))), tmp_path / "run")
    with pytest.raises(InputError, match=rf"^data\.(root|store): .*{tmp_path / 'gone'}"):
        _ = evaluated_data(DataOverrides(root=str(corpus)), read_stored(run)).corpus
    asked = DataOverrides(root=str(corpus), store=str(tmp_path / "new"))
    assert len(evaluated_data(asked, read_stored(run)).corpus.store.index)


def test_scores_are_written_into_a_run_and_nowhere_else_above_a_file(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run")
    assert output_folder(read_stored(run), str(run), Split.test) == run / "evaluation-test"
    alone = tmp_path / "somebody.ckpt"
    shutil.copy(run / "checkpoints" / "best.ckpt", alone)
    assert output_folder(read_stored(alone), str(alone), Split.test) == Path("evaluation-somebody-test")


def test_a_network_at_the_root_of_a_disk_is_of_no_run(tmp_path: Path) -> None:
    assert not _is_of_its_run({"checkpoint": "/model"}, tmp_path / "evaluation-model-test")
    assert not _is_of_its_run({"checkpoint": "/"}, tmp_path / "evaluation-test")


def test_a_run_of_somebody_else_reads_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr(results, "log_evaluation", lambda _run, settings, *_: sent.append(settings))
    monkeypatch.setenv("TOKEN", "secret")
    for name in (".hydra", "wandb", "evaluation-test"):
        (tmp_path / name).mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("logger: {project: '${oc.env:TOKEN}', group: ''}")
    (tmp_path / "evaluation-test" / "per_utterance.csv").write_text("si_sdr\n1.0\n")
    report = {"split": "test", "checkpoint": str(tmp_path / "checkpoints" / "best.ckpt")}
    _show_wandb(report, tmp_path / "evaluation-test")
    assert [settings["project"] for settings in sent] == ["${oc.env:TOKEN}"]
