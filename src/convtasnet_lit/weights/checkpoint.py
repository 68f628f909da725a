"""Checkpoints on disk: written whole or not at all, read without running code from them."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.torch_version import TorchVersion

from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole
from convtasnet_lit.weights.stored import StoredNetwork

RUN_CHECKPOINTS = ("checkpoints/best.ckpt", "best.ckpt")  # which a folder means
torch.serialization.add_safe_globals([TorchVersion])  # a kind of string, by which Asteroid's files name torch's version


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint beside its place, then rename it into place.

    Args:
        checkpoint: Tensors and plain values.
        path: The file to write.

    Raises:
        InputError: The disk is full or cannot be written; whatever stood there before still does.
    """
    buffer = io.BytesIO()  # torch reports a full disk as a failure of its own writer, without saying why
    torch.save(checkpoint, buffer)
    try:
        with written_whole(path) as partial:
            partial.write_bytes(buffer.getbuffer())
    except OSError as error:
        megabytes = buffer.getbuffer().nbytes / 1e6
        raise InputError(
            f"{path}: cannot write a checkpoint of {megabytes:.1f} MB: {error.strerror}; the one before it is intact"
        ) from error


def read_checkpoint(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint; a file that would run code is refused.

    Args:
        path: The file.
        device: The device that its tensors are put on.

    Raises:
        InputError: The file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        _check_content(path)
        checkpoint: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: there is no such checkpoint") from error
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: refused: not a file of tensors and plain values alone; another kind could run code"
        ) from error
    except Exception as error:  # a damaged file can make the reader stumble over anything
        raise InputError(f"{path}: not a readable checkpoint, perhaps cut short") from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path}: holds a {type(checkpoint).__name__}, not a checkpoint")
    return checkpoint


def _check_content(path: Path) -> None:
    """Compare a file with the checksums that torch wrote into it, which torch itself does not read.

    Raises:
        InputError: Bytes were changed, or it would unpack to more than it holds.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # of torch before 1.6
            return
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        if packed or sum(part.file_size for part in parts) > path.stat().st_size:
            raise InputError(f"{path}: refused: it is compressed, which torch never does, and may unpack to any size")
        if damaged := archive.testzip():
            raise InputError(f"{path}: damaged: {damaged} in it does not have its checksum; bytes were changed")


def checkpoint_config(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the configuration a checkpoint was trained with, as plain nested dicts.

    Args:
        checkpoint: What `read_checkpoint` returned.
        path: Named in the error.

    Raises:
        InputError: It was not made by this package's training, or holds an interpolation, which could read this
            machine's environment.
    """
    try:
        config: dict[str, Any] = checkpoint["hyper_parameters"]["config"]
        if not {"num_speakers", "sample_rate", "normalize"} <= set(config["data"]) or "model" not in config:
            raise KeyError("data")
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not made by convtasnet_lit.train: it has no hyper_parameters") from error
    if "${" in repr(config):
        raise InputError(f"{path}: its configuration holds an interpolation (${{...}}); only plain values are read")
    return config


def trained_network(checkpoint: Mapping[str, Any], path: Path) -> StoredNetwork:
    """Return the network of a checkpoint that training wrote.

    Args:
        checkpoint: What `read_checkpoint` returned.
        path: Named in the error.

    Raises:
        InputError: It was not made by this package's training.
    """
    config = checkpoint_config(checkpoint, path)
    data, prefix = config["data"], "network."
    state, met = checkpoint.get("state_dict", {}), checkpoint.get("MixtureDataModule", {})
    return StoredNetwork(
        path,
        "convtasnet_lit",
        config["model"],
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)},
        data["num_speakers"],
        data.get("fewest_speakers") or data["num_speakers"],
        data["sample_rate"],
        data["normalize"],
        data.get("corpus", ""),
        tuple(map(str, met.get("speakers", ()))),
        tuple(map(str, met.get("recordings", ()))),
        str(met.get("unmarked", "")),
        data.get("target", "reverberant"),  # versions before 0.2 knew no rooms
        config,
        None if met.get("batches_done") else checkpoint.get("epoch"),
    )


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint a path means: a file itself, or the best one of a run's folder.

    Args:
        path: A .ckpt file, or a folder that training wrote.

    Raises:
        InputError: There is none.
    """
    if path.is_file():
        return path
    for name in RUN_CHECKPOINTS:
        if (path / name).is_file():
            return path / name
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder{'' if path.is_absolute() else f' in {Path.cwd()}'}")
    raise InputError(
        f"{path}: neither a checkpoint nor the folder of a run (checkpoints/best.ckpt) or of a published network "
        "(model.safetensors)"
    )
