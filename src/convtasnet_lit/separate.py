"""Separate recordings: `convtasnet separate meeting.wav`."""

import argparse
import io
import sys
from pathlib import Path

from convtasnet_lit.command_line import Parser, add_model, reported, taken
from convtasnet_lit.devices import known_device
from convtasnet_lit.errors import InputError, require

PIPE = "-"
SCALES = ("least_squares", "mixture")  # those of inference/level.py, which takes long to import


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser(
        "separate",
        description="Write one file a speaker, at the recording's rate, length and format.",
        epilog="Exit codes: 0 all is separated, 1 some recordings could not be, 2 nothing could begin, 130 stopped.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="WAV, FLAC, OGG, MP3: files, folders, patterns; - for a WAV on standard input, whose speakers become the "
        "channels of a WAV on standard output",
    )
    add_model(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results; by default beside each input")
    parser.add_argument("--channel", type=int, metavar="N", help="the channel to separate; by default the mean of all")
    parser.add_argument("--like", type=Path, metavar="FILE", help="a voice: whoever is nearest to it becomes speaker 1")
    parser.add_argument("--timeline", action="store_true", help="also write who speaks when, as RTTM and JSON")
    parser.add_argument("--scale", choices=SCALES, default=SCALES[0], help="level of the speakers; default %(default)s")
    parser.add_argument(
        "--window", type=float, metavar="SECONDS", help="separated at once; by default as many as take 300 MB"
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="windows separated at once; default 1")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; default: a CUDA GPU, else the CPU")
    parser.add_argument("--bfloat16", action="store_true", help="multiply in bfloat16, where that is faster")
    return parser


def main() -> None:
    """Separate each input; one that fails is named and does not stop the others."""
    with reported():
        options = arguments().parse_args()
        _check(options)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show stops nothing
        problems = run(options)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


def run(options: argparse.Namespace) -> list[str]:
    """Separate all inputs.

    Args:
        options: What `arguments` parsed.

    Returns:
        A line for each recording that could not be separated.

    Raises:
        InputError: The network cannot be opened, or what came through the pipe cannot be separated.
    """
    from convtasnet_lit.inference.batch import separate_all, separate_pipe
    from convtasnet_lit.inference.inputs import find_inputs
    from convtasnet_lit.inference.likeness import read_sample
    from convtasnet_lit.inference.pipe import standard_streams
    from convtasnet_lit.inference.separator import Separator
    from convtasnet_lit.weights.pretrained import is_network

    how = options.device, options.scale, options.window, options.batch, options.bfloat16
    first = options.inputs[0]
    if options.model is None and is_network(first):
        raise InputError(f"{first}: is a network, no recording; give it as --model {first}")
    separator = Separator.from_pretrained(taken(options.model), *how)
    like = None if options.like is None else read_sample(options.like, separator.sample_rate)
    if PIPE in options.inputs:
        separate_pipe(separator, *standard_streams(), options.channel, like)
        return []
    found, problems = find_inputs(options.inputs, options.out)
    separate_all(separator, found, problems, options.channel, like, options.timeline)
    return problems


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be meant before anything is loaded."""
    known_device(options.device, "--device")
    require(options.window is None or 1 <= options.window < 1e6, "--window", options.window, "1 to 1000000 seconds")
    require(1 <= options.batch <= 1000, "--batch", options.batch, "from 1 to 1000")
    require(options.channel is None or options.channel >= 1, "--channel", options.channel, "at least 1")
    if PIPE in options.inputs and (len(options.inputs) > 1 or options.out or options.timeline):
        beside = "no other input, no --out and no --timeline can stand beside it"
        raise InputError(f"-: standard input goes to standard output; {beside}")


if __name__ == "__main__":
    main()
