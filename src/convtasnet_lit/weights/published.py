"""Published networks: a folder with `config.json` and `model.safetensors`, written and read without running code."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from convtasnet_lit import __version__
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.stored import StoredNetwork

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = 1

# what config.json must hold, and its types
_KEYS = {
    "network": dict,
    "num_sources": int,
    "fewest_speakers": int,
    "sample_rate": int,
    "normalized": bool,
    "origin": str,
    "corpus": str,
    "speakers": list,
}


def write_published(stored: StoredNetwork, folder: Path) -> None:
    """Write a network's weights and settings.

    Args:
        stored: The network.
        folder: An empty one.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    named = stored.corpus != "folder"  # whose speakers may be anybody
    values = {
        "format": FORMAT,
        "convtasnet_lit": __version__,
        "origin": stored.origin,
        "num_sources": stored.num_sources,
        "fewest_speakers": stored.fewest_speakers,
        "sample_rate": stored.sample_rate,
        "normalized": stored.normalized,
        "network": dict(stored.arguments),
        "corpus": stored.corpus,
        "speakers": list(stored.speakers) if named else [],
    }
    (folder / CONFIG).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    weights = {name: tensor.contiguous() for name, tensor in stored.state.items()}
    content = save(weights, metadata={"format": "pt"})  # by which other readers know torch's tensors
    (folder / WEIGHTS).write_bytes(content)  # save_file would let no other user read it


def read_published(folder: Path) -> StoredNetwork:
    """Read a published network.

    Args:
        folder: It holds `config.json` and `model.safetensors`.

    Raises:
        InputError: One of them is missing, damaged, or made by a later version.
    """
    values = _read_config(folder / CONFIG)
    try:
        state = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise InputError(f"{folder / WEIGHTS}: there is no such file") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder / WEIGHTS}: not readable as safetensors, perhaps cut short") from error
    return StoredNetwork(
        folder,
        values["origin"],
        values["network"],
        state,
        values["num_sources"],
        values["fewest_speakers"],
        values["sample_rate"],
        values["normalized"],
        values["corpus"],
        tuple(values["speakers"]),
    )


def may_make_way(folder: Path, card: str) -> bool:
    """Whether a folder is empty or a published network and no more, so that another may take its place.

    Args:
        folder: It exists.
        card: The name of a network's description.
    """
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return not names or (CONFIG in names and names <= {CONFIG, WEIGHTS, card})


def _read_config(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not readable as JSON, perhaps cut short") from error
    if not isinstance(values, dict) or "format" not in values:
        raise InputError(f"{path}: not written by convtasnet_lit.publish: it has no format")
    if values["format"] != FORMAT:
        raise InputError(f"{path}: of format {values['format']}; this version of convtasnet_lit reads {FORMAT}")
    for key, kind in _KEYS.items():
        if not isinstance(values.get(key), kind):
            raise InputError(f"{path}: {key}: {values.get(key)!r} is not allowed; it must be of type {kind.__name__}")
    if values["sample_rate"] < 1 or not 1 <= values["fewest_speakers"] <= values["num_sources"]:
        raise InputError(f"{path}: sample_rate must be 1 or more, fewest_speakers from 1 to num_sources")
    return values
