"""Exported files: what another runtime makes of them is what torch does, at any length and number of mixtures."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

import convtasnet_lit
from convtasnet_lit.errors import InputError
from convtasnet_lit.exporting.formats import METADATA, require_onnx, write_onnx, write_torch_export
from convtasnet_lit.exporting.graphs import separation_graph, streaming_graph
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.model.streaming import StreamingNetwork
from convtasnet_lit.weights.pretrained import Pretrained
from tests.model.test_network import tiny

NETWORKS = {
    "gLN": {"mask_activation": "relu"},
    "cLN": {"causal": True, "edge_padding": False, "num_sources": 3, "mask_activation": "softmax"},
    "BN": {"kernel_size": 20, "mask_activation": "sigmoid", "encoder_activation": "relu"},
}
CLOSE = 1e-4  # of the greatest sample


@dataclass(frozen=True)
class Exported:
    network: ConvTasNet
    onnx: Path
    torch_export: Path


def pretrained(norm: str, **settings: object) -> Pretrained:
    network = tiny(norm=norm, num_blocks=2, num_repeats=1, **settings)
    network.separator.output.weight.data *= 10  # masks that differ
    return Pretrained(network, sample_rate=8000, normalized=norm != "BN", fewest_speakers=1)


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    trained = pretrained(request.param, **NETWORKS[request.param])
    graph, folder = separation_graph(trained), tmp_path_factory.mktemp("offline")
    files = folder / "a" / "tiny.onnx", folder / "b" / "tiny.pt2"
    write_onnx(graph, files[0])
    write_torch_export(graph, files[1])
    return Exported(trained.network, *files)


@pytest.fixture(scope="module", params=[True, False], ids=["padded", "unpadded"])
def streaming(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ConvTasNet, Path]:
    trained = pretrained("cLN", causal=True, edge_padding=request.param)
    path = tmp_path_factory.mktemp("streaming") / "tiny.onnx"
    write_onnx(streaming_graph(trained), path)
    return trained.network, path


def mixtures(network: ConvTasNet) -> list[Tensor]:
    """Shorter than a frame, just a frame, whole strides, anything; alone and three at once; a whisper; silence."""
    generator = torch.Generator().manual_seed(0)
    frame, stride = network.kernel_size, network.stride
    lengths = [1, stride, frame - 1, frame, frame + 1, frame + stride, 777, 1000, 2001, 4096]
    some = [0.1 * torch.randn(batch, samples, generator=generator) for batch in (1, 3) for samples in lengths]
    return [*some, 1e-3 * some[-1], torch.zeros(1, 777)]


def assert_close(actual: np.ndarray, expected: Tensor) -> None:
    np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=CLOSE * expected.abs().max().item())


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@torch.no_grad()
def test_onnxruntime_separates_any_length_as_torch_does(exported: Exported) -> None:
    session = session_of(exported.onnx)
    for mixture in mixtures(exported.network):
        (estimates,) = session.run(["estimates"], {"mixture": mixture.numpy()})
        assert_close(estimates, exported.network(mixture))


@torch.no_grad()
def test_a_norm_over_millions_of_values_is_as_close(tmp_path: Path) -> None:
    trained = pretrained("gLN", kernel_size=2, hidden_channels=128)
    write_onnx(separation_graph(trained), tmp_path / "long.onnx")
    mixture = 0.1 * torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    (estimates,) = session_of(tmp_path / "long.onnx").run(None, {"mixture": mixture.numpy()})
    assert_close(estimates, trained.network(mixture))


# of torch 2.11, as it loads weights from a buffer that it only reads
@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
@torch.no_grad()
def test_a_torch_export_file_separates_any_length_as_the_network_does(exported: Exported) -> None:
    extra = {METADATA: ""}
    loaded = torch.export.load(exported.torch_export, extra_files=extra).module()
    for mixture in mixtures(exported.network):
        assert_close(loaded(mixture).numpy(), exported.network(mixture))
    assert json.loads(extra[METADATA])["sample_rate"] == "8000"


def test_an_onnx_file_is_valid_and_alone_and_leaves_batch_and_length_open(exported: Exported) -> None:
    onnx.checker.check_model(exported.onnx, full_check=True)
    assert [file.name for file in exported.onnx.parent.iterdir()] == ["tiny.onnx"]
    session = session_of(exported.onnx)
    (mixture,), (estimates,) = session.get_inputs(), session.get_outputs()
    assert (mixture.name, mixture.shape) == ("mixture", ["batch", "samples"])
    assert (estimates.name, estimates.shape) == ("estimates", ["batch", exported.network.num_sources, "samples"])


def test_a_file_says_what_one_must_know_and_nothing_of_this_machine(exported: Exported) -> None:
    about = session_of(exported.onnx).get_modelmeta().custom_metadata_map
    normalized = not isinstance(exported.network.separator.input_norm, torch.nn.BatchNorm1d)
    level = {"normalization": "-25 dBFS RMS, peak at most 1", "target_rms": "0.056234133"}
    assert about == {
        "format": "offline",
        "package": f"convtasnet_lit {convtasnet_lit.__version__}",
        "sample_rate": "8000",
        "num_speakers": str(exported.network.num_sources),
        "fewest_speakers": "1",
        "causal": str(exported.network.num_sources == 3).lower(),
        **(level if normalized else {"normalization": "none"}),
    }
    source = str(Path(convtasnet_lit.__file__).parent).encode()
    for file in (exported.onnx, exported.torch_export):
        assert source not in file.read_bytes()


def test_a_streaming_file_says_how_to_begin(streaming: tuple[ConvTasNet, Path]) -> None:
    network, path = streaming
    session = session_of(path)
    about = session.get_modelmeta().custom_metadata_map
    assert [about[key] for key in ("format", "stride", "lag", "latency")] == ["streaming", "8", "8", "16"]
    for (name, value), there in zip(start(about).items(), StreamingNetwork(network).initial_state(), strict=True):
        assert (value == there.numpy()).all(), name
        assert (value.shape, value.dtype) == (there.numpy().shape, there.numpy().dtype)
    assert session.get_inputs()[0].shape == [1, "samples"]


def start(about: dict[str, str]) -> dict[str, np.ndarray]:
    return {part["name"]: np.full(part["shape"], part["value"], part["dtype"]) for part in json.loads(about["state"])}


@pytest.mark.parametrize("strides", [1, 2, 7, 50])
@torch.no_grad()
def test_onnxruntime_streams_as_torch_does_and_as_the_whole(strides: int, streaming: tuple[ConvTasNet, Path]) -> None:
    network, path = streaming
    session, step = session_of(path), StreamingNetwork(network)
    state, torch_state = start(session.get_modelmeta().custom_metadata_map), list(step.initial_state())
    mixture = 0.1 * torch.randn(1, 350 * network.stride, generator=torch.Generator().manual_seed(0))
    mixture[:, :400] = 0  # silence at first
    pieces = list[np.ndarray]()
    for samples in mixture.split(strides * network.stride, 1):
        estimates, *new = session.run(None, {"samples": samples.numpy(), **state})
        state = dict(zip(state, new, strict=True))
        expected, *torch_state = step(samples, *torch_state)
        assert_close(estimates, expected)
        pieces.append(estimates)
    separated = np.concatenate(pieces, 2)[..., step.lag :]
    assert_close(separated, network(mixture)[..., : -step.lag])


def test_torch_compile_gets_the_fast_operations_and_not_those_for_export() -> None:
    seen = list[str]()

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        seen.append(graph.print_readable(print_output=False))
        return graph.forward

    network, mixture = tiny(), torch.randn(2, 1001)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(network, backend=backend)(mixture), network(mixture))
    assert "group_norm" in "".join(seen)
    assert "conv_transpose" not in "".join(seen)


def test_a_network_that_sees_the_future_does_not_stream() -> None:
    with pytest.raises(InputError, match=r"^--streaming: .*causal"):
        streaming_graph(pretrained("cLN"))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_onnx()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'convtasnet_lit\[onnx\]'"):
        require_onnx()


def test_what_stood_there_before_stays_if_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, data: Any) -> int:
        file.write_text("a part of it")
        raise OSError(28, "No space left on device")

    graph, path = separation_graph(pretrained("BN")), tmp_path / "tiny.pt2"
    path.write_text("before")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_torch_export(graph, path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"tiny.pt2": "before"}
