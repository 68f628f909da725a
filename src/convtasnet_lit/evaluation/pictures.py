"""Mixtures to look at and to listen to."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy.signal import spectrogram
from torch import Tensor

from convtasnet_lit.audio import write_audio
from convtasnet_lit.inference.level import at_mixture_level
from convtasnet_lit.mixing.dataset import Mixture
from convtasnet_lit.training.losses import in_source_order

matplotlib.use("Agg")  # no screen is needed


def spectrogram_figure(signals: Mapping[str, np.ndarray], sample_rate: int) -> Figure:
    """Draw spectrograms under one another, on one scale of decibels.

    Args:
        signals: Samples by title, each (samples,).
        sample_rate: Hz.
    """
    figure = Figure(figsize=(10, 1.8 * len(signals)), layout="constrained")
    axes = figure.subplots(len(signals), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, samples) in zip(axes, signals.items(), strict=True):
        # 32 ms windows show a voice's harmonics; 1e-12 keeps digital silence finite
        frequencies, times, power = spectrogram(samples, sample_rate, nperseg=round(0.032 * sample_rate))
        decibels = 10 * np.log10(power + 1e-12)
        image = axis.pcolormesh(times, frequencies, decibels, vmin=-120, vmax=-40, rasterized=True)
        axis.set(ylabel="Hz")
        axis.set_title(title, fontsize=9, loc="left")
    axes[-1].set(xlabel="s")
    figure.colorbar(image, ax=axes.tolist(), label="dB")
    return figure


def example_signals(item: Mixture, estimates: Tensor) -> dict[str, np.ndarray]:
    """Return a mixture, its references and its estimates at the level they have in it, loud ones scaled to full scale.

    Args:
        item: The mixture and its sources.
        estimates: (sources, samples), in any order and scale.

    Returns:
        `mixture`, `reference_1`, `estimate_1`, ..., each (samples,) within [-1, 1].
    """
    audible = estimates.nan_to_num(0, 0, 0)  # a WAV cannot hold NaN; metrics.json names such mixtures
    ordered = in_source_order(audible.unsqueeze(0), item.sources.unsqueeze(0))[0]
    levelled = at_mixture_level(ordered.numpy(), item.mixture.numpy())
    signals: dict[str, np.ndarray] = {"mixture": item.mixture.numpy()}
    for number, (source, estimate) in enumerate(zip(item.sources, levelled, strict=True), start=1):
        signals |= {f"reference_{number}": source.numpy(), f"estimate_{number}": estimate}
    peak = max(1.0, *(float(np.abs(samples).max()) for samples in signals.values()))
    return {name: samples / peak for name, samples in signals.items()}


def write_example(folder: Path, item: Mixture, estimates: Tensor, sample_rate: int) -> None:
    """Write a mixture, its references and its estimates as WAV, and their spectrograms as PNG.

    Args:
        folder: The folder to write to.
        item: The mixture and its sources.
        estimates: (sources, samples), in any order and scale.
        sample_rate: Hz.
    """
    signals = example_signals(item, estimates)
    for name, samples in signals.items():
        write_audio(folder / f"{name}.wav", samples, sample_rate)
    spectrogram_figure(signals, sample_rate).savefig(folder / "spectrograms.png", dpi=120)
