"""Normalization and augmentation as properties of the signal."""

import pytest
import torch

from convtasnet_lit.mixing.transforms import TARGET_RMS, change_first_level, normalization_gain, normalize


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
