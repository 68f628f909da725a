"""Learning curves and spectrograms as PNG."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.signal import spectrogram

matplotlib.use("Agg")  # no screen is needed

_CURVES = (
    ("loss (dB)", ("train/loss", "val/loss")),
    ("SI-SDR improvement (dB)", ("val/si_sdri",)),
    ("learning rate", ("lr",)),
)


def draw_curves(history: Path, picture: Path) -> None:
    """Draw loss, SI-SDRi and learning rate by epoch.

    Args:
        history: `history.csv` of a run.
        picture: The PNG to write.
    """
    table = pd.read_csv(history)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axis, (title, columns) in zip(figure.subplots(1, len(_CURVES)), _CURVES, strict=True):
        for column in columns:
            if column in table:
                axis.plot(table["epoch"] + 1, table[column], marker=".", label=column)
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend()
    figure.savefig(picture, dpi=120)


def draw_spectrograms(signals: Mapping[str, np.ndarray], sample_rate: int, picture: Path) -> None:
    """Draw spectrograms under one another, on one scale of decibels.

    Args:
        signals: Samples by title, each (samples,).
        sample_rate: Hz.
        picture: The PNG to write.
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
    figure.savefig(picture, dpi=120)
