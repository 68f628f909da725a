"""The streaming step against the offline network, and sums that hours do not wear out."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.export import Dim

from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.model.norms import CumulativeLayerNorm
from convtasnet_lit.model.streaming import StreamingNetwork
from tests.model.test_network import tiny

VARIANTS = [
    {"norm": "cLN"},
    {"norm": "BN"},
    {"norm": "cLN", "edge_padding": False},
    {"norm": "BN", "edge_padding": False, "block_kernel_size": 5},
    {"norm": "cLN", "block_kernel_size": 5, "encoder_activation": "relu", "mask_activation": "softmax"},
    {"norm": "cLN", "block_kernel_size": 1, "num_sources": 3, "kernel_size": 20},
]


def causal(**settings: object) -> ConvTasNet:
    """A small causal network that treats its sources differently, with batch statistics of its own."""
    network = tiny(**{"norm": "cLN", "causal": True, **settings})
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean = 0.1 * torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
        if isinstance(module, CumulativeLayerNorm | torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight, 1.0, 0.1)
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
    return network


@torch.inference_mode()
def streamed(network: ConvTasNet, mixture: Tensor, strides: list[int]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The estimates of all but the last stride, and the state after, from pieces of so many strides."""
    streaming = StreamingNetwork(network)
    state, estimates = streaming.initial_state(len(mixture)), []
    for piece in mixture.split([streaming.lag * count for count in strides], -1):
        estimate, *state = streaming(piece, *state)
        estimates.append(estimate)
    return torch.cat(estimates, -1)[..., streaming.lag :], tuple(state)


@pytest.mark.parametrize("settings", VARIANTS)
@pytest.mark.parametrize("strides", [[60], [1] * 60, [1, 20, 2, 30, 7]])
def test_pieces_of_any_size_are_the_whole(settings: dict[str, object], strides: list[int]) -> None:
    network = causal(**settings)
    mixture = torch.randn(2, 60 * network.stride)
    with torch.inference_mode():
        whole = network(mixture)[..., : -network.stride]
    assert 0.1 < whole.std() < 10
    torch.testing.assert_close(streamed(network, mixture, strides)[0], whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", VARIANTS)
def test_after_ten_hours_a_step_is_still_that_of_float64(settings: dict[str, object]) -> None:
    network, frames = causal(**settings), 72_000_000
    _, (mixture, counted, *others) = streamed(network, torch.randn(2, 60 * network.stride), [60])
    state = [mixture, torch.tensor(frames), *others]
    if settings["norm"] == "cLN":
        state[3] = state[3] * (frames / counted)  # as if it had gone on like this
    samples, exact = torch.randn(2, 20 * network.stride), deepcopy(network).double()
    with torch.inference_mode():
        found = StreamingNetwork(network)(samples, *state)
        doubled = [part.double() if part.is_floating_point() else part for part in state]
        expected = StreamingNetwork(exact)(samples.double(), *doubled)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), atol=2e-5, rtol=1e-6)


def test_gradients_go_back_through_a_step() -> None:
    network, samples = causal(), torch.randn(1, 160, requires_grad=True)
    streaming = StreamingNetwork(network)
    estimates, *_ = streaming(samples, *streaming.initial_state())
    (found,) = torch.autograd.grad(estimates[..., 8:].square().sum(), samples)
    (expected,) = torch.autograd.grad(network(samples)[..., :-8].square().sum(), samples)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", VARIANTS)
def test_the_state_has_its_names_and_never_grows(settings: dict[str, object]) -> None:
    network = causal(**settings)
    streaming = StreamingNetwork(network)
    initial = streaming.initial_state(2)
    assert len(set(streaming.state_names)) == len(streaming.state_names) == len(initial)
    _, state = streamed(network, torch.randn(2, 60 * network.stride), [1, 20, 2, 30, 7])
    assert [(x.shape, x.dtype) for x in state] == [(x.shape, x.dtype) for x in initial]


def test_the_state_is_left_as_it_was_given() -> None:
    network = causal()
    streaming = StreamingNetwork(network)
    _, state = streamed(network, torch.randn(1, 80), [10])
    before = [x.clone() for x in state]
    first, *_ = streaming(torch.ones(1, 16), *state)
    second, *_ = streaming(torch.ones(1, 16), *state)
    assert torch.equal(first, second)
    assert all(torch.equal(x, y) for x, y in zip(before, state, strict=True))


def test_the_weights_are_the_networks_own() -> None:
    network = causal()
    streaming = StreamingNetwork(network)
    assert {id(p) for p in streaming.parameters()} == {id(p) for p in network.parameters()}
    assert not network.training


@pytest.mark.parametrize("settings", [{"norm": "gLN", "causal": False}, {"norm": "cLN", "causal": False}])
def test_a_network_that_sees_the_future_is_refused_in_one_line(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^not causal: [^\n]*$"):
        StreamingNetwork(tiny(**settings))


@pytest.mark.parametrize("settings", VARIANTS[:4])
@torch.no_grad()
def test_the_exported_step_takes_any_number_of_strides(settings: dict[str, object]) -> None:
    network = causal(num_blocks=2, num_repeats=1, **settings)
    streaming = StreamingNetwork(network)
    state, many = streaming.initial_state(), Dim("k", min=2, max=4096)  # a single one is a graph of its own
    shapes = {"samples": {1: network.stride * many}, "state": tuple(None for _ in state)}
    exported = torch.export.export(streaming, (torch.randn(1, 5 * network.stride), *state), dynamic_shapes=shapes)
    single = torch.export.export(streaming, (torch.randn(1, network.stride), *state))
    for count in (2, 20, 1, 3):
        samples = torch.randn(1, count * network.stride)
        expected = streaming(samples, *state)
        found = (exported if count > 1 else single).module()(samples, *state)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        state = expected[1:]


def test_silence_is_silent_and_what_follows_it_is_finite() -> None:
    network = causal()
    mixture = torch.cat([torch.zeros(1, 400), torch.randn(1, 400)], -1)
    estimates, _ = streamed(network, mixture, [10] * 10)
    assert (estimates[..., :392] == 0).all()
    assert estimates.isfinite().all()


def test_estimates_follow_the_level_of_the_mixture() -> None:
    network, mixture = causal(), torch.randn(1, 1600)
    loud, quiet = (streamed(network, scale * mixture, [20] * 10)[0] for scale in (1.0, 0.1))
    torch.testing.assert_close(10 * quiet, loud, atol=1e-3 * loud.abs().max().item(), rtol=0)


def test_ten_hours_of_frames_are_summed_exactly() -> None:
    # 72 million frames: ten hours of L16 at 16 kHz. The sums of this square wave are known: mean 0.1, deviation 0.3.
    norm, frames = CumulativeLayerNorm(2), 2_000_000
    wave = torch.tensor([0.4, -0.2])
    x = wave.repeat(frames // 2).expand(1, 2, -1)
    sums, offsets = torch.zeros(1, 2, dtype=torch.float64), torch.arange(1, frames + 1, dtype=torch.float64)
    for start in range(0, 72_000_000, frames):
        normalized, sums = norm.continued(x, sums, start + offsets)
    np.testing.assert_allclose(sums[0] / 144_000_000, [wave.double().mean(), wave.double().square().mean()], rtol=1e-7)
    torch.testing.assert_close(normalized[0, 0, -2:], torch.tensor([1.0, -1.0]), atol=1e-6, rtol=0)


def test_an_offset_of_a_thousand_deviations_is_taken_out_after_an_hour() -> None:
    norm, frames, generator = CumulativeLayerNorm(4), 100_000, torch.Generator().manual_seed(0)
    sums, offsets = torch.zeros(1, 2, dtype=torch.float64), torch.arange(1, frames + 1, dtype=torch.float64)
    for start in range(0, 7_200_000, frames):
        x = 1e-3 * torch.randn(1, 4, frames, generator=generator) + 1.0
        normalized, sums = norm.continued(x, sums, start + offsets)
    assert normalized.std().item() == pytest.approx(1.0, rel=0.01)
    assert normalized.mean().item() == pytest.approx(0.0, abs=0.01)
