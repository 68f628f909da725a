"""trainer.compile: tried on the first batch, and left where it does not work."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from convtasnet_lit.training.compiled import Compiled
from tests.model.test_network import tiny

compile_by = partial(torch.compile)


def with_backend(backend: str | Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: compile_by(function, backend=backend))


def refuses(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    raise RuntimeError("Cannot find a working triton installation.\nA second line.")


def fails_going_back(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            raise RuntimeError("no kernel for this precision")

    return lambda *inputs: tuple(Broken.apply(output) for output in graph(*inputs))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch's compiler about itself
@pytest.mark.parametrize("backend", ["aot_eager", refuses, fails_going_back])
@pytest.mark.parametrize("half", [False, True])
def test_compiled_or_not_the_first_batch_is_the_same(
    backend: str | Callable[..., Any], half: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch._dynamo.reset()
    with_backend(backend, monkeypatch)
    network, mixture = tiny(norm="BN", num_repeats=1).train(), torch.randn(2, 800)
    separate = Compiled(network)
    with caplog.at_level("INFO"), torch.autocast("cpu", torch.bfloat16, enabled=half):
        network(mixture)
        counted = network.separator.blocks[0].expand_norm.num_batches_tracked.item()
        before = {name: buffer.clone() for name, buffer in network.named_buffers()}
        estimates, _ = separate(mixture)
        assert network.separator.blocks[0].expand_norm.num_batches_tracked == counted + 1
        assert all(parameter.grad is None for parameter in network.parameters())
        estimates.float().sum().backward()
        network.load_state_dict(before, strict=False)
        expected, _ = network.separate_with_masks(mixture)
    torch.testing.assert_close(estimates, expected, rtol=1e-2 if half else 1e-4, atol=1e-2 if half else 1e-5)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("lightning")]
    assert len(lines) == (backend != "aot_eager")
    assert all(line.startswith("warning: trainer.compile: not compiled, ") and "\n" not in line for line in lines)
