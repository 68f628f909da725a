"""Separate recordings: `python -m convtasnet_lit.separate CHECKPOINT mix.wav`."""

import argparse
import sys
from pathlib import Path

from rich.progress import track

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.separator import Separator


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser("separate", description="Write one WAV a speaker, at the recording's rate.")
    parser.add_argument("checkpoint", type=Path, help="a .ckpt file, or the folder of a run")
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="WAV, FLAC, OGG or MP3")
    parser.add_argument("--out", type=Path, help="folder of the results; by default beside each input")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument(
        "--bfloat16", action="store_true", help="multiply in bfloat16, on processors where that is faster"
    )
    return parser


def main() -> None:
    """Separate each input; one that fails is named and does not stop the others."""
    options = arguments().parse_args()
    try:
        separator = Separator.from_pretrained(options.checkpoint, options.device, options.bfloat16)
    except InputError as error:
        sys.exit(f"error: {error}")
    failed, written = 0, dict[Path, Path]()
    for path in track(options.inputs, "separating", disable=len(options.inputs) == 1 or not sys.stderr.isatty()):
        target = (options.out or path.parent) / path.stem
        if written.setdefault(target, path) != path:
            failed += 1
            print(f"error: {path}: left out, as its results would replace those of {written[target]}", file=sys.stderr)
            continue
        try:
            print(*separator.separate_file(path, options.out), sep="\n")
        except InputError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
