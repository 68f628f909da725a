"""The norms against plain numpy."""

import numpy as np
import pytest
import torch

from convtasnet_lit.model.norms import CumulativeLayerNorm, make_norm


def test_cumulative_norm_is_the_papers_formula() -> None:
    x = torch.randn(2, 5, 30, dtype=torch.float64) + 3
    ours = CumulativeLayerNorm(5).double()(x).detach().numpy()
    for k in range(30):
        past = x[..., : k + 1].numpy()
        mean, variance = past.mean((1, 2), keepdims=True), past.var((1, 2), keepdims=True)
        expected = (past[..., -1:] - mean) / np.sqrt(variance + 1e-8)
        np.testing.assert_allclose(ours[..., k : k + 1], expected, atol=1e-9)


def test_cumulative_norm_keeps_its_precision_over_a_long_recording() -> None:
    x = torch.randn(1, 2, 400_000) * 1e-3 + 1.0  # mean 1000 times the deviation
    normalized = CumulativeLayerNorm(2)(x)[..., -100_000:]
    assert normalized.std().item() == pytest.approx(1.0, rel=0.01)


def test_global_norm_uses_all_channels_and_frames() -> None:
    normalized = make_norm("gLN", 6)(torch.randn(3, 6, 50) * 5 + 2).detach()
    torch.testing.assert_close(normalized.mean((1, 2)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(normalized.var((1, 2), unbiased=False), torch.ones(3), atol=1e-4, rtol=0)


def test_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="gLN, cLN or BN"):
        make_norm("instance", 4)
