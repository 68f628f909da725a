"""Fine-tuning: a run begins with a network's weights, is fitted to it, and knows whom it had met."""

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from convtasnet_lit.config import Config, DataOverrides, ModelConfig, NormName, Split, plain
from convtasnet_lit.data_config import CorpusName
from convtasnet_lit.errors import InputError
from convtasnet_lit.evaluation.card import model_card
from convtasnet_lit.evaluation.guard import evaluated_data, refuse_known_speakers
from convtasnet_lit.training.initial import begun_with
from convtasnet_lit.training.run import train
from convtasnet_lit.weights.checkpoint import read_checkpoint, write_checkpoint
from convtasnet_lit.weights.pretrained import read_stored
from convtasnet_lit.weights.published import write_published
from convtasnet_lit.weights.stored import StoredNetwork
from tests.evaluation.test_guard import strangers
from tests.runs import write_run


class Beginning(Callback):
    """Remember the weights before the first step."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.weights = {name: value.clone() for name, value in module.network.state_dict().items()}  # type: ignore[union-attr,operator]


@pytest.fixture
def first(config: Config, tmp_path: Path) -> Path:
    """The folder of a run with weights of its own."""
    return write_run(config, tmp_path / "first")


@pytest.fixture
def further(config: Config, first: Path) -> Config:
    """A run that begins with it, and is composed for another network."""
    data = replace(config.data, sample_rate=16_000, num_speakers=3)
    return replace(config, init=str(first), model=ModelConfig(), data=data)


def test_a_run_begins_with_the_networks_weights_and_is_fitted_to_it(
    config: Config, first: Path, further: Config, tmp_path: Path
) -> None:
    beginning, stored = Beginning(), read_stored(first)
    train(further, tmp_path / "further", [beginning])
    assert all(torch.equal(value, beginning.weights[name]) for name, value in stored.state.items())
    last = read_checkpoint(tmp_path / "further" / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 8  # the optimizer began anew
    kept = last["hyper_parameters"]["config"]
    assert kept["init"] == str(first)
    assert kept["model"] == plain(config)["model"]
    assert (kept["data"]["sample_rate"], kept["data"]["num_speakers"]) == (8000, 2)
    changed = read_stored(tmp_path / "further").state
    assert any(not torch.equal(value, changed[name]) for name, value in stored.state.items())
    (part,) = json.loads((tmp_path / "further" / "environment.json").read_text())
    assert part["began_with"] == {"init": str(first), "weights": stored.digest}
    assert "| began with | first |" in model_card(read_stored(tmp_path / "further"), "mine", "mit")


def test_a_killed_run_goes_on_without_the_first_network(
    first: Path, further: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(replace(further, trainer=replace(further.trainer, max_epochs=2)), tmp_path / "whole")
    train(replace(further, trainer=replace(further.trainer, max_epochs=1)), tmp_path / "killed")
    shutil.rmtree(first)
    train(replace(further, resume=True), tmp_path / "killed")
    one, other = (read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("whole", "killed"))
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
    assert one["MixtureDataModule"]["recordings"] == other["MixtureDataModule"]["recordings"]
    environments = [json.loads((tmp_path / name / "environment.json").read_text()) for name in ("whole", "killed")]
    assert environments[0] == environments[1]
    with pytest.raises(InputError, match=r"^init: , but .* was trained with .*first"):
        train(replace(further, init="", resume=True, model=ModelConfig()), tmp_path / "killed")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"data.sample_rate"}, "data.sample_rate: 16000, but init="),
        ({"data.num_speakers", "data"}, "data.num_speakers: 3, but init="),
        ({"model"}, "model.num_filters: 512, but init="),
        ({"model.hidden_channels", "data.segment"}, "model.hidden_channels: 512, but init="),
    ],
)
def test_another_size_that_was_asked_for_is_refused(
    further: Config, tmp_path: Path, given: set[str], named: str
) -> None:
    with pytest.raises(InputError) as caught:
        begun_with(further, tmp_path, given)
    assert str(caught.value).startswith(named)
    assert "\n" not in str(caught.value)


def test_a_causal_network_takes_the_weights_of_one_that_is_not(
    further: Config, first: Path, config: Config, tmp_path: Path
) -> None:
    asked = replace(further, model=replace(config.model, norm=NormName.cLN, causal=True))
    given = {"model.norm", "model.causal"}
    fitted, stored = begun_with(asked, tmp_path, given)
    assert fitted.model == asked.model
    assert stored is not None
    beginning = Beginning()
    train(replace(asked, trainer=replace(asked.trainer, max_epochs=1)), tmp_path / "causal", [beginning], given)
    assert all(torch.equal(value, beginning.weights[name]) for name, value in stored.state.items())
    assert read_stored(tmp_path / "causal").arguments["causal"]
    with pytest.raises(InputError, match=r"^model.norm: BN, but init="):  # other buffers
        begun_with(replace(asked, model=replace(config.model, causal=True, norm=NormName.BN)), tmp_path, {"model.norm"})


def test_what_the_network_has_may_be_asked_for(config: Config, first: Path, tmp_path: Path) -> None:
    same = replace(config, init=str(first))
    assert begun_with(same, tmp_path, {"model", "model.num_filters", "data.sample_rate"})[0] == same


def test_the_network_in_the_package_is_called_shipped(config: Config, tmp_path: Path) -> None:
    fitted, stored = begun_with(replace(config, init="shipped"), tmp_path, ())
    assert stored is not None and stored.file.name == "2spk-8k-v2"
    assert (fitted.model.num_filters, fitted.model.num_blocks, fitted.data.sample_rate) == (256, 7, 8000)


def published(stored: StoredNetwork, folder: Path) -> StoredNetwork:
    folder.mkdir()
    write_published(stored, folder)
    return read_stored(folder)


def check(stored: StoredNetwork, root: Path, test: list[str], store: Path) -> None:
    asked = DataOverrides(corpus="folder", root=str(root), store=str(store), test_speakers=test, test_mixtures=3)
    refuse_known_speakers(evaluated_data(asked, stored), stored, Split.test)


def test_whom_the_first_network_met_are_refused_as_test_speakers(
    config: Config, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = replace(config.trainer, max_epochs=1)
    train(replace(config, trainer=trainer), tmp_path / "first")
    met = shutil.copytree(corpus / "train" / "wav", tmp_path / "met")
    others = strangers(tmp_path / "others")
    data = replace(config.data, corpus=CorpusName.folder, root=str(others), store=str(tmp_path / "store"))
    further = replace(config, init=str(tmp_path / "first"), data=data, trainer=trainer)
    train(further, tmp_path / "further")
    train(replace(further, resume=True, trainer=config.trainer), tmp_path / "further")
    people = sorted(path.name for path in met.iterdir())[2:4]
    stored = read_stored(tmp_path / "further")
    for each in (stored, published(stored, tmp_path / "published")):
        with pytest.raises(InputError, match=f"{people[0]}, {people[1]} were in this network's training"):
            check(each, met, people, tmp_path / "store")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_that_the_first_network_says_not_whom_it_met_is_said(
    config: Config, first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = first / "checkpoints" / "best.ckpt"
    unmarked = read_checkpoint(file)
    del unmarked["MixtureDataModule"]["recordings"]
    write_checkpoint(unmarked, file)
    once = replace(config, init=str(first), trainer=replace(config.trainer, max_epochs=1))
    train(once, tmp_path / "second")
    train(replace(once, init=str(tmp_path / "second")), tmp_path / "third")
    stored = read_stored(tmp_path / "third")
    others = strangers(tmp_path / "others")
    for each in (stored, published(stored, tmp_path / "published")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            check(each, others, sorted(path.name for path in others.iterdir())[:2], tmp_path / "store")
        (said,) = caplog.messages
        assert "began with first, which does not say whom it had met" in said
        assert "That is not known of the network it began with, first." in model_card(each, "mine", "mit")


def test_the_door_refuses_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convtasnet_lit.train", "init=shipped", "model=tiny", "logger=csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "error: model.num_filters: 128, but init=shipped is a network with 256; leave it out" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").iterdir())
