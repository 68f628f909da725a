"""Write a network for other runtimes: `convtasnet export --format onnx`."""

import argparse
from pathlib import Path

from convtasnet_lit.command_line import Parser, add_model, reported, taken
from convtasnet_lit.errors import InputError

ENDINGS = {"onnx": ".onnx", "torch_export": ".pt2"}


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser("export", description="Write a network as one file for other runtimes.")
    add_model(parser)
    parser.add_argument("--format", choices=ENDINGS, default="onnx", help="default %(default)s")
    parser.add_argument(
        "--streaming", action="store_true", help="a few milliseconds at a time, from state to state; causal networks"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: in this folder, named after the network")
    return parser


def main() -> None:
    """Write the file and say what is in it."""
    with reported():
        options = arguments().parse_args()
        if options.streaming and options.format != "onnx":
            raise InputError(f"--streaming: {options.format} is not allowed with it; it must be --format onnx")
        run(options)


def run(options: argparse.Namespace) -> None:
    """Write the file and say what is in it.

    Args:
        options: What `arguments` parsed.

    Raises:
        InputError: The network is refused, or the file cannot be written.
    """
    model = taken(options.model, options.streaming)
    from convtasnet_lit.exporting.formats import require_onnx, write_onnx, write_torch_export
    from convtasnet_lit.exporting.graphs import separation_graph, streaming_graph
    from convtasnet_lit.weights.pretrained import load_pretrained

    if options.format == "onnx":
        require_onnx()
    pretrained = load_pretrained(model)
    graph = streaming_graph(pretrained) if options.streaming else separation_graph(pretrained)
    write = write_onnx if options.format == "onnx" else write_torch_export
    kind = "-streaming" if options.streaming else ""
    path = options.out or Path(_name(model) + kind + ENDINGS[options.format])
    try:
        write(graph, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    state = f", and the state, {len(graph.inputs) - 1} tensors" if options.streaming else ""
    print(f"{path}: {path.stat().st_size / 1e3:,.0f} kB")
    print(f"input: {graph.inputs[0]}{state}\noutput: {graph.outputs[0]}{state}")
    print(*(f"{key}: {value}" for key, value in graph.metadata.items() if key != "state"), sep="\n")


def _name(model: str) -> str:
    """The name of a file without its ending, of a folder, or of a hub id without its revision."""
    path = Path(model)
    return path.stem if path.is_file() else path.resolve().name.partition("@")[0]


if __name__ == "__main__":
    main()
