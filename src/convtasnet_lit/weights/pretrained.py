"""Trained networks, wherever they come from: the package, our training, published folders, the Hub, other toolkits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convtasnet_lit.errors import InputError
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.checkpoint import RUN_CHECKPOINTS, find_checkpoint, read_checkpoint, trained_network
from convtasnet_lit.weights.foreign import foreign_network
from convtasnet_lit.weights.published import CONFIG, ENDINGS, WEIGHTS, download, is_hub_id, read_published
from convtasnet_lit.weights.shipped import DEFAULT, FOLDER, shipped_names
from convtasnet_lit.weights.stored import StoredNetwork

ASTEROID_WEIGHTS = "pytorch_model.bin"  # the name of Asteroid's file on the Hub


@dataclass(frozen=True)
class Pretrained:
    """A trained network and what one must know to use it.

    Args:
        network: In evaluation mode, on the CPU.
        sample_rate: Hz, of the audio it was trained on.
        normalized: Whether it was trained on mixtures at -25 dBFS.
        fewest_speakers: In a training mixture; `network.num_sources` unless it was trained on mixed counts.
    """

    network: ConvTasNet
    sample_rate: int
    normalized: bool
    fewest_speakers: int


def load_pretrained(path: str | Path = DEFAULT) -> Pretrained:
    """Load a trained network.

    Args:
        path: The name of a network in the package (`./NAME` is a folder's); a .ckpt file or the folder of a run; a
            published folder, or the name of one on the Hugging Face Hub (`user/name` or `user/name@revision`); a file
            of Asteroid's (`torch.save(model.serialize(), path)`) or of torchaudio's ConvTasNet
            (`torch.save(model.state_dict(), path)`).

    Raises:
        InputError: It is missing, damaged, would run code, or is a network that `ConvTasNet` cannot be.
    """
    stored = read_stored(path)
    return Pretrained(stored.build(), stored.sample_rate, stored.normalized, stored.fewest_speakers)


def read_stored(path: str | Path) -> StoredNetwork:
    """Read what `load_pretrained` builds a network from.

    Args:
        path: The same as for `load_pretrained`.

    Raises:
        InputError: It is missing, damaged, or would run code.
    """
    if path in shipped_names():  # a text: a Path is always one
        return read_published(FOLDER / path)
    where = Path(path)
    if is_hub_id(str(path)):
        where = download(str(path), [CONFIG, WEIGHTS, ASTEROID_WEIGHTS])
    if (where / WEIGHTS).is_file():
        return read_published(where)
    file = where / ASTEROID_WEIGHTS
    file = file if file.is_file() else find_checkpoint(where)
    return _recognized(read_checkpoint(file), file)


def is_network(name: str) -> bool:
    """Whether a text means a network, going by names alone: nothing is read.

    Args:
        name: What a user gave, perhaps a recording or a folder of recordings.

    Example:
        >>> is_network("last.ckpt"), is_network("meeting.wav")
        (True, False)
    """
    path, inside = Path(name), (WEIGHTS, ASTEROID_WEIGHTS, *RUN_CHECKPOINTS)
    return name in shipped_names() or path.suffix in ENDINGS or any((path / file).is_file() for file in inside)


def _recognized(checkpoint: Mapping[str, Any], file: Path) -> StoredNetwork:
    settings = checkpoint.get("hyper_parameters")  # Lightning gives others some, too
    ours = isinstance(settings, Mapping) and "config" in settings
    try:
        return (trained_network if ours else foreign_network)(checkpoint, file)
    # a value of another type or size than it should be
    except (ArithmeticError, AttributeError, IndexError, RuntimeError, TypeError) as error:
        raise InputError(f"{file}: not whole, or not as the toolkit that it names writes it ({error})") from error
