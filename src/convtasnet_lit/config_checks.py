"""What a setting may be beyond its type, and durations as they are typed."""

import re
from enum import Enum

from convtasnet_lit.errors import InputError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")


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


def require(condition: bool, key: str, value: object, allowed: str) -> None:
    """Refuse a value.

    Args:
        condition: Whether the value is allowed.
        key: Its full name.
        value: What was given.
        allowed: What may be given.

    Raises:
        InputError: One line that says all that.

    Example:
        >>> require(3 >= 1, "model.num_blocks", 3, "at least 1")
    """
    if not condition:
        shown = value.name if isinstance(value, Enum) else value
        raise InputError(f"{key}: {shown} is not allowed; it must be {allowed}")


def require_each(group: object, prefix: str, keys: str, least: float) -> None:
    """Refuse values of a group that are too small.

    Args:
        group: A configuration dataclass.
        prefix: Its name.
        keys: Names of its fields, separated by blanks.
        least: The smallest value allowed.

    Raises:
        InputError: One line that names the first such key and its value.
    """
    for key in keys.split():
        value = getattr(group, key)
        require(value >= least, f"{prefix}.{key}", value, f"at least {least:g}")
