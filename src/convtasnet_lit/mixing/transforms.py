"""Normalization and augmentation of the parts of a mixture, which is their sum."""

import math

import numpy as np
from torch import Tensor

TARGET_DBFS = -25.0
TARGET_RMS = 10 ** (TARGET_DBFS / 20)  # 0.056234
FADE = 0.01  # s, where a speaker begins or ends
QUIET_DB = -20.0  # a stretch this far under the rest of a source is a pause


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


def normalize(parts: Tensor) -> Tensor:
    """Bring a mixture to -25 dBFS by one gain for all its parts.

    Args:
        parts: (parts, samples).

    Example:
        >>> import torch
        >>> parts = normalize(torch.randn(2, 16000))
        >>> round(parts.sum(0).square().mean().sqrt().item(), 4)
        0.0562
    """
    return parts * normalization_gain(parts.sum(0))


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


def silence_beyond(source: np.ndarray, share: float, first: bool, sample_rate: int) -> np.ndarray:
    """Let a source sound in a part of a mixture alone.

    Args:
        source: (samples,).
        share: Of the samples, in which it sounds.
        first: Whether these are the first ones, else the last. If the source has a pause there, it is the other way
            round; if it sounds at neither end, it stays as it is.
        sample_rate: Hz.

    Example:
        >>> silence_beyond(np.ones(5), 0.4, True, 100)
        array([1., 0., 0., 0., 0.])
    """
    kept, fade = round(share * len(source)), round(FADE * sample_rate)
    window = np.zeros(len(source), source.dtype)
    window[:kept] = np.minimum(np.arange(kept)[::-1] / fade, 1)
    least = 10 ** (QUIET_DB / 10) * np.dot(source, source) * share
    for each in (window, window[::-1]) if first else (window[::-1], window):
        heard: np.ndarray = source * each
        if np.dot(heard, heard) > least:
            return heard
    return source
