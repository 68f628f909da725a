"""Compare with the peers on this machine: `python -m benchmarks --parts step forward saved`."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich import print as show

from benchmarks import latency, loading, peak, printing, scoring, speed
from benchmarks.contestants import MODELS
from benchmarks.timing import Part, Settings, threads_of_torch
from convtasnet_lit.command_line import BAD_INPUT, leave
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import written_whole
from convtasnet_lit.model.processor import warn_of_slow_bfloat16

PARTS: dict[str, Callable[[Settings], Part]] = {
    "step": speed.step,
    "forward": speed.forward,
    "saved": speed.saved,
    "peak": peak.peak,
    "long": peak.long,
    "latency": latency.latency,
    "loading": loading.loading,
    "prepare": loading.prepare,
    "waiting": loading.waiting,
    "pit": scoring.pit,
    "evaluation": scoring.evaluation,
}


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser("benchmark", description="Measure speed and memory on this machine's CPU.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--model", choices=MODELS, default="paper", help="a file of conf/model; default paper")
    parser.add_argument("--seconds", type=float, default=2.0, help="of audio in a mixture; default 2")
    parser.add_argument("--batch", type=int, default=2, help="mixtures in a batch; default 2")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured in turn; default 5")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch; default all cores")
    parser.add_argument(
        "--bfloat16", action="store_true", help="all networks under autocast, in step, forward, saved, peak"
    )
    parser.add_argument("--long-seconds", type=float, nargs="+", default=[60.0, 120.0], help="of the long recordings")
    parser.add_argument("--utterances", type=int, default=20, help="a speaker of the temporary corpus; default 20")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, after each part")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing, print what --json wrote")
    parser.add_argument("--markdown", action="store_true", help="print Markdown instead of tables")
    return parser


def main() -> None:
    """Measure the parts asked for, print them, and write them as JSON where asked."""
    options = arguments().parse_args()
    try:
        found = _read(options.show) if options.show else _measure(options)
    except InputError as error:
        leave(f"error: {error}", BAD_INPUT)
    parts = [Part(**part) for part in found["parts"].values()]
    if options.markdown:
        print(printing.markdown(found["machine"], found["command"], parts))
    else:
        show(printing.tables(parts))


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    names = Settings.__dataclass_fields__
    settings = Settings(**{key: value for key, value in vars(options).items() if key in names})
    if settings.bfloat16:
        warn_of_slow_bfloat16("cpu")
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    found: dict[str, Any] = {
        "command": command,
        "machine": printing.machine(),
        "settings": asdict(settings),
        "parts": {},
    }
    for name in options.parts:
        started = time.perf_counter()
        with threads_of_torch(settings.threads):
            found["parts"][name] = asdict(PARTS[name](settings))
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        if options.json:
            _write(options.json, found)
    return found


def _write(path: Path, found: dict[str, Any]) -> None:
    try:
        with written_whole(path) as partial:
            partial.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json: {path} cannot be written: {error.strerror or error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("command", "machine", "parts")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--show: {path} is not what --json wrote: {type(error).__name__}: {error}") from error


if __name__ == "__main__":
    main()
