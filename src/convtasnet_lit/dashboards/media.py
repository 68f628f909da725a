"""Sound and pictures of a few validation mixtures after each epoch."""

from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure

from convtasnet_lit.config import Split
from convtasnet_lit.evaluation.pictures import mask_figure, spectrogram_figure
from convtasnet_lit.inference.level import at_mixture_level
from convtasnet_lit.training.losses import in_source_order


class ValidationMedia(Callback):
    """Log the same few mixtures after each validation: audio, spectrograms and masks, one key each.

    The keys stay the same from epoch to epoch, so that a dashboard can step through the epochs.

    Args:
        mixtures: How many, from the start of the validation list.
    """

    def __init__(self, mixtures: int = 2) -> None:
        self.mixtures = mixtures

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Separate the mixtures and log them, in the first process alone."""
        if not trainer.is_global_zero or trainer.state.fn != "fit" or not isinstance(
            trainer.logger, WandbLogger | TensorBoardLogger
        ):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        listed, rate = data.fixed_mixtures(Split.validation), data.data.sample_rate
        for number in range(min(self.mixtures, len(listed))):
            sounds, masks = _separated(pl_module, listed[number].sources)
            log_media(trainer.logger, f"mixture {number}", sounds, masks, rate, trainer.global_step)


@torch.inference_mode()
def _separated(module: Any, sources: torch.Tensor) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The signals of a mixture by name, each (samples,), and its masks (sources, filters, frames)."""
    mixture = sources.sum(0)
    estimates, masks = module.network.separate_with_masks(mixture.to(module.device).unsqueeze(0))
    ordered = in_source_order(estimates.float().cpu(), sources.unsqueeze(0))[0]
    levelled = at_mixture_level(ordered, mixture)
    sounds = {"mixture": mixture.numpy()}
    for number, (source, estimate) in enumerate(zip(sources, levelled, strict=True), start=1):
        sounds |= {f"reference {number}": source.numpy(), f"estimate {number}": estimate.numpy()}
    return sounds, masks[0].float().cpu().numpy()


def log_media(
    logger: Logger, name: str, sounds: dict[str, np.ndarray], masks: np.ndarray, rate: int, step: int
) -> None:
    """Log one mixture.

    Args:
        logger: W&B's or TensorBoard's.
        name: Of the mixture, first part of each key.
        sounds: Samples by name, each (samples,).
        masks: (sources, filters, frames).
        rate: Hz.
        step: Of the training.
    """
    peak = max(1.0, *(float(np.abs(samples).max()) for samples in sounds.values()))
    heard = {f"audio/{name} {sound}": samples / peak for sound, samples in sounds.items()}
    seen: dict[str, Figure] = {
        f"spectrograms/{name}": spectrogram_figure(sounds, rate),
        f"masks/{name}": mask_figure(masks),
    }
    if isinstance(logger, TensorBoardLogger):
        for key, samples in heard.items():
            logger.experiment.add_audio(key, samples[None], step, rate)
        for key, figure in seen.items():
            logger.experiment.add_figure(key, figure, step)
    elif isinstance(logger, WandbLogger):
        import wandb

        logger.experiment.log(
            {key: wandb.Audio(samples, sample_rate=rate) for key, samples in heard.items()}
            | {key: wandb.Image(figure) for key, figure in seen.items()}
        )
