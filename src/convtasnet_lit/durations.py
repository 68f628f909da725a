"""Durations as they are typed: 4s, 3.5s, 500ms."""

import re

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
