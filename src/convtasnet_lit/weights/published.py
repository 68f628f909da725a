"""Published networks: a folder with `config.json` and `model.safetensors`, here or on the Hugging Face Hub.

Writing and reading them runs no code of theirs. The Hub needs the extra `hub`.
"""

import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from convtasnet_lit import __version__
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.stored import StoredNetwork

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"  # the Hub shows the last as a page
ENDINGS = (".ckpt", ".pth", ".pt", ".bin", ".safetensors")  # of files that hold a network
FORMAT = 1
_MOST_CONFIG = 10_000_000  # bytes

# what config.json must hold, and its types
_KEYS = {
    "network": dict,
    "num_sources": int,  # StoredNetwork checks how large
    "fewest_speakers": int,
    "sample_rate": int,
    "normalized": bool,
    "origin": str,
    "corpus": str,
    "speakers": list,
    "recordings": str,
    "unmarked": str,
    "target": str,
    "weights": str,  # their hash
}


def write_published(stored: StoredNetwork, folder: Path) -> None:
    """Write a network's weights and settings.

    Args:
        stored: The network.
        folder: An empty one.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
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
        "speakers": [] if stored.of_own_corpus else list(stored.speakers),
        "recordings": " ".join(stored.recordings),  # on one line
        "unmarked": stored.unmarked,
        "target": stored.target,
        "weights": stored.digest,
    }
    (folder / CONFIG).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / WEIGHTS).write_bytes(stored.serialized())  # save_file would let no other user read it


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
    stored = StoredNetwork(
        folder,
        values["origin"],
        values["network"],
        state,
        values["num_sources"],
        values["fewest_speakers"],
        values["sample_rate"],
        values["normalized"],
        values["corpus"],
        tuple(map(str, values["speakers"])),
        tuple(values["recordings"].split()),
        values["unmarked"],
        values["target"],
    )
    if values["weights"] not in ("", stored.digest):
        raise InputError(f"{folder / WEIGHTS}: damaged: its weights are not those that {CONFIG} was written for")
    return stored


def may_make_way(folder: Path) -> bool:
    """Whether a folder is empty or a published network and no more, so that another may take its place.

    Args:
        folder: It exists.
    """
    if not folder.is_dir():
        return False
    files = list(folder.iterdir())
    known = all(path.name in (CONFIG, WEIGHTS, CARD) and path.is_file() and not path.is_symlink() for path in files)
    try:
        return not files or (known and "convtasnet_lit" in _read_config(folder / CONFIG))
    except InputError:  # another project's config.json
        return False


def is_hub_id(text: str) -> bool:
    """Whether a text means a repository on the Hub: `user/name` or `user/name@revision`, where no folder `user` is.

    Args:
        text: What a user gave, perhaps a path. `runs/...`, where training writes, and the name of a file mean none.

    Example:
        >>> is_hub_id("someone/convtasnet-8k@v1"), is_hub_id("/data/run"), is_hub_id("runs/experiment-dmo")
        (True, False, False)
    """
    named = re.fullmatch(r"(\w[\w.-]*)/\w[\w.-]*(@\S+)?", text, re.ASCII)
    return named is not None and not text.endswith(ENDINGS) and named[1] != "runs" and not Path(named[1]).exists()


def download(name: str, files: list[str]) -> Path:
    """Download files of a repository, those that were not downloaded before.

    Args:
        name: `user/name` or `user/name@revision`.
        files: Their names; those that are not there are left out.

    Returns:
        The folder that holds them, in the Hub's cache.

    Raises:
        InputError: The extra `hub` is missing, there is no network, or no such repository.
    """
    repository, _, revision = name.partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise _missing_package(name) from error
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=files))
    except Exception as error:  # of the transport, whichever it is
        raise _failed(name, error) from error


def upload(folder: Path, name: str, private: bool) -> str:
    """Upload a folder as a repository, which is made where there is none.

    Args:
        folder: What it shall hold.
        name: `user/name`.
        private: Whether a new one is for its owner's eyes alone.

    Returns:
        Its address.

    Raises:
        InputError: The extra `hub` is missing, there is no network, no token, or no right to write there.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise _missing_package(name) from error
    try:
        address = HfApi().create_repo(name, private=private, exist_ok=True)
        HfApi().upload_folder(repo_id=name, folder_path=folder, commit_message="Published by convtasnet_lit")
    except Exception as error:  # of the transport, whichever it is
        raise InputError(f"{name}: not published: {str(error).splitlines()[0]}") from error
    return str(address)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > _MOST_CONFIG:  # a pipe would never end
        raise InputError(f"{path}: there is no such file, or it is larger than any settings are")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON, perhaps cut short") from error
    if not isinstance(values, dict) or "format" not in values:
        raise InputError(f"{path}: not written by convtasnet_lit.publish: it has no format")
    if values["format"] != FORMAT:
        raise InputError(f"{path}: of format {values['format']}; this version of convtasnet_lit reads {FORMAT}")
    # earlier versions did not write them
    values = {"recordings": "", "unmarked": "", "target": "reverberant", "weights": ""} | values
    for key, kind in _KEYS.items():
        if not isinstance(values.get(key), kind):
            raise InputError(f"{path}: {key}: {values.get(key)!r} is not allowed; it must be of type {kind.__name__}")
    return values


def _missing_package(name: str) -> InputError:
    return InputError(f"{name}: no file or folder here, and the Hub needs a package: pip install 'convtasnet_lit[hub]'")


def _failed(name: str, error: Exception) -> InputError:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RepositoryNotFoundError):
        return InputError(f"{name}: no file or folder here, and no repository on the Hub that your token may see")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{name}: the repository is on the Hub, but has no such revision")
    return InputError(f"{name}: no file or folder here, and the Hub did not answer: {str(error).splitlines()[0]}")
