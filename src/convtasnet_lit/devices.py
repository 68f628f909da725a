"""What a network computes on, by the name a user gives it, and what there is here."""

import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from convtasnet_lit.errors import InputError, require

if TYPE_CHECKING:
    import torch

_NAME = re.compile(r"auto|cpu|mps|(cuda|gpu)(:(0|[1-9]\d?))?")


def known_device(name: str, key: str = "device") -> str:
    """Return the name of a device if it is one that this package computes on; torch is not asked.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1`, `gpu` (the same as `cuda`) or `mps`.
        key: Named in the error.

    Raises:
        InputError: It is another name.
    """
    require(_NAME.fullmatch(name) is not None, key, name, "auto, cpu, cuda, cuda:N or mps")
    return name


def find_device(name: str, key: str = "device") -> "torch.device":
    """Return the device of a name; of `auto` a CUDA GPU if there is one, else the CPU.

    Args:
        name: See `known_device`.
        key: Named in the error.

    Raises:
        InputError: It is not here.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    asked = ("cuda" if gpus else "cpu") if name == "auto" else known_device(name, key).replace("gpu", "cuda")
    device = torch.device(asked)
    here = {"cuda": (device.index or 0) < gpus, "mps": torch.backends.mps.is_available(), "cpu": True}
    if not here[device.type]:
        raise InputError(f"{key}: {name} is not here; use auto or cpu")
    return device


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def processor_name() -> str:
    """Return what the processor calls itself; where it does not say, its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
