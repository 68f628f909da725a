"""All commands under one name: `convtasnet separate ...`, `python -m convtasnet_lit separate ...`."""

import runpy
import sys
from pathlib import Path

from convtasnet_lit.command_line import reported
from convtasnet_lit.errors import require

COMMANDS = {
    "separate": "separate recordings into one file a speaker",
    "serve": "separate over HTTP, and on a page in a browser",
    "stream": "separate what comes through a pipe, while it comes",
    "models": "list the networks in the package",
    "train": "train a network",
    "search": "find settings with a low validation loss",
    "evaluate": "score a network on unseen speakers",
    "report": "compare runs with intervals, on one page",
    "dashboard": "lay out a W&B workspace for a sweep",
    "diagnose": "check data, model and metrics before a training",
    "plan_memory": "say what a training step takes, without a GPU",
    "prepare": "read and store a corpus",
    "export": "write a network for other runtimes",
    "publish": "share a network as a folder or on the Hugging Face Hub",
}


def main() -> None:
    """Run the command that the first argument names; without one, list them."""
    called = "python -m convtasnet_lit" if Path(sys.argv[0]).name == "__main__.py" else Path(sys.argv[0]).stem
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    with reported():
        if name in ("-h", "--help"):
            print(f"usage: {called} COMMAND ...   (`{called} COMMAND --help` lists its options)\n")
            print(*(f"  {command:<12} {purpose}" for command, purpose in COMMANDS.items()), sep="\n")
            return
        require(name in COMMANDS, "command", name, f"one of {', '.join(COMMANDS)}")
    del sys.argv[1]
    # As `python -m convtasnet_lit.NAME`, so that Lightning and data loaders can start it again as other processes.
    runpy.run_module(f"convtasnet_lit.{name}", {"PROGRAM": called}, "__main__", alter_sys=True)


if __name__ == "__main__":
    main()
