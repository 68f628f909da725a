"""What a user did wrong, said in one line."""


class InputError(ValueError):
    """Bad input from outside: a setting, a file, a missing optional package.

    The message is one line that names the file or key, its value and what is allowed; the doors print it without
    a traceback and leave with exit code 2.

    Example:
        >>> raise InputError("data.segment: '4x' is not a duration such as 4s, 3.5s or 500ms")
        Traceback (most recent call last):
        convtasnet_lit.errors.InputError: data.segment: '4x' is not a duration such as 4s, 3.5s or 500ms
    """
