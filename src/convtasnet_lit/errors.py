"""What a user did wrong, said in one line."""

from enum import Enum


class InputError(ValueError):
    """Bad input from outside: a setting, a file, a missing optional package.

    The message is one line that names the file or key, its value and what is allowed; the doors print it without
    a traceback and leave with exit code 2.

    Example:
        >>> raise InputError("data.segment: '4x' is not a duration such as 4s, 3.5s or 500ms")
        Traceback (most recent call last):
        convtasnet_lit.errors.InputError: data.segment: '4x' is not a duration such as 4s, 3.5s or 500ms
    """


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
