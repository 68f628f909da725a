"""Graphs as files for other runtimes: ONNX, and torch.export's own format."""

import io
import json
from importlib.util import find_spec
from pathlib import Path

import torch

from convtasnet_lit import __version__
from convtasnet_lit.errors import InputError
from convtasnet_lit.exporting.graphs import Graph, quiet
from convtasnet_lit.files import written_whole

METADATA = "metadata.json"  # the extra file in a .pt2


def require_onnx() -> None:
    """Check that what `write_onnx` needs is here.

    Raises:
        InputError: It is not.
    """
    if not find_spec("onnx") or not find_spec("onnxscript"):
        raise InputError("--format: onnx needs packages: pip install 'convtasnet_lit[onnx]'")


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph as one ONNX file, weights and metadata included.

    Args:
        graph: The graph.
        path: The file to write.

    Raises:
        OSError: The file cannot be written.
    """
    with quiet():
        model = _onnx_model(graph)
    with written_whole(path) as partial:
        partial.write_bytes(model)


def write_torch_export(graph: Graph, path: Path) -> None:
    """Write a graph for `torch.export.load`; its extra file `metadata.json` holds the metadata.

    Args:
        graph: The graph.
        path: Of the file; torch expects it to end in .pt2.

    Raises:
        OSError: The file cannot be written.
    """
    buffer = io.BytesIO()
    torch.export.save(graph.program, buffer, extra_files={METADATA: json.dumps(graph.metadata, indent=1)})
    with written_whole(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def _onnx_model(graph: Graph) -> bytes:
    from onnxscript import ir, optimizer

    program = torch.onnx.export(
        graph.program,
        input_names=[port.name for port in graph.inputs],
        output_names=[port.name for port in graph.outputs],
        optimize=False,  # it takes the 1e-8 in a norm for nothing, and quiet mixtures would come out otherwise
        verbose=False,
        dynamo=True,
    )
    assert program is not None
    model = program.model
    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)
    traced, named = model.graph.inputs[0].shape, graph.inputs[0].shape
    assert traced is not None
    axes = zip(traced, named, strict=True)
    program.rename_axes({axis: name for axis, name in axes if isinstance(name, str) and not isinstance(axis, int)})
    ir.passes.common.ClearMetadataAndDocStringPass()(model)  # it names files of this machine
    model.metadata_props.update(graph.metadata)
    model.producer_name, model.producer_version = "convtasnet_lit", __version__
    serialized: bytes = ir.to_proto(model).SerializeToString()
    return serialized
