"""Any file of a Conv-TasNet opens and gives the output of the network that was saved, or says in one line why not."""

import json
import logging
import os
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio

from convtasnet_lit.config import Config
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.checkpoint import read_checkpoint, write_checkpoint
from convtasnet_lit.weights.pretrained import load_pretrained, read_stored
from convtasnet_lit.weights.published import write_published
from tests.runs import write_run
from tests.weights.test_interchange import LENGTHS, assert_same, randomized

with warnings.catch_warnings():  # it uses decorators that torch has deprecated
    warnings.simplefilter("ignore")
    asteroid_models = pytest.importorskip("asteroid.models", reason="pip install --no-deps asteroid==0.7.0")

SMALL = {"n_filters": 24, "bn_chan": 8, "hid_chan": 12, "skip_chan": 10, "n_blocks": 2, "n_repeats": 2}
MIXTURE = torch.randn(2, 801, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def run(config: Config, tmp_path: Path) -> Path:
    """The folder of a run, its weights random."""
    return write_run(config, tmp_path / "run")


@pytest.fixture
def published(run: Path, tmp_path: Path) -> Path:
    """A published folder."""
    (tmp_path / "published").mkdir()
    write_published(read_stored(run), tmp_path / "published")
    return tmp_path / "published"


def serialized(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[torch.nn.Module, dict[str, Any]]:
    """A network of Asteroid's and what it saves; of Lightning, by the old name, it asks for the version alone."""
    stand_in = types.ModuleType("pytorch_lightning")
    stand_in.__version__ = "2.6"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch_lightning", stand_in)
    with warnings.catch_warnings():  # of the norm that it replaces by another
        warnings.simplefilter("ignore")
        network = randomized(asteroid_models.ConvTasNet(**{"n_src": 2, **SMALL, **settings}))
    return network, network.serialize()  # type: ignore[operator]


def test_a_run_a_checkpoint_and_a_published_folder_are_one_network(run: Path, published: Path) -> None:
    folder, file, shared = map(load_pretrained, (run, str(run / "checkpoints" / "best.ckpt"), published))
    assert not folder.network.training
    assert (shared.sample_rate, shared.normalized, shared.fewest_speakers) == (8000, True, 2)
    weights = folder.network.state_dict()
    for other in (file, shared):
        assert all(torch.equal(weights[name], value) for name, value in other.network.state_dict().items())
        assert torch.equal(folder.network(MIXTURE), other.network(MIXTURE))
    assert read_stored(published).speakers == ("S1", "S2")


@pytest.mark.parametrize(
    "settings",
    [
        {"mask_act": "relu", "sample_rate": 16000.0},
        {"n_src": 3, "mask_act": "softmax", "kernel_size": 20, "stride": 10},
        {"norm_type": "cgLN", "causal": True, "encoder_activation": "relu"},
        {"norm_type": "bN", "conv_kernel_size": 5},
    ],
)
@torch.no_grad()
def test_asteroids_own_file_gives_asteroids_output(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, saved = serialized(monkeypatch, **settings)
    torch.save(saved, tmp_path / "model.pth")
    ours = load_pretrained(tmp_path / "model.pth")
    assert (ours.sample_rate, ours.normalized) == (settings.get("sample_rate", 8000), False)
    assert ours.fewest_speakers == ours.network.num_sources == settings.get("n_src", 2)
    for length in LENGTHS[1:]:
        mixture = torch.randn(2, length)
        assert_same(ours.network(mixture), theirs(mixture))


def test_an_older_file_of_asteroids_opens_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, saved = serialized(monkeypatch)
    saved["infos"]["software_versions"]["torch_version"] = "1.7.1"
    saved["model_args"] |= {"fb_name": "free", "in_chan": None, "out_chan": None, "stride": None}
    del saved["model_args"]["causal"], saved["model_args"]["encoder_activation"]
    torch.save(saved, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert_same(load_pretrained(tmp_path).network(MIXTURE), theirs(MIXTURE))


def by_lightning(state: dict[str, Any]) -> dict[str, Any]:
    return {"state_dict": {f"model.{name}": state[name] for name in state}, "hyper_parameters": {"lr": 1e-3}}


@pytest.mark.parametrize("wrap", [dict, by_lightning])
@torch.no_grad()
def test_torchaudios_own_file_gives_torchaudios_output(
    wrap: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = randomized(torchaudio.models.ConvTasNet(3, 20, 24, 3, 8, 12, 8, 2, "relu"))
    torch.save(wrap(theirs.state_dict()), tmp_path / "model.pt")
    with caplog.at_level(logging.WARNING):
        ours = load_pretrained(tmp_path / "model.pt")
    (record,) = caplog.records
    said = "model.pt: a state_dict does not say all; assumed as in torchaudio's conv_tasnet_base: 8 blocks a repeat, "
    assert f"{said}mask activation relu (the class's own default is sigmoid), 8000 Hz" in record.getMessage()
    assert (ours.sample_rate, ours.normalized, ours.fewest_speakers) == (8000, False, 3)
    for length in LENGTHS:
        mixture = torch.randn(2, length)
        assert_same(ours.network(mixture), theirs(mixture.unsqueeze(1)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fb_name": "STFTFB"}, "fb_name: STFTFB"),
        ({"stride": 4}, "stride: 4 is not allowed; it must be half of kernel_size"),
        ({"norm_type": "cLN"}, "norm_type: cLN is not allowed; it must be gLN or cgLN or bN"),
        ({"causal": True}, "norm_type: gLN is not allowed; it must be cgLN"),
        ({"skip_chan": 0}, "skip_chan: 0"),
        ({"mask_act": "tanh"}, "mask_act: tanh"),
        ({"encoder_activation": "prelu"}, "encoder_activation: prelu"),
        ({"encoder_activation": []}, "encoder_activation: []"),
        ({"sample_rate": None}, "sample_rate: None"),
        ({"sample_rate": "8k"}, "sample_rate: 8k is not allowed; it must be a whole number of Hz"),
        ({"out_chan": 12}, "out_chan: 12 is not allowed; it must be n_filters, 24"),
        ({"n_filters": "many"}, "n_filters: many"),
        ({"hid_chan": 13}, "size mismatch for separator.blocks.0.expand.weight"),
    ],
)
def test_what_of_asteroids_ours_cannot_be_is_refused(
    changed: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, saved = serialized(monkeypatch)
    saved["model_args"] |= changed
    torch.save(saved, tmp_path / "model.pth")
    assert_refused(tmp_path / "model.pth", said)


def test_asteroid_files_without_what_they_should_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pth"
    _, saved = serialized(monkeypatch)
    for broken, said in (
        ({"model_name": "DPRNNTasNet"}, "model_name: DPRNNTasNet"),
        ({"model_args": {k: v for k, v in saved["model_args"].items() if k != "sample_rate"}}, "without sample_rate"),
        ({"model_args": 3}, "model_args"),
        ({"state_dict": 3}, "not whole, or not as the toolkit that it names writes it"),
        ({"state_dict": {}}, "4 blocks, but 0 weights"),
        ({"state_dict": {"head.weight": torch.zeros(1)}}, "head.weight"),
    ):
        torch.save(saved | broken, path)
        assert_refused(path, said)
    torch.save(saved["state_dict"], path)
    assert_refused(path, r"nor a ConvTasNet as saved by Asteroid (model.serialize())")


def test_a_causal_network_that_asteroid_gave_another_norm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, saved = serialized(monkeypatch, causal=True, norm_type="gLN")
    torch.save(saved, tmp_path / "model.pth")
    assert_refused(tmp_path / "model.pth", "norm_type: cLN")


def test_torchaudio_files_that_do_not_say_enough_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(torchaudio.models.ConvTasNet(2, 16, 24, 3, 8, 12, 3, 2).state_dict(), path)
    assert_refused(path, "6 layers are no repeats of 8")
    state = torchaudio.models.ConvTasNet(2, 16, 24, 3, 8, 12, 8, 1).state_dict()
    for missing in ("encoder.weight", "mask_generator.output_conv.bias"):
        torch.save({name: value for name, value in state.items() if name != missing}, path)
        assert_refused(path, "state_dict" if missing == "encoder.weight" else "separator.output.bias")
    torch.save(state | {"mask_generator.extra.weight": torch.zeros(1)}, path)
    assert_refused(path, "mask_generator.extra.weight")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 2}, "config.json: of format 2; this version of convtasnet_lit reads 1"),
        ({"sample_rate": "8k"}, "config.json: sample_rate: '8k' is not allowed; it must be of type int"),
        ({"normalized": None}, "config.json: normalized: None"),
        ({"fewest_speakers": 3}, "fewest_speakers: 3 is not allowed; it must be a whole number from 1 to 2"),
        *(
            ({"sample_rate": rate}, "config.json: sample_rate: " if isinstance(rate, float | str) else "sample_rate: ")
            for rate in (1e30, 2**70, True, "abc", None, -1, 3999, float("nan"))
        ),
        ({"num_sources": True, "fewest_speakers": True}, "num_sources: True is not allowed"),
        ({"num_sources": 10**12}, "num_sources: 1000000000000 is not allowed"),
        ({"recordings": 3}, "recordings: 3 is not allowed"),
        ({"network": {"depth": 3}}, "make no ConvTasNet"),
        ({"network": {"num_filters": 10**9}}, "make no ConvTasNet"),
        ({"network": {"num_filters": 10**30}}, "make no ConvTasNet"),
        ({"network": {"num_blocks": 10**9}}, "blocks, but"),
        ({"network": {"num_blocks": "x", "num_repeats": 10**12}}, "num_blocks and num_repeats are 'x' and 1000"),
        ({"network": {"num_filters": "many"}}, "make no ConvTasNet"),
        ({"network": {}}, "Missing key(s) in state_dict: "),
    ],
)
def test_a_spoilt_config_json_is_one_line(changed: dict[str, Any], said: str, published: Path) -> None:
    values = json.loads((published / "config.json").read_text())
    (published / "config.json").write_text(json.dumps(values | changed))
    assert_refused(published, said)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused(value: float, run: Path, published: Path) -> None:
    path = run / "checkpoints" / "best.ckpt"
    saved = read_checkpoint(path)
    name = "separator.blocks.1.depthwise.weight"
    saved["state_dict"][f"network.{name}"] = saved["state_dict"][f"network.{name}"].double()
    saved["state_dict"][f"network.{name}"][3, 0, 1] = value  # 1e300: beyond float32
    write_checkpoint(saved, path)
    stored = read_stored(path)
    write_published(stored, published)
    for place, file in ((path, path), (published, published)):
        assert_refused(place, f"{file}: {name} holds NaN or infinity")


def test_a_weight_of_one_stored_number_is_not_blown_up(run: Path) -> None:
    path = run / "checkpoints" / "best.ckpt"
    saved = read_checkpoint(path)
    saved["state_dict"]["network.encoder.filters.weight"] = torch.zeros(1).expand(10**12, 1, 40)
    saved["hyper_parameters"]["config"]["model"]["num_filters"] = 10**12
    torch.save(saved, path)
    assert_refused(path, "encoder.filters.weight is larger than what the file holds of it")


def test_a_configuration_with_an_interpolation_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hush")
    path = run / "checkpoints" / "best.ckpt"
    saved = read_checkpoint(path)
    for group, key in (("data", "root"), ("logger", "project")):
        config = saved["hyper_parameters"]["config"]
        changed = config | {group: config[group] | {key: "${oc.env:SECRET}"}}
        write_checkpoint(saved | {"hyper_parameters": {"config": changed}}, path)
        assert_refused(path, "its configuration holds an interpolation")


def test_a_config_json_that_never_ends_is_refused(published: Path) -> None:
    config = published / "config.json"
    config.unlink()
    os.mkfifo(config)
    assert_refused(published, "config.json: there is no such file")
    config.unlink()
    config.symlink_to("/dev/zero")
    assert_refused(published, "config.json: there is no such file")
    config.unlink()
    config.write_text("[" * 100_000)
    assert_refused(published, "config.json: not readable as JSON")


def test_a_flipped_bit_of_published_weights_is_noticed(published: Path) -> None:
    weights = published / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    assert_refused(published, "model.safetensors: damaged: its weights are not those that config.json was written for")


def test_a_damaged_published_folder_is_one_line(published: Path) -> None:
    weights, config = published / "model.safetensors", published / "config.json"
    whole = weights.read_bytes()
    for damaged in (whole[:-100], whole[:5], b"", b"\xff" * 100):
        weights.write_bytes(damaged)
        assert_refused(published, "model.safetensors: not readable as safetensors, perhaps cut short")
    weights.write_bytes(whole)
    for text, said in (('{"format": ', "not readable as JSON"), ("[]", "no format"), ("{}", "no format")):
        config.write_text(text)
        assert_refused(published, f"config.json: {said}" if said != "no format" else said)
    config.unlink()
    assert_refused(published, "config.json: there is no such file")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_foreign_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, saved = serialized(monkeypatch)
    torch.save(saved | {"infos": Evil()}, "evil.pth")
    assert_refused(Path("evil.pth"), "could run code")
    assert not Path("pwned").exists()


def test_a_path_that_is_not_there_keeps_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # the Hub is not asked
    Path("shared").mkdir()
    for mistyped in (
        "runs/experiment-dmo",
        "shared/pair",
        "./me/pair",
        "me/best.ckpt",
        "me/model.safetensors",
        "训练/一",
    ):
        with pytest.raises(InputError) as refused:
            load_pretrained(mistyped)
        assert str(refused.value) == f"{Path(mistyped)}: there is no such file or folder in {tmp_path}"
    assert_refused(tmp_path / "nowhere", "there is no such file or folder")
    assert_refused(tmp_path, "neither a checkpoint nor the folder of a run")


def assert_refused(path: Path, said: str) -> None:
    with pytest.raises(InputError) as refused:
        load_pretrained(path)
    line = str(refused.value)
    assert said in line
    assert line.startswith(str(path))
    assert "\n" not in line
    assert len(line) < 400 + len(str(path))
