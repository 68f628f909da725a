"""The networks in the package: folders as `publish` writes them, found by name, without a download."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "networks"
DEFAULT = "2spk-8k-v2"  # two speakers, 8 kHz, the second version


def shipped_names() -> list[str]:
    """List the names of all networks in the package."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def shipped_settings(name: str) -> dict[str, Any]:
    """Read what `config.json` of a network in the package says.

    Args:
        name: One of `shipped_names`.
    """
    values: dict[str, Any] = json.loads((FOLDER / name / "config.json").read_text(encoding="utf-8"))
    return values


def summary(name: str) -> str:
    """Say in a few words what a network in the package is.

    Args:
        name: One of `shipped_names`.

    Example:
        >>> summary(DEFAULT).removeprefix(DEFAULT)
        ', 2 speakers at 8000 Hz'
    """
    values = shipped_settings(name)
    speakers = count_of_speakers(values["fewest_speakers"], values["num_sources"])
    return f"{name}, {speakers} at {values['sample_rate']} Hz"


def count_of_speakers(fewest: int, most: int) -> str:
    """Put into words for how many speakers a network is meant.

    Args:
        fewest: In a training mixture.
        most: The same.

    Example:
        >>> count_of_speakers(1, 3)
        '1 to 3 speakers'
    """
    return f"{most} speakers" if fewest == most else f"{fewest} to {most} speakers"
