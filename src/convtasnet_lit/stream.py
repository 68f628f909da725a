"""Separate what comes through a pipe: `sox in.wav ... - | convtasnet stream --model RUN | sox ...`."""

import argparse
import os
import sys
from time import process_time

from convtasnet_lit.command_line import Parser, add_model, reported, taken
from convtasnet_lit.errors import require

ENCODINGS = ("s16", "f32")  # those of inference/pipe.py, which takes long to import


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser(
        "stream",
        description="Separate raw mono samples from standard input into interleaved ones on standard output.",
    )
    add_model(parser)
    parser.add_argument("--encoding", choices=ENCODINGS, default="s16", help="of input and output; default s16")
    parser.add_argument("--speaker", type=int, metavar="N", help="write this one alone, counted from 1")
    parser.add_argument("--rate", type=int, metavar="HZ", help="rate of the input; refused if it is not the network's")
    parser.add_argument("--hop", type=float, default=10.0, metavar="MS", help="separated at once; default 10")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of torch; default 1")
    return parser


def main() -> None:
    """Separate until the input ends or nobody reads the output any more."""
    with reported():
        options = arguments().parse_args()
        most = os.cpu_count() or 1
        require(1 <= options.threads <= most, "--threads", options.threads, f"from 1 to {most}, the processors here")
        require(0.1 <= options.hop <= 10_000, "--hop", options.hop, "from 0.1 to 10000 ms")
        run(options)


def run(options: argparse.Namespace) -> None:
    """Separate standard input, and say on standard error what is done.

    Args:
        options: What `arguments` parsed.

    Raises:
        InputError: An option, the network or a sample is refused.
        BrokenPipeError: Nobody reads standard output any more.
    """
    model = taken(options.model, streams=True)
    import torch

    from convtasnet_lit.inference.live import StreamingSeparator
    from convtasnet_lit.inference.pipe import separate_stream, standard_streams

    torch.set_num_threads(options.threads)
    separator = StreamingSeparator.from_pretrained(model)
    rate, speakers = separator.sample_rate, list(range(separator.num_speakers))
    allowed = f"{rate} Hz, the network's; sox IN -r {rate} ... or ffmpeg -i IN -ar {rate} ... resample before"
    require(options.rate in (None, rate), "--rate", options.rate, allowed)
    if options.speaker is not None:
        require(options.speaker - 1 in speakers, "--speaker", options.speaker, f"from 1 to {len(speakers)}")
        speakers = [options.speaker - 1]

    hop = max(1, round(options.hop / 1000 * rate))
    latency = 1000 * (hop + separator.lag) / rate
    kind = f"{rate} Hz, {options.encoding}, little-endian"
    print(
        f"in: {kind}, mono; out: {kind}, {len(speakers)} channel{'s'[: len(speakers) - 1]}, {latency:g} ms later",
        file=sys.stderr,
    )
    started = process_time()
    done = separate_stream(separator, *standard_streams(), hop, options.encoding, speakers)
    seconds, busy = done.samples / rate, process_time() - started
    speed = f"{busy:.2f} s of processor time, {seconds / max(busy, 1e-9):.1f} times real time"
    print(f"separated {seconds:.2f} s in {speed}; {done.clipped} samples clipped", file=sys.stderr)


if __name__ == "__main__":
    main()
