"""What a training begins with: weights drawn at random, or those of a trained network."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info

from convtasnet_lit.config import Config, ModelConfig, plain, typed
from convtasnet_lit.errors import InputError
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.pretrained import read_stored
from convtasnet_lit.weights.shipped import DEFAULT
from convtasnet_lit.weights.stored import StoredNetwork

SHIPPED = "shipped"  # the first network in the package, whatever its name is


def begun_with(config: Config, folder: Path, given: Collection[str]) -> tuple[Config, StoredNetwork | None]:
    """Fit a run to the network that it begins with.

    Args:
        config: The run.
        folder: Its folder. A run that goes on is fitted to its own last checkpoint; the first network may be gone.
        given: The settings that were asked for by name, `model` or `data.sample_rate`; the others give way.

    Returns:
        The run with the network's settings, sample rate and number of speakers, and the network whose weights it
        takes: None for random ones, and for a run that goes on.

    Raises:
        InputError: The network cannot be opened, or another size, rate or number was asked for.
    """
    if not config.init:
        return config, None
    last = folder / "checkpoints" / "last.ckpt"
    goes_on = config.resume and last.exists()
    stored = read_stored(last if goes_on else DEFAULT if config.init == SHIPPED else config.init)
    return _fitted(config, stored, given), None if goes_on else stored


def _with(stored: StoredNetwork, changes: Mapping[str, Any]) -> ModelConfig:
    return typed(ModelConfig, {**stored.arguments, **changes})


def _fits(model: ModelConfig, stored: StoredNetwork) -> bool:
    """Whether a network of these settings has weights of the same names and shapes."""
    with torch.device("meta"):
        state = ConvTasNet(stored.num_sources, **plain(model)).state_dict()
    return {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in stored.state.items()
    }


def _fitted(config: Config, stored: StoredNetwork, given: Collection[str]) -> Config:
    theirs = {f"model.{key}": value for key, value in plain(_with(stored, {})).items()}
    theirs |= {"data.sample_rate": stored.sample_rate, "data.num_speakers": stored.num_sources}
    groups, changes = plain(config), {}
    for key, value in theirs.items():
        group, name = key.split(".")
        asked = groups[group][name]
        if asked == value or {key, group}.isdisjoint({*given} - {"data"}):
            continue
        changes[name] = asked
        if key not in given or group != "model" or not _fits(_with(stored, changes), stored):
            raise InputError(f"{key}: {asked}, but init={config.init} is a network with {value}; leave it out")
    model = _with(stored, changes)  # `model.norm=cLN model.causal=true` takes the weights of a network with gLN
    data = replace(config.data, sample_rate=stored.sample_rate, num_speakers=stored.num_sources)
    rank_zero_info(f"{stored.num_sources} speakers, {stored.sample_rate} Hz and model.* as in {stored.file}")
    return replace(config, model=model, data=data)
