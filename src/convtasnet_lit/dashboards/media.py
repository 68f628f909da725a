"""Sound and pictures of a few validation mixtures after each epoch."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from matplotlib.figure import Figure
from scipy.signal import spectrogram
from torch import Tensor

from convtasnet_lit.config import Split
from convtasnet_lit.evaluation.pictures import example_signals

MIXTURES = 2  # of the validation list
WIDTH, PANEL, LINE, DPI = 800, 160, 20, 100  # pixels of a picture's width, a panel's height, a line of text, an inch
SIGNALS = ("mixture", "estimate_1", "estimate_2", "reference_1", "reference_2")
KEYS = (*(f"audio/{{}} {signal}" for signal in SIGNALS), "spectrograms/{}", "masks/{}")


class ValidationMedia(Callback):
    """Log the same few mixtures after each validation: audio, spectrograms and masks.

    The keys stay the same from epoch to epoch, so that a dashboard can step through the epochs. W&B and TensorBoard
    show them; other loggers are given none.
    """

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Separate the mixtures and log them, in the first process alone."""
        shown = isinstance(trainer.logger, WandbLogger | TensorBoardLogger)
        if shown and trainer.is_global_zero and trainer.state.fn == "fit":
            try:
                _log_mixtures(trainer, pl_module)
            except Exception as error:  # a training outlives its pictures
                rank_zero_warn(f"this epoch's sound and pictures were not logged: {error}")


def _log_mixtures(trainer: Trainer, pl_module: LightningModule) -> None:
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    mixtures = data.fixed_mixtures(Split.validation)
    for number in range(min(MIXTURES, len(mixtures))):
        _log_mixture(trainer, pl_module, mixtures[number], f"mixture {number}", data.data.sample_rate)


@torch.inference_mode()
def _log_mixture(trainer: Trainer, module: Any, item: Any, name: str, rate: int) -> None:
    estimates, masks = module.network.separate_with_masks(item.mixture.to(module.device).unsqueeze(0))
    signals = example_signals(item, estimates[0].float().cpu())
    heard = {f"audio/{name} {signal}": samples for signal, samples in signals.items()}
    seen = {
        f"spectrograms/{name}": _spectrograms(signals, rate),
        f"masks/{name}": _masks(masks[0], len(item.mixture) / rate),
    }
    logger = trainer.logger
    if isinstance(logger, TensorBoardLogger):
        for key, samples in heard.items():
            logger.experiment.add_audio(key, samples[None], trainer.global_step, rate)
        for key, picture in seen.items():
            logger.experiment.add_image(key, picture, trainer.global_step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        import wandb

        sounds = {key: wandb.Audio(samples, sample_rate=rate) for key, samples in heard.items()}
        logger.experiment.log(sounds | {key: wandb.Image(picture, file_type="jpg") for key, picture in seen.items()})


def _spectrograms(signals: Mapping[str, np.ndarray], rate: int) -> np.ndarray:
    powers = {name: spectrogram(samples, rate, nperseg=round(0.032 * rate))[2] for name, samples in signals.items()}
    decibels = {name: 10 * np.log10(power[::-1] + 1e-12) for name, power in powers.items()}
    seconds = len(signals["mixture"]) / rate
    axes = f"{seconds:g} s from left to right, 0 to {rate / 2000:g} kHz from bottom to top"
    return _picture(f"{axes}; dark: -120 dB, bright: -40 dB", decibels, "viridis", -120, -40)


def _masks(masks: Tensor, seconds: float) -> np.ndarray:
    """A picture of masks (sources, filters, frames): many values are above 1, and must look so."""
    panels = {f"output {number}": mask for number, mask in enumerate(masks.float().cpu().numpy(), start=1)}
    caption = f"{seconds:g} s from left to right, filters from top to bottom; blue: 0, grey: 1, red: 2 and above"
    return _picture(caption, panels, "coolwarm", 0, 2)


def _picture(caption: str, panels: Mapping[str, np.ndarray], colours: str, lowest: float, highest: float) -> np.ndarray:
    """Draw panels (rows, columns) under one another, each under its name: a picture (rows, columns, 3).

    Their pixels are picked and placed here, as axes would take half a second of each epoch for each picture.
    """
    height = LINE + len(panels) * (LINE + PANEL)
    figure = Figure((WIDTH / DPI, height / DPI), DPI)
    for number, text in enumerate([caption, *panels]):
        middle = LINE / 2 + max(0, number - 1) * PANEL + number * LINE
        figure.text(0.005, 1 - middle / height, text, va="center", fontsize=9)
    for number, values in enumerate(panels.values(), start=1):
        rows, columns = (
            np.linspace(0, size - 1, wanted).round().astype(int)
            for size, wanted in zip(values.shape, (PANEL, WIDTH), strict=True)
        )
        bottom = (len(panels) - number) * (LINE + PANEL)
        shown = values[np.ix_(rows, columns)]
        figure.figimage(shown, 0, bottom, cmap=colours, vmin=lowest, vmax=highest, origin="upper")
    drawn = BytesIO()
    figure.savefig(drawn, format="rgba")
    return np.frombuffer(drawn.getvalue(), np.uint8).reshape(height, WIDTH, 4)[..., :3]
