"""Sound and pictures of a few validation mixtures after each epoch."""

from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn
from matplotlib import colormaps
from scipy.signal import spectrogram

from convtasnet_lit.config import Split
from convtasnet_lit.evaluation.pictures import example_signals

MIXTURES = 2  # of the validation list
KEYS = ("audio/{} mixture", "audio/{} estimate_1", "audio/{} estimate_2", "spectrograms/{}", "masks/{}")


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
        f"spectrograms/{name}": np.concatenate([_spectrogram(samples, rate) for samples in signals.values()]),
        f"masks/{name}": np.concatenate(list(_colours(masks[0].float().cpu().numpy(), 0, 1))),
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
        logger.experiment.log(sounds | {key: wandb.Image(picture) for key, picture in seen.items()})


def _spectrogram(samples: np.ndarray, rate: int) -> np.ndarray:
    """A picture (frequencies, frames, 3), low frequencies at the bottom."""
    _, _, power = spectrogram(samples, rate, nperseg=round(0.032 * rate))
    return _colours(10 * np.log10(power[::-1] + 1e-12), -120, -40)


def _colours(values: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """Colours of (..., rows, columns): matplotlib's figures would take seconds of each epoch."""
    share = (values - lowest) / (highest - lowest)
    picture: np.ndarray = colormaps["viridis"](share.clip(0, 1), bytes=True)[..., :3]
    return picture
