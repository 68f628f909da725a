"""Learning curves as PNG."""

from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

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
