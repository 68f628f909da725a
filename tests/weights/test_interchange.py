"""Same weights, same output: torchaudio's and Asteroid's own networks are the reference."""

import warnings

import pytest
import torch
import torchaudio

from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.interchange import from_asteroid, from_torchaudio, to_asteroid, to_torchaudio

with warnings.catch_warnings():  # it uses decorators that torch has deprecated
    warnings.simplefilter("ignore")
    asteroid_models = pytest.importorskip("asteroid.models", reason="pip install --no-deps asteroid==0.7.0")

LENGTHS = [16, 801, 4003, 8000]
TORCHAUDIO = [
    # (sources, L, N, P, B, H, X, R, mask)
    (2, 16, 64, 3, 16, 32, 4, 2, "relu"),
    (3, 20, 48, 5, 24, 40, 3, 1, "sigmoid"),
    (2, 32, 32, 3, 8, 24, 2, 3, "relu"),
]
ASTEROID = [
    # ours, Asteroid's
    ({"norm": "gLN", "mask_activation": "relu"}, {"norm_type": "gLN", "mask_act": "relu"}),
    ({"norm": "gLN", "mask_activation": "softmax"}, {"norm_type": "gLN", "mask_act": "softmax"}),
    (
        {"norm": "cLN", "causal": True, "mask_activation": "sigmoid", "encoder_activation": "relu"},
        {"norm_type": "cgLN", "causal": True, "mask_act": "sigmoid", "encoder_activation": "relu"},
    ),
    ({"norm": "BN", "mask_activation": "relu"}, {"norm_type": "bN", "mask_act": "relu"}),
]


def randomized(network: torch.nn.Module) -> torch.nn.Module:
    """Random everywhere: the initial norms and PReLUs would hide a wrong order."""
    torch.manual_seed(1)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 0.2 + 0.9 if "norm" in name else torch.randn_like(tensor) * 0.2)
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
    return network.eval()


def assert_same(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    scale = theirs.abs().max().clamp(min=1e-12)  # random weights give outputs of any size
    torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-5, rtol=0)


def ours_like_torchaudio(settings: tuple) -> ConvTasNet:  # type: ignore[type-arg]
    sources, length, filters, kernel, bottleneck, hidden, blocks, repeats, mask = settings
    return ConvTasNet(
        sources,
        filters,
        length,
        bottleneck,
        hidden,
        bottleneck,
        kernel,
        blocks,
        repeats,
        mask_activation=mask,
    ).eval()


@pytest.mark.parametrize("settings", [s for s in TORCHAUDIO if s[3] == 3])
@torch.no_grad()
def test_torchaudio_weights_give_torchaudios_output(settings: tuple) -> None:  # type: ignore[type-arg]
    theirs = randomized(torchaudio.models.ConvTasNet(*settings))
    ours = ours_like_torchaudio(settings)
    ours.load_state_dict(from_torchaudio(theirs.state_dict()))
    for length in LENGTHS:
        mixture = torch.randn(2, length)
        assert_same(ours(mixture), theirs(mixture.unsqueeze(1)))
    exported = torchaudio.models.ConvTasNet(*settings)
    exported.load_state_dict(to_torchaudio(ours.state_dict()))


@torch.no_grad()
def test_the_paper_model_equals_torchaudios() -> None:
    theirs = torchaudio.models.conv_tasnet_base().eval()
    ours = ConvTasNet().eval()
    ours.load_state_dict(from_torchaudio(theirs.state_dict()))
    mixture = torch.randn(1, 12345)
    assert_same(ours(mixture), theirs(mixture.unsqueeze(1)))


@pytest.mark.parametrize(("settings", "names"), ASTEROID)
@torch.no_grad()
def test_asteroid_weights_give_asteroids_output(settings: dict, names: dict) -> None:  # type: ignore[type-arg]
    shape = {"n_filters": 40, "kernel_size": 20, "stride": 10, "bn_chan": 12, "hid_chan": 24, "skip_chan": 16}
    theirs = randomized(asteroid_models.ConvTasNet(2, n_blocks=3, n_repeats=2, **shape, **names))
    ours = ConvTasNet(2, 40, 20, 12, 24, 16, 3, 3, 2, **settings, edge_padding=False).eval()
    ours.load_state_dict(from_asteroid(theirs.state_dict()))
    for length in [20, *LENGTHS[1:]]:
        mixture = torch.randn(2, length)
        assert_same(ours(mixture), theirs(mixture))
    exported = asteroid_models.ConvTasNet(2, n_blocks=3, n_repeats=2, **shape, **names).eval()
    exported.load_state_dict(to_asteroid(ours.state_dict(), causal=settings.get("causal", False)))
    assert_same(exported(mixture), theirs(mixture))


def test_a_foreign_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"head\.weight is no parameter"):
        from_torchaudio({"head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"head\.weight is no parameter"):
        from_asteroid({"head.weight": torch.zeros(1)})
