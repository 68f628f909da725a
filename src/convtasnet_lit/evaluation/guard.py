"""What a network is evaluated on, and where that is written."""

from pathlib import Path

from convtasnet_lit.config import Config, DataConfig, DataOverrides, PrepareConfig, Split, plain, typed
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.weights.stored import StoredNetwork


def evaluated_data(overrides: DataOverrides, stored: StoredNetwork) -> DataConfig:
    """Return what a network was trained on, or the corpus asked for, with what else was asked for.

    Args:
        overrides: What was asked for, None elsewhere.
        stored: The network, whose rate, number of speakers and normalization are kept.

    Raises:
        InputError: It asks for another rate or number of speakers than the network's, or for no corpus where the
            network's file names none.
    """
    asked = {key: value for key, value in plain(overrides).items() if value is not None}
    if stored.config is None and "corpus" not in asked:
        raise InputError(f"data: {stored.file} holds no settings of a training; give a corpus such as data=voices")
    mixed = {"fewest_speakers": stored.fewest_speakers} if stored.fewest_speakers < stored.num_sources else {}
    base = mixed if "corpus" in asked else plain(typed(Config, stored.config).data)
    kept = {"num_speakers": stored.num_sources, "sample_rate": stored.sample_rate, "normalize": stored.normalized}
    for key, value in kept.items():
        if asked.get(key, value) != value:
            raise InputError(f"data.{key}: {asked[key]}, but {stored.file} was trained with {value}")
    return typed(PrepareConfig, {"data": {**base, **asked, **kept}}).data.at_absolute_paths()


def refuse_known_speakers(data: MixtureDataModule, stored: StoredNetwork, split: Split) -> None:
    """Refuse to call those test speakers whom this network has met.

    Args:
        data: What it is evaluated on.
        stored: The network.
        split: Only `test` promises strangers.

    Raises:
        InputError: It has met some.
    """
    met = set(stored.speakers) & set(data.corpus.splits.test)
    if split is Split.test and met and _same_corpus(data.data, stored):
        names = ", ".join(sorted(met)[:5])
        raise InputError(f"data.test_speakers: {names} were in this network's training or validation")


def _same_corpus(data: DataConfig, stored: StoredNetwork) -> bool:
    """Whether equal names mean the same person."""
    root = data.root if stored.config is None else stored.config["data"]["root"]
    return (data.corpus.name, data.root) == (stored.corpus, root)


def output_folder(stored: StoredNetwork, checkpoint: str, split: Split) -> Path:
    """Return where an evaluation is written by default: into the run's folder, else into the current one.

    Args:
        stored: The network.
        checkpoint: What the user called it.
        split: The list it is evaluated on.
    """
    if stored.config is not None:
        return stored.file.parent.parent / f"evaluation-{split.name}"
    named = Path(checkpoint)
    return Path(f"evaluation-{named.stem if named.is_file() else named.name}-{split.name}")
