"""What a setting may be: numbers with limits, and durations."""

import re
from dataclasses import field, fields
from math import isfinite
from operator import ge, gt, le, lt
from typing import Any

from convtasnet_lit.errors import InputError, require

_COMPARE = {"at_least": ge, "above": gt, "at_most": le, "below": lt}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")


def limited(default: float, **limits: float) -> Any:
    """Declare a field of a `Checked` dataclass with its limits.

    Args:
        default: The value where none is given.
        limits: `at_least`, `above`, `at_most`, `below`.
    """
    return field(default=default, metadata=limits)


class Checked:
    """A configuration group that refuses numbers which are not finite or not within the limits of their fields."""

    def __post_init__(self) -> None:
        """Check each field.

        Raises:
            InputError: One line that names the key, the value and what is allowed.
        """
        group = type(self).__name__.removesuffix("Config").lower()
        for each in fields(self):  # type: ignore[arg-type]
            key, value, limits = f"{group}.{each.name}", getattr(self, each.name), each.metadata
            allowed = " and ".join(f"{name.replace('_', ' ')} {limit:.10g}" for name, limit in limits.items())
            require(all(_COMPARE[name](value, limit) for name, limit in limits.items()), key, value, allowed)
            require(not isinstance(value, float) or isfinite(value), key, value, "a finite number")


def parse_duration(text: str) -> float:
    """Read a duration.

    Args:
        text: A number with a unit: `4s`, `3.5s`, `500ms`.

    Returns:
        The duration in seconds.

    Raises:
        InputError: The text has another form, or says zero.

    Example:
        >>> parse_duration("500ms")
        0.5
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * (0.001 if match[2] == "ms" else 1.0) if match else 0.0
    if seconds <= 0:
        raise InputError(f"data.segment: {text!r} is not a duration such as 4s, 3.5s or 500ms")
    return seconds
