"""Normalization and augmentation as properties of the signal."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from convtasnet_lit.mixing.transforms import TARGET_RMS, change_first_level, normalization_gain, normalize
from convtasnet_lit.training.losses import counting_pit_loss, pit_loss
from tests.model.test_network import tiny


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("level", [1e-4, 0.05, 3.0])
def test_the_mixture_has_minus_25_dbfs_and_the_sources_one_gain(count: int, level: float) -> None:
    sources = torch.randn(count, 16000) * level
    scaled = normalize(sources)
    assert scaled.sum(0).square().mean().sqrt().item() == pytest.approx(0.056234, abs=1e-4)
    gain = scaled[0, 0] / sources[0, 0]
    torch.testing.assert_close(scaled, sources * gain)


def test_a_peak_is_scaled_down_not_clipped() -> None:
    click = torch.zeros(2, 16000)
    click[0, 5000], click[1, 9000] = -0.9, 0.3
    sources = normalize(click)
    mixture = sources.sum(0)
    assert mixture.abs().max().item() == pytest.approx(1.0)
    assert mixture.square().mean().sqrt().item() < TARGET_RMS
    assert sources[1, 9000].item() == pytest.approx(1 / 3, rel=1e-5)


def test_silence_stays_silence() -> None:
    assert normalization_gain(torch.zeros(100)) == 1.0


@pytest.mark.parametrize("decibels", [-3.0, 3.0])
def test_only_the_first_source_changes(decibels: float) -> None:
    sources = torch.randn(3, 800)
    changed = change_first_level(sources, decibels)
    assert torch.equal(changed[1:], sources[1:])
    ratio = changed[0].square().mean() / sources[0].square().mean()
    assert 10 * ratio.log10().item() == pytest.approx(decibels, abs=1e-4)


NORMS = [{"norm": "gLN"}, {"norm": "cLN", "causal": True}, {"norm": "BN"}]
relu_or_linear = pytest.mark.parametrize("encoder_activation", ["linear", "relu"])


def difference(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@torch.no_grad()
@pytest.mark.parametrize("settings", NORMS)
@relu_or_linear
def test_estimates_scale_with_the_mixture_unless_a_norm_remembers_levels(
    settings: dict[str, object], encoder_activation: str
) -> None:
    network, mixture = tiny(encoder_activation=encoder_activation, **settings), 0.05 * torch.randn(1, 8000)
    changed = difference(network(10 * mixture) / 10, network(mixture))
    assert (changed > 1e-3) == network.level_matters
    assert network.level_matters or changed < 1e-4


@pytest.mark.parametrize("loss", [pit_loss, counting_pit_loss])
@pytest.mark.parametrize("settings", NORMS)
@relu_or_linear
def test_training_takes_the_same_step_with_and_without_normalization_unless_the_level_matters(
    settings: dict[str, object], encoder_activation: str, loss: Callable[[Tensor, Tensor], Tensor]
) -> None:
    network = tiny(encoder_activation=encoder_activation, **settings).train()
    recorded = torch.randn(2, 2, 8000) * torch.tensor([0.02, 0.2])[:, None, None]  # two mixtures, 20 dB apart

    def gradients(sources: Tensor) -> Tensor:
        network.zero_grad()
        loss(network(sources.sum(1)), sources).backward()
        return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])

    changed = difference(gradients(recorded), gradients(torch.stack([normalize(sources) for sources in recorded])))
    assert (changed > 0.1) == network.level_matters
    assert network.level_matters or changed < 0.01
