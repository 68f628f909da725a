"""The fast path against the plain block, which is the truth."""

import logging
import os
import pickle
import shlex
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convtasnet_lit.model import fast, products
from convtasnet_lit.model.blocks import ConvBlock
from convtasnet_lit.model.fast import kernels, passes
from convtasnet_lit.model.fast.kernels import kernels_for
from convtasnet_lit.model.fast.lean import lean_block
from convtasnet_lit.model.fast.passes import Hidden
from convtasnet_lit.model.network import ConvTasNet

SMALL = {"num_filters": 32, "bottleneck_channels": 16, "hidden_channels": 32, "skip_channels": 8, "num_blocks": 3}
F32, F64, BF16, FP16 = torch.float32, torch.float64, torch.bfloat16, torch.float16


@pytest.fixture(params=["kernels", "passes"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With kernels and by convolutions, as on an AMD processor with a compiler; without, and by products."""
    monkeypatch.setattr(products, "_AMD", request.param == "kernels")
    if request.param == "passes":
        monkeypatch.setattr(kernels, "kernels_for", lambda stored, precision: None)
    elif kernels_for(F32, F32) is None:
        pytest.skip("no C++ compiler here")


def block_of(kernel_size: int = 3, dilation: int = 2, residual: bool = True) -> ConvBlock:
    block = ConvBlock(4, 8, 6, kernel_size, dilation, "gLN", residual=residual).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)  # slopes and norm weights of either sign, too
    return block


def outputs_and_gradients(compute: Callable[..., tuple[Tensor, Tensor]], block: ConvBlock, frames: int) -> list[Tensor]:
    torch.manual_seed(1)
    x, x_weights = (torch.randn(3, 4, frames, dtype=torch.float64, requires_grad=True) for _ in range(2))
    skips, skip_weights = (torch.randn(3, 6, frames, dtype=torch.float64, requires_grad=True) for _ in range(2))
    outputs = compute(x, skips)
    loss = (outputs[0] * x_weights).sum() + (outputs[1] * skip_weights).sum()
    return [*outputs, *torch.autograd.grad(loss, [x, skips, *block.parameters()])]


def lean_forward(block: ConvBlock, x: Tensor, skips: Tensor, recompute: bool) -> tuple[Tensor, Tensor]:
    do = kernels.kernels_for(x.dtype, x.dtype) or passes
    state = lean_block(torch.cat([x, skips], 1), block, recompute, do)
    return (x, state) if block.residual is None else (state[:, :4], state[:, 4:])


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(
    ("kernel_size", "dilation", "residual", "frames"),
    [(3, 1, True, 50), (3, 4, False, 50), (5, 2, True, 17), (3, 64, True, 40), (1, 1, True, 1)],
)
def test_a_lean_block_equals_the_plain_one(
    kernel_size: int, dilation: int, residual: bool, frames: int, recompute: bool
) -> None:
    block = block_of(kernel_size, dilation, residual)
    plain = outputs_and_gradients(block, block, frames)
    found = outputs_and_gradients(lambda x, skips: lean_forward(block, x, skips, recompute), block, frames)
    for ours, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("_either_way")
def test_gradients_are_those_of_finite_differences() -> None:
    block = block_of()
    inputs = [torch.randn(2, channels, 9, dtype=torch.float64, requires_grad=True) for channels in (4, 6)]
    assert torch.autograd.gradcheck(lambda x, s, *_: lean_forward(block, x, s, True), [*inputs, *block.parameters()])


def whole_gradient(network: ConvTasNet, mixture: Tensor, memory: str) -> tuple[Tensor, Tensor]:
    network.memory = memory
    network.zero_grad()
    estimates = network(mixture)
    estimates.float().square().mean().backward()
    return estimates.detach(), joined([p.grad for p in network.parameters() if p.grad is not None])


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("memory", ["lean", "checkpoint"])
@pytest.mark.parametrize("sizes", [{}, {"norm": "cLN", "causal": True}, {"mask_activation": "softmax"}])
def test_a_network_is_the_same_in_float32_whatever_it_keeps(sizes: dict[str, object], memory: str) -> None:
    network, mixture = ConvTasNet(**SMALL, **sizes), torch.randn(2, 3000)  # type: ignore[arg-type]
    estimates, gradient = whole_gradient(network, mixture, memory)
    plain_estimates, plain_gradient = whole_gradient(network, mixture, "plain")
    assert torch.linalg.norm(estimates - plain_estimates) < 1e-5 * torch.linalg.norm(plain_estimates)
    assert torch.linalg.norm(gradient - plain_gradient) < 5e-4 * torch.linalg.norm(plain_gradient)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("memory", ["lean", "checkpoint"])
def test_autocast_computes_in_bfloat16_and_stays_near_float32(memory: str) -> None:
    network, mixture = ConvTasNet(**SMALL), torch.randn(2, 3000)
    _, exact = whole_gradient(network, mixture, "plain")
    with torch.autocast("cpu", torch.bfloat16):
        _, plain = whole_gradient(network, mixture, "plain")
        estimates, gradient = whole_gradient(network, mixture, memory)
    assert estimates.dtype == torch.bfloat16
    error, plain_error = (torch.linalg.norm(g - exact) / torch.linalg.norm(exact) for g in (gradient, plain))
    assert error < 1.2 * plain_error + 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_compute_what_the_passes_do(dtype: torch.dtype) -> None:
    compiled = kernels_for(dtype, F32)
    if compiled is None:
        pytest.skip("no C++ compiler here")
    channel, table, slope = torch.randn(4), torch.randn(2, 4), torch.tensor([0.3])
    hidden = Hidden(channel, slope, table, table + 1, torch.randn(4, 3), channel, slope, dilation=4, left=4)
    y, gradient = torch.randn(2, 2, 4, 50).to(dtype)
    given = y, hidden, table, table - 1
    pairs = [
        (compiled.moments(y, channel, slope), passes.moments(y, channel, slope)),
        (compiled.mix(y, hidden), passes.mix(y, hidden)),
        (compiled.mix_backward(gradient.clone(), *given), passes.mix_backward(gradient.clone(), *given)),
        (compiled.expand_backward(gradient.clone(), *given), passes.expand_backward(gradient.clone(), *given)),
    ]
    rounding = 1e-5 if dtype == torch.float32 else 1e-2  # bfloat16 holds eight bits
    for found, expected in pairs:
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.linalg.norm((ours - theirs).float()) < rounding * torch.linalg.norm(theirs.float())
    assert compiled.mix(y, hidden, overwrite=True)[0].data_ptr() == y.data_ptr()


@pytest.mark.usefixtures("_either_way")
def test_autocast_leaves_a_float64_network_alone() -> None:
    network, mixture = ConvTasNet(**SMALL).double(), torch.randn(1, 400, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(mixture).dtype == torch.float64


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("memory", ["lean", "checkpoint"])
def test_going_back_twice_doubles_the_gradient(memory: str) -> None:
    """What was kept is read, never written over."""
    network = ConvTasNet(**SMALL)
    network.memory = memory
    loss = network(torch.randn(1, 1000)).square().mean()
    parameters = list(network.parameters())
    once = torch.autograd.grad(loss, parameters, retain_graph=True)
    again = torch.autograd.grad(loss, parameters)
    for first, second in zip(once, again, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("batch", [1, 2])
def test_without_gradients_it_is_the_same_and_leaves_the_mixture_alone(batch: int) -> None:
    network, mixture = ConvTasNet(**SMALL), torch.randn(batch, 3000)
    before = mixture.clone()
    with torch.inference_mode():
        lean_estimates = network(mixture)
        network.memory = "plain"
        torch.testing.assert_close(lean_estimates, network(mixture), rtol=1e-4, atol=1e-5)
    assert torch.equal(mixture, before)


def test_a_network_in_half_precision_does_not_overflow() -> None:
    network = ConvTasNet(**SMALL).bfloat16().half()
    with torch.inference_mode():
        assert network(torch.randn(1, 480_000).half()).isfinite().all()


def test_second_derivatives_are_refused() -> None:
    network = ConvTasNet(**SMALL)
    (gradient,) = torch.autograd.grad(
        network(torch.randn(1, 400)).sum(), network.encoder.filters.weight, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()


def test_batch_norm_is_not_recomputed() -> None:
    with pytest.raises(ValueError, match="count batches twice"):
        ConvTasNet(**SMALL, norm="BN").memory = "checkpoint"


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # torch's compiler about itself
def test_compiled_by_torch_it_is_the_same() -> None:
    memory = "checkpoint"
    network, mixture = ConvTasNet(**SMALL, num_repeats=1), torch.randn(2, 1000)
    estimates, gradient = whole_gradient(network, mixture, memory)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    compiled_estimates, compiled_gradient = whole_gradient(compiled, mixture, memory)  # type: ignore[arg-type]
    torch.testing.assert_close(compiled_estimates, estimates, rtol=1e-4, atol=1e-5)
    assert torch.linalg.norm(compiled_gradient - gradient) < 1e-4 * torch.linalg.norm(gradient)


# As the paper's model at 16 kHz; torchaudio keeps 646 MB.
@pytest.mark.parametrize(("memory", "megabytes"), [("plain", 700), ("lean", 130), ("checkpoint", 32)])
def test_bytes_kept_for_the_backward_pass(memory: str, megabytes: float) -> None:
    network, seconds = ConvTasNet(), 0.25
    network.memory = memory
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(torch.randn(1, round(seconds * 16_000)))
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    found = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)
    assert output.requires_grad
    assert 0.5 * megabytes < found / seconds / 1e6 < megabytes


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user who has compiled nothing yet: the folder of the cache, which is not there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels_for.cache_clear()
    yield tmp_path / "convtasnet_lit"
    kernels_for.cache_clear()


def compiled_anew(cache: Path) -> Path:
    kernels_for.cache_clear()
    if kernels_for(F32, F32) is None:
        pytest.skip("no C++ compiler here")
    (library,) = cache.iterdir()
    return library


APPLE = """#!/bin/sh
case "$*" in *-fopenmp*) echo "clang: error: unsupported option '-fopenmp'" >&2; exit 1;; esac
exec c++ "$@"
"""


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "'", "apple"])
def test_without_a_compiler_it_works_and_says_so_once(
    compiler: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if compiler == "apple":  # whose clang has no OpenMP
        script = fresh.with_name("apple's clang")
        script.write_text(APPLE)
        script.chmod(0o700)
        compiler = shlex.quote(str(script))
    monkeypatch.setenv("CXX", compiler)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert ConvTasNet(**SMALL)(torch.randn(1, 100)).isfinite().all()
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("slower without compiled kernels: ") and "\n" not in line


def test_kernels_are_compiled_once_and_kept(fresh: Path) -> None:
    first = compiled_anew(fresh)
    written = first.stat().st_mtime_ns
    assert compiled_anew(fresh) == first
    assert first.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["truncated", "half of it", "another library", "writable by others"])
def test_a_library_that_cannot_be_trusted_is_compiled_anew(
    damage: str, fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    library = compiled_anew(fresh)
    whole, content, other = library.stat().st_size, library.read_bytes(), Path(torch._C.__file__)
    library.unlink()  # it is loaded: to cut it would crash this process
    if damage == "truncated":
        library.write_bytes(b"\x7fELF")
    elif damage == "half of it":
        library.write_bytes(content[: whole // 2])  # to load this would end the process
    elif damage == "another library":
        library.symlink_to(other)
    else:
        library.touch()
        library.chmod(0o666)
    assert compiled_anew(fresh).stat().st_size == whole
    assert not library.is_symlink() and not caplog.records


@pytest.mark.skipif(os.name != "posix", reason="asks for the mode of a folder")
def test_a_cache_that_others_can_write_is_not_used(fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
    fresh.mkdir()
    fresh.chmod(0o777)
    assert kernels_for(F32, F32) is None
    assert "others may write to it" in caplog.text
    assert not list(fresh.iterdir())


class Softened(ConvBlock):
    """A block of somebody's own."""

    def forward(self, x: Tensor, skips: Tensor, *past: object) -> tuple[Tensor, Tensor]:
        x, skips = super().forward(x, skips)
        return x, skips.tanh()


def another_activation(network: ConvTasNet) -> None:
    network.separator.blocks[1].expand_prelu = nn.GELU()


def another_norm(network: ConvTasNet) -> None:
    network.separator.blocks[1].depthwise_norm = nn.GroupNorm(4, 32)


def a_layer_more(network: ConvTasNet) -> None:
    network.separator.blocks[1].__class__ = Softened


def a_slope_for_each_channel(network: ConvTasNet) -> None:
    network.separator.blocks[1].expand_prelu = nn.PReLU(32, init=0.1)


def another_epsilon(network: ConvTasNet) -> None:
    network.separator.blocks[1].expand_norm.eps = 0.1


def weight_norm(network: ConvTasNet) -> None:
    nn.utils.parametrizations.weight_norm(network.separator.blocks[1].skip)


def a_hook(network: ConvTasNet) -> None:
    network.separator.blocks[1].depthwise.register_forward_hook(lambda module, inputs, output: output.abs())


CHANGES = [another_activation, another_norm, a_layer_more, a_slope_for_each_channel, another_epsilon, weight_norm]


@pytest.mark.parametrize("memory", ["lean", "checkpoint"])
@pytest.mark.parametrize("change", [*CHANGES, a_hook])
def test_a_block_that_was_changed_is_computed_as_it_stands(change: Callable[[ConvTasNet], None], memory: str) -> None:
    network, mixture = ConvTasNet(**SMALL, num_repeats=1), torch.randn(2, 1000)
    before, _ = whole_gradient(network, mixture, memory)
    change(network)
    estimates, gradient = whole_gradient(network, mixture, memory)
    plain_estimates, plain_gradient = whole_gradient(network, mixture, "plain")
    assert torch.equal(estimates, plain_estimates)
    torch.testing.assert_close(gradient, plain_gradient)
    if change is not weight_norm:  # which changes nothing
        assert not torch.allclose(before, estimates, rtol=1e-3)


@pytest.mark.parametrize("memory", ["lean", "checkpoint"])
def test_what_is_random_is_the_same_when_it_is_computed_anew(memory: str) -> None:
    network, mixture = ConvTasNet(**SMALL, num_repeats=1), torch.randn(1, 400)
    network.separator.output_prelu = nn.Dropout(0.5)
    network.separator.blocks[0].expand_prelu = nn.RReLU(0, 1)
    gradients = []
    for kept in (memory, "plain"):
        torch.manual_seed(0)
        gradients.append(whole_gradient(network, mixture, kept)[1])
    torch.testing.assert_close(*gradients)


def test_the_fast_path_runs_where_it_should_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    network, mixture, called = ConvTasNet(**SMALL, num_repeats=1), torch.randn(1, 400), list[bool]()

    def watched(*arguments: object) -> Tensor:
        called.append(True)
        return lean_block(*arguments)  # type: ignore[arg-type]

    def is_fast() -> bool:
        called.clear()
        network(mixture)
        return bool(called)

    monkeypatch.setattr(fast, "lean_block", watched)
    has_kernels = kernels_for(BF16, F32) is not None
    assert is_fast()
    with torch.autocast("cpu", BF16):
        assert is_fast() == has_kernels
        monkeypatch.setattr(kernels, "kernels_for", lambda stored, precision: None)
        assert not is_fast()  # it would be slower than the plain blocks
    assert is_fast()
    network.memory = "plain"
    assert not is_fast()


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("memory", ["lean", "checkpoint"])
def test_frozen_parts_get_no_gradient_and_the_others_theirs(memory: str) -> None:
    network, mixture = ConvTasNet(**SMALL), torch.randn(2, 1000)
    for parameter in [*network.encoder.parameters(), *network.separator.blocks[2].parameters()]:
        parameter.requires_grad_(False)
    _, gradient = whole_gradient(network, mixture, memory)
    _, plain_gradient = whole_gradient(network, mixture, "plain")
    assert all((p.grad is None) == (not p.requires_grad) for p in network.parameters())
    torch.testing.assert_close(gradient, plain_gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize(("batch", "samples"), [(0, 400), (2, 1), (2, 401)])
def test_no_mixture_a_single_sample_and_strided_ones(batch: int, samples: int) -> None:
    network, mixture = ConvTasNet(**SMALL), torch.randn(samples, batch).T
    estimates, gradient = whole_gradient(network, mixture, "lean")
    plain_estimates, plain_gradient = whole_gradient(network, mixture.contiguous(), "plain")
    torch.testing.assert_close(estimates, plain_estimates, rtol=1e-4, atol=1e-4)
    assert torch.linalg.norm(gradient - plain_gradient) <= 5e-4 * torch.linalg.norm(plain_gradient) or batch == 0


def test_a_copy_is_the_same_and_its_own() -> None:
    network, mixture = ConvTasNet(**SMALL, norm="gLN"), torch.randn(1, 400)
    network.memory = "checkpoint"
    for copy in (deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert copy.memory == "checkpoint"
        assert torch.equal(copy(mixture), network(mixture))
        copy.separator.bottleneck.weight.data.zero_()
        assert not torch.equal(copy(mixture), network(mixture))


def joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def error(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float(torch.linalg.norm(found - expected) / torch.linalg.norm(expected))


# What conf/model has: bottleneck, hidden and skip channels, and the dilations of its blocks
SHAPES = [(128, 512, 128, 128), (128, 256, 128, 128), (128, 128, 128, 128), (64, 128, 64, 32)]


@pytest.mark.parametrize("stored", [F32, BF16, FP16])
@pytest.mark.parametrize("channels", SHAPES)
@pytest.mark.parametrize("dilation", [1, 8, None])
def test_passes_and_kernels_are_as_near_to_float64_as_autograd_is(
    channels: tuple[int, ...], dilation: int | None, stored: torch.dtype
) -> None:
    """In each precision of a profile; on a GPU, too, the passes are plain operations on what autocast has stored."""
    torch.manual_seed(0)
    bottleneck, hidden, skip, widest = channels
    block = ConvBlock(bottleneck, hidden, skip, 3, dilation or widest, "gLN")
    state, weights = (torch.randn(2, bottleneck + skip, 150).to(stored) for _ in range(2))

    def result(found: Tensor, of: ConvBlock) -> tuple[Tensor, Tensor]:
        gradients = torch.autograd.grad((found * weights).sum(), list(of.parameters()))
        return found, joined(gradients)

    def plain(of: ConvBlock, state: Tensor) -> Tensor:
        return torch.cat(of(*state.split([bottleneck, skip], 1)), 1)

    exact = deepcopy(block).double()
    expected = result(plain(exact, state.double()), exact)
    with torch.autocast("cpu", stored, enabled=stored != F32):
        rounded = result(plain(block, state), block)
    for do in filter(None, (passes, kernels_for(stored, F32))):
        found = result(lean_block(state.clone(), block, True, do), block)
        assert (found[0].dtype, found[1].dtype) == (stored, F32)
        for ours, theirs, right in zip(found, rounded, expected, strict=True):
            assert error(ours, right) < 3 * error(theirs, right) + torch.finfo(stored).eps


@pytest.mark.parametrize("stored", [BF16, FP16])
def test_a_scaled_step_is_near_that_of_float64(stored: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast and GradScaler around a whole network, as in training; here without kernels, as on a GPU."""
    monkeypatch.setattr(fast, "_passes", lambda *arguments: passes)
    network, mixture = ConvTasNet(**SMALL), torch.randn(2, 2000)
    exact = deepcopy(network).double()
    exact(mixture.double()).square().mean().backward()
    scaler, optimizer = torch.amp.GradScaler("cpu"), torch.optim.SGD(network.parameters())
    with torch.autocast("cpu", stored):
        loss = network(mixture).float().square().mean()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    gradients, expected = (joined([p.grad for p in net.parameters() if p.grad is not None]) for net in (network, exact))
    assert error(gradients, expected) < 20 * torch.finfo(stored).eps
