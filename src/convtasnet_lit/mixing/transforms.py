"""Normalization and augmentation of (mixture (T,), sources (S, T))."""

import math

from torch import Tensor

TARGET_DBFS = -25.0
TARGET_RMS = 10 ** (TARGET_DBFS / 20)  # 0.056234


def normalization_gain(mixture: Tensor) -> float:
    """How much louder a mixture must become to have an RMS of -25 dBFS, unless its peak would then exceed 1.

    Args:
        mixture: (samples,).

    Returns:
        A linear gain; 1 for silence.

    Example:
        >>> import torch
        >>> round(normalization_gain(torch.tensor([0.5, -0.5])), 6)
        0.112468
    """
    energy = float(mixture.dot(mixture))
    if energy == 0.0:
        return 1.0
    gain = TARGET_RMS / math.sqrt(energy / mixture.numel())
    lowest, highest = mixture.aminmax()
    return min(gain, 1.0 / max(-float(lowest), float(highest)))


def normalize(mixture: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Bring a mixture to -25 dBFS, and its sources by the same gain, so that it stays their sum to the last bit.

    Args:
        mixture: (samples,), the sum of the sources.
        sources: (sources, samples).

    Example:
        >>> import torch
        >>> sources = torch.randn(2, 16000)
        >>> mixture, sources = normalize(sources.sum(0), sources)
        >>> round(mixture.square().mean().sqrt().item(), 4), torch.equal(mixture, sources.sum(0))
        (0.0562, True)
    """
    scaled = sources * normalization_gain(mixture)
    return scaled.sum(0), scaled


def change_first_level(sources: Tensor, decibels: float) -> Tensor:
    """Dynamic SNR mixing: change the level of the first source; the mixture is then to be summed anew.

    Args:
        sources: (sources, samples).
        decibels: How much louder the first source becomes.

    Example:
        >>> import torch
        >>> change_first_level(torch.ones(2, 3), 20.0)
        tensor([[10., 10., 10.],
                [ 1.,  1.,  1.]])
    """
    gains = sources.new_ones(len(sources), 1)
    gains[0] = 10 ** (decibels / 20)
    return sources * gains
