"""The network: shapes, sizes, causality, receptive field."""

import pytest
import torch
from torch import Tensor

from convtasnet_lit.model.network import ConvTasNet

TINY = {
    "num_filters": 24,
    "bottleneck_channels": 8,
    "hidden_channels": 16,
    "skip_channels": 12,
    "num_blocks": 3,
}


def tiny(**settings: object) -> ConvTasNet:
    torch.manual_seed(0)
    return ConvTasNet(**{**TINY, "num_repeats": 2, **settings}).eval()  # type: ignore[arg-type]


def test_paper_model_has_the_papers_size() -> None:
    assert sum(p.numel() for p in ConvTasNet().parameters()) == 4_984_881


@pytest.mark.parametrize("samples", [1, 2, 7, 15, 16, 17, 160, 1001])
@pytest.mark.parametrize("edge_padding", [True, False])
def test_any_length_in_gives_that_length_out(samples: int, edge_padding: bool) -> None:
    estimates = tiny(num_sources=3, edge_padding=edge_padding)(torch.randn(2, samples))
    assert estimates.shape == (2, 3, samples)
    assert estimates.isfinite().all()


def test_masks_of_one_give_the_mixture_back_before_training() -> None:
    network = tiny(kernel_size=20)
    network.separator.output.weight.data.zero_()
    network.separator.output.bias.data.fill_(1.0)  # through the ReLU
    mixture = torch.randn(2, 1003)
    torch.testing.assert_close(network(mixture)[:, 0], mixture, atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["cLN", "BN"])
def test_a_causal_network_does_not_see_the_future(norm: str) -> None:
    network = tiny(norm=norm, causal=True)
    mixture = torch.randn(1, 800)
    changed = mixture.clone()
    changed[:, 500:] = torch.randn(1, 300) * 10
    before, after = network(mixture), network(changed)
    seen = 500 - network.kernel_size  # an output frame may depend on all of its own samples
    torch.testing.assert_close(before[..., :seen], after[..., :seen], rtol=0, atol=0)
    assert not torch.allclose(before[..., 520:], after[..., 520:])


def test_a_global_norm_cannot_be_causal() -> None:
    with pytest.raises(ValueError, match="gLN sees the future"):
        tiny(norm="gLN", causal=True)


@pytest.mark.parametrize(
    "settings",
    [{"mask_activation": "tanh"}, {"encoder_activation": "gelu"}, {"norm": "LN"}, {"kernel_size": 15}],
)
def test_unknown_names_and_odd_kernels_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(settings)))):
        tiny(**settings)


def test_receptive_field_is_what_an_output_sample_depends_on() -> None:
    network = tiny(norm="BN").double()
    mixture = torch.randn(1, 2001, dtype=torch.float64, requires_grad=True)
    frame = 1000 // network.stride * network.stride  # the first sample of a frame
    (gradient,) = torch.autograd.grad(network(mixture)[0, 0, frame], mixture)
    reached = gradient[0].nonzero().flatten()
    # a sample lies under two frames, so it reaches one stride further than one frame does
    assert reached[-1] - reached[0] + 1 == network.receptive_field + network.stride


def test_receptive_field_of_the_paper_is_its_table() -> None:
    network = ConvTasNet()
    assert network.receptive_field_frames == 1531
    assert network.receptive_field_seconds(8000) == pytest.approx(1.53, abs=0.005)
    assert ConvTasNet(kernel_size=32).receptive_field_seconds(16000) == pytest.approx(1.53, abs=0.005)


def masks_of(activation: str) -> Tensor:
    network = tiny(mask_activation=activation)
    network.separator.output.weight.data *= 20  # random weights alone stay near zero
    return network.separate_with_masks(torch.randn(2, 400))[1].detach()


def test_each_mask_activation_has_its_range() -> None:
    relu, sigmoid, softmax = masks_of("relu"), masks_of("sigmoid"), masks_of("softmax")
    assert relu.min() == 0 and relu.max() > 1
    assert sigmoid.min() >= 0 and sigmoid.max() <= 1 and sigmoid.max() > 0.5
    torch.testing.assert_close(softmax.sum(1), torch.ones_like(softmax.sum(1)))


@pytest.mark.parametrize("mask_activation", ["relu", "softmax"])
def test_decoding_in_pieces_is_decoding_at_once(mask_activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built = ConvTasNet(num_filters=32, hidden_channels=32, num_repeats=1, mask_activation=mask_activation)
    mixture = torch.randn(2, 3000)
    monkeypatch.setattr("convtasnet_lit.model.network.FRAMES_AT_ONCE", 100)  # of 376 frames
    pieces, frames = list[int](), built.decoder.frames
    monkeypatch.setattr(built.decoder, "frames", lambda x: (pieces.append(x.shape[-1]), frames(x))[1])
    with torch.inference_mode():
        whole, _ = built.separate_with_masks(mixture)
        pieces.clear()
        torch.testing.assert_close(built(mixture), whole, rtol=1e-5, atol=1e-6)
    assert pieces == [100, 100, 100, 76]
