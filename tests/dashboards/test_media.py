"""What dashboards are given can be read back: the same keys each epoch, sound and pictures of the fixed mixtures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb

from convtasnet_lit.config import Config, LoggerConfig, LoggerName
from convtasnet_lit.dashboards import media
from convtasnet_lit.dashboards.media import ValidationMedia
from convtasnet_lit.training.run import train


def test_tensorboard_is_given_sound_and_pictures_of_each_epoch(config: Config, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(replace(config, logger=LoggerConfig(LoggerName.tensorboard)), tmp_path, [ValidationMedia()])
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    read = EventAccumulator(str(events), {"audio": 0, "images": 0})
    read.Reload()
    names = {f"mixture {n} {what}" for n in (0, 1) for what in ("mixture", "reference_1", "estimate_1", "estimate_2")}
    assert {f"audio/{name}" for name in names} <= set(read.Tags()["audio"])
    assert set(read.Tags()["images"]) == {f"{kind}/mixture {n}" for kind in ("spectrograms", "masks") for n in (0, 1)}
    heard = read.Audio("audio/mixture 0 estimate_1")
    assert len(heard) == config.trainer.max_epochs
    assert heard[0].sample_rate == config.data.sample_rate
    assert heard[0].encoded_audio_string != heard[1].encoded_audio_string  # the network learned something


def test_wandb_gets_the_same_keys_each_epoch_offline(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    settings = LoggerConfig(LoggerName.wandb, group="masks")
    train(replace(config, logger=settings), tmp_path, [ValidationMedia()])
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".wav", ".jpg") and "media" in path.parts]
    kinds = {"/".join(path.parts[path.parts.index("media") + 1 : -1]) for path in files}
    assert {"audio/audio", "images/spectrograms", "images/masks"} <= kinds
    assert sum("mixture 0 estimate_1" in path.name for path in files) == config.trainer.max_epochs


def test_wandb_is_told_what_to_find_a_run_by_and_keeps_its_best_checkpoint_if_asked(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))  # where artifacts wait to be uploaded
    told: list[dict[str, Any]] = []
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **settings: told.append(settings) or init(**settings))
    settings = LoggerConfig(LoggerName.wandb, group="masks", label="seed=1", tags=["people", "masks"])
    for artifacts in (False, True):
        folder = tmp_path / str(artifacts)
        train(replace(config, logger=replace(settings, artifacts=artifacts)), folder)
        found = {key: told[-1][key] for key in ("name", "group", "tags", "mode")}
        assert found == {"name": "seed=1", "group": "masks", "tags": ["people", "masks"], "mode": "offline"}
        best = (folder / "checkpoints" / "best.ckpt").read_bytes()
        kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.read_bytes() == best]
        assert len(kept) == artifacts


def test_a_training_goes_on_without_its_pictures(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(media, "example_signals", fail)
    with pytest.warns(UserWarning, match="were not logged: No space left"):
        result = train(replace(config, logger=LoggerConfig(LoggerName.tensorboard)), tmp_path, [ValidationMedia()])
    assert result.epochs == config.trainer.max_epochs
