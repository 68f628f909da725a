"""What a training begins with: weights drawn at random, or those of a trained network."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from convtasnet_lit.config import Config, ModelConfig, plain, typed
from convtasnet_lit.errors import InputError
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
        The run with the network's sizes, sample rate and number of speakers, and the network whose weights it takes:
        None for random ones, and for a run that goes on.

    Raises:
        InputError: The network cannot be opened, or another size, rate or number was asked for.
    """
    if not config.init:
        return config, None
    last = folder / "checkpoints" / "last.ckpt"
    goes_on = config.resume and last.exists()
    stored = read_stored(last if goes_on else DEFAULT if config.init == SHIPPED else config.init)
    return _fitted(config, stored, given), None if goes_on else stored


def _fitted(config: Config, stored: StoredNetwork, given: Collection[str]) -> Config:
    model = typed(ModelConfig, dict(stored.arguments))
    theirs = {f"model.{key}": value for key, value in plain(model).items()}
    theirs |= {"data.sample_rate": stored.sample_rate, "data.num_speakers": stored.num_sources}
    groups = plain(config)
    for key, value in theirs.items():
        group, name = key.split(".")
        asked = groups[group][name]
        if asked != value and not {key, group}.isdisjoint({*given} - {"data"}):
            raise InputError(f"{key}: {asked}, but init={config.init} is a network with {value}; leave it out")
    data = replace(config.data, sample_rate=stored.sample_rate, num_speakers=stored.num_sources)
    rank_zero_info(f"{stored.num_sources} speakers, {stored.sample_rate} Hz and model.* as in {stored.file}")
    return replace(config, model=model, data=data)
