"""What a run was trained with and on: versions, machine, commit, data and the weights it began with."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from convtasnet_lit import __version__
from convtasnet_lit.devices import cores, processor_name
from convtasnet_lit.files import written_whole

PACKAGES = ("torch", "torchaudio", "torchmetrics", "lightning", "numpy", "scipy", "pandas", "soundfile", "soxr")


class Provenance(Callback):
    """Keep `environment.json`: a list of parts, the first from the first epoch on.

    A run that goes on elsewhere, or with other versions, has a further part, which says from which epoch on it holds.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add a part where something differs, unless an earlier part stopped the training for good."""
        if trainer.is_global_zero and not trainer.should_stop:
            here = environment(pl_module.device) | {"data": trainer.datamodule.content()}  # type: ignore[attr-defined]
            if pl_module.began_with:
                here["began_with"] = pl_module.began_with
            parts = self._before() if trainer.global_step else []
            if not parts or parts[-1] | here != parts[-1]:
                parts.append({"from_epoch": trainer.current_epoch + 1} | here)
                with written_whole(self.path) as partial:
                    partial.write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")

    def _before(self) -> list[dict[str, Any]]:
        try:
            parts: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # an earlier version wrote none
            return []
        return parts


def environment(device: torch.device) -> dict[str, Any]:
    """Say what computes here.

    Args:
        device: What is trained on.

    Returns:
        Plain values by name; `commit` is empty where there is none.
    """
    return {
        "python": platform.python_version(),
        "packages": {"convtasnet_lit": __version__} | {name: version(name) for name in PACKAGES},
        "commit": commit(Path(__file__).parent),
        "processor": processor_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def commit(folder: Path) -> str:
    """Return the commit that a folder of a git checkout is at, with `-dirty` where its files were changed since.

    Args:
        folder: A folder whose own files git must know: one that was installed below somebody's checkout is not of it.

    Returns:
        40 hexadecimal digits, or nothing without a checkout or without git.
    """
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")
        return _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
