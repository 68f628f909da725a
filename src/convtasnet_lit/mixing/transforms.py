"""Normalization and augmentation of the sources of a mixture, which is their sum."""

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
    power = float(mixture.dot(mixture)) / mixture.numel()
    return 1.0 if power == 0.0 else min(TARGET_RMS / math.sqrt(power), 1.0 / float(mixture.abs().max()))


def normalize(sources: Tensor) -> Tensor:
    """Bring a mixture to -25 dBFS by one gain for all its sources.

    Args:
        sources: (sources, samples).

    Example:
        >>> import torch
        >>> sources = normalize(torch.randn(2, 16000))
        >>> round(sources.sum(0).square().mean().sqrt().item(), 4)
        0.0562
    """
    return sources * normalization_gain(sources.sum(0))


def change_first_level(sources: Tensor, decibels: float) -> Tensor:
    """Dynamic SNR mixing: change the level of the first source.

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
