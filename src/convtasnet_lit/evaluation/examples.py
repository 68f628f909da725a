"""Example mixtures to listen to and to look at."""

from pathlib import Path

import numpy as np
from torch import Tensor

from convtasnet_lit.audio import write_audio
from convtasnet_lit.evaluation.pictures import draw_spectrograms
from convtasnet_lit.inference.level import at_mixture_level
from convtasnet_lit.mixing.dataset import Mixture
from convtasnet_lit.training.losses import in_source_order


def write_example(folder: Path, item: Mixture, estimates: Tensor, sample_rate: int) -> None:
    """Write a mixture, its references and its estimates as WAV, and their spectrograms as PNG.

    Args:
        folder: Where.
        item: The mixture and its sources.
        estimates: (sources, samples), in any order and scale.
        sample_rate: Hz.
    """
    ordered = in_source_order(estimates.unsqueeze(0), item.sources.unsqueeze(0))[0]
    levelled = at_mixture_level(ordered.numpy(), item.mixture.numpy())
    signals: dict[str, np.ndarray] = {"mixture": item.mixture.numpy()}
    for number, (source, estimate) in enumerate(zip(item.sources, levelled, strict=True), start=1):
        signals |= {f"reference_{number}": source.numpy(), f"estimate_{number}": estimate}
    peak = max(1.0, *(float(np.abs(samples).max()) for samples in signals.values()))
    for name, samples in signals.items():
        write_audio(folder / f"{name}.wav", samples / peak, sample_rate)
    draw_spectrograms(signals, sample_rate, folder / "spectrograms.png")
