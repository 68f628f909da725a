"""Separate recordings over HTTP: `convtasnet serve`."""

import argparse
import os
from pathlib import Path
from typing import Any

from convtasnet_lit.command_line import Parser, add_model, reported, taken
from convtasnet_lit.devices import known_device
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.weights.shipped import FOLDER, shipped_names, summary

TOKEN = "CONVTASNET_TOKEN"  # an environment variable: a command line can be seen by all users of a machine


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser(
        "serve",
        description="Separate recordings over HTTP, streams over websockets, and both on a page to open in a browser.",
        epilog=f"If the environment has a {TOKEN}, clients must show it. SIGTERM lets end what runs.",
    )
    add_model(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; default %(default)s, this machine")
    parser.add_argument("--port", type=int, default=8000, help="the same; default %(default)s")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; default: a CUDA GPU, else the CPU")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a name of this service, such as voices.example.org"
    )
    parser.add_argument(
        "--limit", action="append", default=[], metavar="NAME=NUMBER", help="change a bound, such as seconds=600"
    )
    return parser


def main() -> None:
    """Serve until a signal says to stop."""
    with reported():
        run(arguments().parse_args())


def run(options: argparse.Namespace) -> None:
    """Open the network and serve it.

    Args:
        options: What `arguments` parsed.

    Raises:
        InputError: An option or the network is refused, or something is not installed.
    """
    known_device(options.device, "--device")
    require(0 <= options.port < 65536, "--port", options.port, "from 0 to 65535")
    token = os.environ.get(TOKEN)
    require(token is None or len(token) >= 16, TOKEN, "shorter", "at least 16 characters long")
    try:
        from convtasnet_lit.serving import bounds, server
    except ModuleNotFoundError as error:
        needed = "pip install 'convtasnet_lit[serve]'"
        raise InputError(f"serve: {error.name} is not installed; {needed}; it needs Linux or macOS") from error
    limits = bounds.changed(options.limit)
    model = taken(options.model)
    described = describe(model)
    server.run(model, options.device, options.host, options.port, described, limits, token, options.name)


def describe(model: str) -> dict[str, Any]:
    """Return the name of a network, what it is in a few words, and its card in Markdown, empty where it has none.

    Args:
        model: As it was given.

    Example:
        >>> describe("2spk-8k-v2")["summary"]
        '2spk-8k-v2, 2 speakers at 8000 Hz'
    """
    shipped = model in shipped_names()
    card = (FOLDER / model if shipped else Path(model)) / "README.md"
    name = model if shipped else Path(model).name  # and no path of this machine
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    text = text.split("---\n", 2)[-1] if text.startswith("---\n") else text  # without its head for the Hub
    return {"name": name, "summary": summary(model) if shipped else name, "card": text}


if __name__ == "__main__":
    main()
