"""The LightningModule: network, loss, metrics, optimizer and schedule."""

import sys
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric

from convtasnet_lit.config import Config, OptimizerConfig, OptimizerName, Precision, ScheduleName, typed
from convtasnet_lit.mixing.dataset import Mixture
from convtasnet_lit.model.blocks import PointwiseConv
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training.compiled import Compiled
from convtasnet_lit.training.losses import counting_pit_loss, pit_loss
from convtasnet_lit.training.metrics import SeparationMetrics
from convtasnet_lit.training.muon import Muon
from convtasnet_lit.training.schedules import halving, warmup_cosine
from convtasnet_lit.weights.stored import StoredNetwork

LOG_EVERY_BATCHES = 10  # masks are large, and reading them takes time


class SeparationModule(LightningModule):
    """Conv-TasNet, trained on the SI-SDR of the best permutation.

    Args:
        config: A whole `Config` as plain nested dicts (see `config.plain`), so that a checkpoint holds nothing but
            tensors and plain values.

    Example:
        >>> from convtasnet_lit.config import Config, plain
        >>> module = SeparationModule(plain(Config()))
        >>> module(torch.randn(1, 16000)).shape
        torch.Size([1, 2, 16000])
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.config = typed(Config, config)
        data = self.config.data
        self.network = ConvTasNet(data.num_speakers, **config["model"])
        self.network.memory = self.config.trainer.memory.name
        self.began_with: dict[str, str] = {}  # the network whose weights it took, and their hash
        plain = self.network.separate_with_masks
        self._separate = Compiled(self.network) if self.config.trainer.compile else plain
        self._loss = counting_pit_loss if data.mixed_counts else pit_loss
        # NaN stays NaN: by default it would be left out. "disable" would forget the weights (torchmetrics 1.9).
        self.validation_loss = MeanMetric(nan_strategy=torch.nan)
        self.validation_metrics = SeparationMetrics([metric.name for metric in self.config.metrics], data.sample_rate)

    def begin_with(self, stored: StoredNetwork) -> None:
        """Take the weights of a trained network.

        Args:
            stored: The network, of the sizes of this one.
        """
        self.network.load_state_dict(stored.build().state_dict())
        self.began_with = {"init": self.config.init, "weights": stored.digest}

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, samples) -> (batch, sources, samples)."""
        estimates: Tensor = self.network(mixture)
        return estimates

    def training_step(self, batch: Mixture, batch_index: int) -> Tensor:
        """Return the loss of a batch."""
        mixture = batch.mixture
        estimates, masks = self._separate(mixture)
        observed = observations(mixture, masks.detach()) if batch_index % LOG_EVERY_BATCHES == 0 else {}
        del masks  # they are not needed to go back, and large
        loss = self._loss(estimates, batch.sources)
        self.log("train/step_loss", loss)  # of this process alone: the others are waited for once an epoch
        for name, value in ({"train/loss": loss} | observed).items():
            over = "max" if name == "train/mask_max" else "mean"
            self.log(name, value, on_step=False, on_epoch=True, reduce_fx=over, sync_dist=True, batch_size=len(mixture))
        return loss

    def validation_step(self, batch: Mixture, batch_index: int) -> None:
        """Score whole mixtures."""
        mixture = batch.mixture
        estimates = self.network(mixture)
        if not estimates.isfinite().all():
            number = batch_index * self.trainer.world_size + self.global_rank  # each process has every so many
            print(f"warning: the estimates of validation mixture {number} are not finite", file=sys.stderr)
        self.validation_loss.update(self._loss(estimates, batch.sources), len(mixture))
        self.validation_metrics.update(estimates, batch.sources, mixture)

    def on_validation_epoch_end(self) -> None:
        """Log the means over all processes, and lower the rate where they stand still."""
        loss = self.validation_loss.compute()
        scores = self.validation_metrics.compute()
        values = {"val/loss": loss} | {f"val/{name}": value for name, value in scores.items()}
        self.log_dict(values, prog_bar=True, sync_dist=True)
        self.validation_loss.reset()
        self.validation_metrics.reset()
        if self.trainer.state.fn == "fit":
            self.log("lr", self.optimizers().param_groups[0]["lr"], sync_dist=True)  # type: ignore[union-attr]
            schedule = self.lr_schedulers()
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(loss)

    def configure_optimizers(self) -> Any:
        """The optimizer and the schedule that the configuration names."""
        # in another precision Lightning refuses to clip gradients before a fused step
        fused = self.config.trainer.precision is Precision.fp32
        optimizer, schedule = make_optimizer(self.network, self.config.optimizer, fused), self.config.schedule
        if schedule.name is ScheduleName.halving:
            plateau = halving(optimizer, schedule.factor, schedule.patience, schedule.min_lr)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}
        steps = int(self.trainer.estimated_stepping_batches)
        cosine = warmup_cosine(optimizer, steps, schedule.warmup_fraction)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Leave the plateau to `on_validation_epoch_end`.

        Lightning would take its step only after the epoch's checkpoint was written; a run resumed from it would have
        missed one.
        """
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()


def make_optimizer(network: nn.Module, settings: OptimizerConfig, fused: bool = False) -> Adam:
    """Build the optimizer of a run.

    Args:
        network: What it trains; Muon knows the matrices of a `ConvTasNet`.
        settings: Which it is; its rate, betas, epsilon and decay.
        fused: Update all weights of Adam in one kernel.
    """
    how: dict[str, Any] = {"lr": settings.lr, "betas": (settings.beta1, settings.beta2), "eps": settings.eps}
    how |= {"weight_decay": settings.weight_decay, "fused": fused}
    if settings.name is OptimizerName.adam:
        return Adam(network.parameters(), **how)
    matrices = [module.weight for module in network.modules() if isinstance(module, PointwiseConv)]
    known = set(matrices)
    return Muon(matrices, [weight for weight in network.parameters() if weight not in known], **how)


def observations(mixture: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Measure what the report's troubleshooting asks for: masks above 1, and a mixture RMS near 0.056.

    Args:
        mixture: (batch, samples).
        masks: (batch, sources, filters, frames).
    """
    return {
        "train/mask_max": masks.amax(),
        "train/mask_share_above_1": (masks > 1).float().mean(),
        "train/mixture_rms": torch.linalg.vector_norm(mixture, dim=-1).mean() / mixture.shape[-1] ** 0.5,
    }
