"""What all commands share: how they were called, which network they take, and errors in one line with an exit code."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.shipped import DEFAULT, shipped_settings, summary

BAD_INPUT = 2
STOPPED = 130  # what a shell says of a program that Ctrl-C ended
REQUEUE = 75  # asks the script of a cluster to queue the command again
CLOSED_PIPE = 141  # and of one that a closed pipe ended


class Parser(argparse.ArgumentParser):
    """A parser that refuses a command line in one line, and whose usage line names the command as it was called.

    Args:
        name: The command, such as `separate`.
        options: Options of `argparse.ArgumentParser`.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(program(name), **options)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{message}; `{self.prog} --help` lists what there is")


def program(name: str) -> str:
    """Return how a command was called.

    Args:
        name: The command, such as `separate`.
    """
    within = getattr(sys.modules["__main__"], "PROGRAM", None)  # see __main__.py
    if within:
        return f"{within} {name}"
    return f"python -m convtasnet_lit.{name}" if Path(sys.argv[0]).name == f"{name}.py" else name


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a network; where it is not given, the first in the package is taken."""
    parser.add_argument(
        "--model",
        metavar="NAME|PATH",
        help="a network that `models` lists, a run's folder, a .ckpt file, a published folder or hub id, a file of "
        f"Asteroid's or torchaudio's; default {DEFAULT}",
    )


def taken(model: str | None, streams: bool = False) -> str:
    """Return the network that was named, else the default one, and say on standard error that it was taken.

    Args:
        model: What was given, None for nothing.
        streams: Whether only a causal network will do.

    Raises:
        InputError: None was given, and the default one will not do.
    """
    if model is not None:
        return model
    if streams and not shipped_settings(DEFAULT)["network"]["causal"]:
        needed = "a stream needs a network of model=causal or causal_small"
        raise InputError(f"--model: must be given, as {DEFAULT}, the default, is not causal; {needed}")
    print(f"network: {summary(DEFAULT)}", file=sys.stderr)
    return DEFAULT


@contextmanager
def reported() -> Iterator[None]:
    """Leave in one line on standard error, without a traceback, where the user, the disk or Ctrl-C ends a command."""
    if sys.stderr is None:  # closed by `2>&-`; a file that took its number would get what is said
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process ends
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, and not at Python's exit, where an error could not be reported
    except InputError as error:
        leave(f"error: {error}", BAD_INPUT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its exit
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        reason = error.strerror or str(error)
        leave(f"error: {error.filename}: {reason}" if error.filename else f"error: {reason}", BAD_INPUT)
    except KeyboardInterrupt:
        leave("stopped", STOPPED)


def leave(message: str, code: int) -> NoReturn:
    """Print a message on standard error and exit."""
    print(message, file=sys.stderr)
    sys.exit(code)
