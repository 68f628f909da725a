"""What a network is evaluated on, whether its test speakers are strangers to it, and where the scores are written."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convtasnet_lit.config import DataOverrides, PrepareConfig, Split, plain, typed
from convtasnet_lit.corpus.marks import marks_of
from convtasnet_lit.data_config import Condition, CorpusName
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.listed import ListedMixtures
from convtasnet_lit.weights.stored import StoredNetwork

logger = logging.getLogger(__name__)


def evaluated_data(
    overrides: DataOverrides, stored: StoredNetwork, conditions: Sequence[Condition] = ()
) -> MixtureDataModule:
    """Return the mixtures of what a network was trained on, or of the corpus asked for, with what else was asked for.

    A corpus is made, downloaded or prepared only in places that were asked for: where a file names them, what is there
    already is used, because anybody may have written the file.

    Args:
        overrides: What was asked for, None elsewhere.
        stored: The network, whose rate, number of speakers and normalization are kept, and its target unless asked.
        conditions: What the mixtures are put into.

    Raises:
        InputError: It asks for another rate or number of speakers than the network's, or for no corpus where the
            network's file names none.
    """
    asked = {key: value for key, value in plain(overrides).items() if value is not None}
    if stored.config is None and "corpus" not in asked:
        raise InputError(f"data: {stored.file} holds no settings of a training; give a corpus such as data=voices")
    base: dict[str, Any] = {"target": stored.target}
    if stored.fewest_speakers < stored.num_sources:
        base["fewest_speakers"] = stored.fewest_speakers
    if stored.config is not None and "corpus" not in asked:
        base = {**stored.config["data"], "download": False}
    kept = {"num_speakers": stored.num_sources, "sample_rate": stored.sample_rate, "normalize": stored.normalized}
    for key, value in kept.items():
        if asked.get(key, value) != value:
            raise InputError(f"data.{key}: {asked[key]}, but {stored.file} was trained with {value}")
    data = typed(PrepareConfig, {"data": {**base, **asked, **kept}}).data.at_absolute_paths()
    may_prepare = "corpus" in asked or {"root", "store"} <= asked.keys()
    return MixtureDataModule(data, may_prepare=may_prepare, conditions=conditions)


def refuse_known_speakers(data: MixtureDataModule, stored: StoredNetwork, split: Split) -> None:
    """Refuse to call those test speakers whom this network has met, whatever they are called here.

    Args:
        data: What it is evaluated on.
        stored: The network.
        split: Only `test` promises strangers.

    Raises:
        InputError: It has met some.
    """
    if split is not Split.test:
        return
    met = _heard_before(data, stored)
    if _same_names(data, stored):
        met |= set(stored.speakers) & _test_speakers(data)
    if met:
        names = ", ".join(sorted(met)[:5])
        raise InputError(f"data.test_speakers: {names} were in this network's training or validation")
    if not stored.recordings:
        how = "by their names alone" if stored.speakers else "not at all"
        text = (
            "%s: does not say which recordings it was trained on; that the test speakers are strangers was checked %s"
        )
        logger.warning(text, stored.file, how)
    elif stored.unmarked:
        text = "%s: began with %s, which does not say whom it had met; the test speakers may be among them"
        logger.warning(text, stored.file, stored.unmarked)


def _heard_before(data: MixtureDataModule, stored: StoredNetwork) -> set[str]:
    """The test speakers of whom there is a recording here that the network's training knows."""
    if not stored.recordings:
        return set()
    known = set(stored.recordings)
    if listed := _listed(data):
        return {str(each["speaker"]) for each in listed.utterances if each["mark"] in known}
    store, rows = data.corpus.store, data.corpus.rows("test")
    met = [row for row, mark in zip(rows, marks_of(store, rows), strict=True) if mark in known]
    return set(store.index["speaker"].iloc[met])


def _test_speakers(data: MixtureDataModule) -> set[str]:
    if listed := _listed(data):
        return {str(each["speaker"]) for each in listed.utterances}
    return set(data.corpus.splits.test)


def _listed(data: MixtureDataModule) -> ListedMixtures | None:
    """The published test list, which is evaluated without a store."""
    mixtures = data.fixed_mixtures(Split.test) if data.data.corpus is CorpusName.librimix else None
    return mixtures if isinstance(mixtures, ListedMixtures) else None


def _same_names(data: MixtureDataModule, stored: StoredNetwork) -> bool:
    """Whether equal names mean the same person: in the folder of the training, or where there is nothing but names."""
    if data.data.corpus.name != stored.corpus:
        return False
    now = plain(data.data)
    then = {} if stored.config is None else {"roots": [], **stored.config["data"]}
    same_root = all(then.get(key) == now[key] for key in ("root", "roots"))
    return same_root or (not stored.recordings and not stored.of_own_corpus)


def output_folder(stored: StoredNetwork, checkpoint: str, split: Split, conditions: Sequence[Condition] = ()) -> Path:
    """Return where an evaluation is written by default: into the run's folder, else into the current one.

    Args:
        stored: The network.
        checkpoint: What the user called it.
        split: The list it is evaluated on.
        conditions: What the mixtures were put into.
    """
    listed = "-".join([split.name, *(condition.name for condition in conditions)])
    if stored.run is not None:
        return stored.run / f"evaluation-{listed}"
    named = Path(checkpoint)
    return Path(f"evaluation-{named.stem if named.is_file() else named.name}-{listed}")
