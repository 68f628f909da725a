"""A model card says what the run's files say, by its corpus's name, and nothing that they do not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from convtasnet_lit.config import Config
from convtasnet_lit.data_config import AugmentConfig, CorpusName
from convtasnet_lit.errors import InputError
from convtasnet_lit.evaluation.card import model_card
from convtasnet_lit.evaluation.card_scores import CORPORA
from convtasnet_lit.weights.pretrained import read_stored
from tests.runs import write_run, write_scores


def card_of(run: Path, name: str = "me/pair") -> str:
    return model_card(read_stored(run), name, "mit")


def metadata(card: str) -> dict:  # type: ignore[type-arg]
    values: dict = yaml.safe_load(card.split("---\n")[1])  # type: ignore[type-arg]
    return values


def test_scores_stand_under_the_name_of_their_corpus(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run")
    write_scores(run, "voices")  # another corpus than it was trained on
    card = card_of(run)
    assert "`voices`: real speech in nine languages" in card.split("## Results")[1]
    assert "| all | 6 | 6.03 (5.86 to 6.20) |\n| FM | 1 | 6.03 |" in card
    values = metadata(card)
    assert (values["license"], values["pipeline_tag"], values["metrics"]) == ("mit", "audio-to-audio", ["si_sdri"])
    (entry,) = values["model-index"]
    (result,) = entry["results"]
    assert (entry["name"], result["dataset"]["type"], result["dataset"]["split"]) == ("pair", "voices", "test")
    assert result["metrics"] == [{"type": "si_sdri", "name": "SI-SDRi (dB)", "value": 6.03}]


def test_it_says_how_the_network_was_trained(config: Config, tmp_path: Path) -> None:
    config = replace(config, augment=AugmentConfig(random_crop=False, speed_range=0.2, snr_probability=0))
    card = card_of(write_run(config, tmp_path / "run"))
    for line in (
        "separates 2 speakers from one channel at 8000 Hz, trained with convtasnet_lit.",
        "`aishell3`: AISHELL-3 (OpenSLR SLR93)",
        "2 speakers were heard in training and validation. Splits are by speaker",
        "| effective batch | 4 mixtures |",
        "| augmentation | no random crop, speed 1 ± 0.2, no SNR |",
        "| checkpoint | epoch 3 of 5; validation loss 7.50, si_sdri 5.25 |",
        'Separator.from_pretrained("me/pair")',
    ):
        assert line in card
    assert "## Results" not in card
    assert "model-index" not in metadata(card)


def test_it_says_what_recordings_the_mixtures_were_made_like(config: Config, tmp_path: Path) -> None:
    assert "no noise, music or reverberation was added" in card_of(write_run(config, tmp_path / "clean"))
    realistic = replace(config, augment=AugmentConfig(room_probability=0.7, noise_probability=0.25))
    card = card_of(write_run(realistic, tmp_path / "run"))
    assert "| conditions | room in 70%, noise in 25%; in rooms the target is the reverberant speech |" in card
    assert "no noise" not in card


def test_the_synthetic_corpus_is_never_taken_for_speech(config: Config, tmp_path: Path) -> None:
    demo = replace(config, data=replace(config.data, corpus=CorpusName.demo))
    card = card_of(write_run(demo, tmp_path / "run"))
    assert "no human speech" in card
    assert "its scores say nothing about real speech" in card
    assert "AISHELL" not in card


def test_it_says_how_often_speakers_are_counted_right(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run")
    path = write_scores(run, "demo")
    report = json.loads(path.read_text()) | {"counting": {"accuracy": 0.875, "ci95": [0.8, 0.95], "confusion": {}}}
    path.write_text(json.dumps(report))
    assert "found right in 87.5% (80.0% to 95.0%) of the mixtures" in card_of(run)


def test_scores_of_other_weights_are_left_out(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run")
    write_scores(run, "demo")
    moved = run.rename(tmp_path / "elsewhere")
    assert "## Results" in card_of(moved)
    write_run(config, moved, seed=1)  # begun anew: a checkpoint of the same name and epoch
    assert "## Results" not in card_of(moved)


def test_scores_under_conditions_have_a_table_of_their_own(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run")
    path = write_scores(run, "demo")
    report = json.loads(path.read_text())
    path.write_text(json.dumps(report | {"conditions": ["room"]}))
    assert "## Results" not in card_of(run)
    path.write_text(json.dumps(report))
    for name, more in (("noise", {}), ("lone", {"lone_held": {"share": 0.84, "ci95": [0.8, 0.9], "median_db": 30.0}})):
        folder = run / f"evaluation-test-{name}"
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps(report | {"conditions": [name]} | more))
    plain, hard = card_of(run).split("## Results")[1].split("## Use")[0].split("## Under conditions")
    assert "| FM | 1 | 6.03 |" in plain
    assert "noise" not in plain
    assert "| noise | 6 | 6.03 (5.86 to 6.20) |" in hard
    assert "Of 6 lone speakers 84% came out on one output, the other 20 dB under it." in hard


def test_what_is_said_of_the_data_stands_with_the_data(config: Config, tmp_path: Path) -> None:
    stored = read_stored(write_run(config, tmp_path / "run"))
    data = (
        model_card(stored, "mine", "mit", "Anna and Ben, ten minutes each.\n")
        .split("## Data")[1]
        .split("## Training")[0]
    )
    assert data.endswith("\n\nAnna and Ben, ten minutes each.\n\n")


def test_a_checkpoint_in_the_middle_of_an_epoch_has_no_scores_of_that_epoch(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run", batches_done=3)
    assert "| checkpoint |" not in card_of(run)


def test_damaged_files_of_the_run_are_named(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run")
    scores = write_scores(run, "demo")
    for text in ('{"scores": ', "[]", json.dumps({"weights": read_stored(run).digest})):
        scores.write_text(text)
        with pytest.raises(InputError, match=r"metrics\.json: not as convtasnet_lit\.evaluate writes it"):
            card_of(run)
    scores.unlink()
    for text in ("epoch,val/loss\n0,1\n", "", "a,b\n1,2\n"):
        (run / "history.csv").write_text(text)
        with pytest.raises(InputError, match=r"history\.csv: has no row of epoch 2"):
            card_of(run)
    (run / "history.csv").unlink()
    assert "| checkpoint |" not in card_of(run)


def test_every_corpus_has_a_description() -> None:
    assert set(CORPORA) == {corpus.name for corpus in CorpusName}
