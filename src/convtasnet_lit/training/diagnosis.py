"""The report's five checks, on the user's own data and model, each with the figure it measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from rich.progress import track
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import default_collate

from convtasnet_lit.config import Config, ScheduleName, plain
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.dataset import Mixture
from convtasnet_lit.mixing.transforms import TARGET_RMS
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training.losses import counting_pit_loss, pit_loss
from convtasnet_lit.training.metrics import separation_scores
from convtasnet_lit.training.module import make_optimizer
from convtasnet_lit.training.schedules import halving, warmup_cosine_factor

OVERFIT_STEPS = 20
LEARNED_DB = 1.0  # a batch seen 20 times gains several dB; noise in the loss is under 0.1 dB
RMS_TOLERANCE = 0.01  # the report's
LEAK_DB = 20.0
STANDSTILL_DB = (-10.0, 0.0, 1.0)  # of the loss: that of a trained network is negative


@dataclass(frozen=True)
class Finding:
    """One row: what was checked, what was measured, and what to do about it."""

    name: str
    passed: bool
    figure: str
    advice: str


def diagnose(config: Config, device: str) -> Iterator[Finding]:
    """Run the five checks, one after the other.

    Args:
        config: A training run.
        device: The device that the network computes on.
    """
    torch.manual_seed(config.seed)
    mixtures = MixtureDataModule(config.data, config.augment, config.seed).training_mixtures()
    batch = default_collate([mixtures[0, number] for number in range(config.data.mixtures_per_batch)])
    network = ConvTasNet(config.data.num_speakers, **plain(config)["model"]).to(device)
    batch = Mixture(batch.parts.to(device))
    checks: tuple[Callable[[], Finding], ...] = (
        lambda: check_masks(network, batch.mixture),
        lambda: check_normalization(torch.stack([mixtures[0, number].mixture for number in range(16)]), network),
        lambda: check_metrics(batch.sources.cpu(), config.data.sample_rate),
        lambda: check_schedule(network, config),
        lambda: check_learning(network, batch, config),
    )
    for check in checks:
        yield check()


def check_masks(network: ConvTasNet, mixture: Tensor) -> Finding:
    """Check that masks can amplify.

    Args:
        network: Untrained.
        mixture: (batch, samples).
    """
    activation = network.separator.mask_activation
    scores = torch.linspace(-5, 5, 101, device=mixture.device).view(1, 1, 1, -1).expand(1, network.num_sources, 1, -1)
    lowest, highest = (value.item() for value in activation(scores).aminmax())
    with torch.inference_mode():
        low, high = (value.item() for value in network.separate_with_masks(mixture)[1].aminmax())
    return Finding(
        "model structure",
        lowest >= 0 and highest > 1,
        f"{type(activation).__name__} mask: scores in [-5, 5] give [{lowest:.4f}, {highest:.4f}]; "
        f"untrained on a batch: [{low:.4f}, {high:.4f}]",
        "the mask never exceeds 1, so nothing can be amplified: model.mask_activation=relu",
    )


def check_normalization(mixtures: Tensor, network: ConvTasNet) -> Finding:
    """Check that mixtures have an RMS of -25 dBFS and a peak within 1, unless the network ignores their level.

    Args:
        mixtures: (mixtures, samples).
        network: Untrained.
    """
    errors = (mixtures.square().mean(-1).sqrt() - TARGET_RMS).abs()
    peak, ignored = mixtures.abs().max().item(), not network.level_matters
    # the median, because a mixture whose peak would exceed 1 is rightly left softer
    normalized = errors.median().item() < RMS_TOLERANCE and peak <= 1
    return Finding(
        "data normalization",
        normalized or ignored,
        f"RMS {mixtures.square().mean().sqrt().item():.6f} (wanted {TARGET_RMS:.6f}), "
        f"range [{mixtures.min().item():.4f}, {mixtures.max().item():.4f}]"
        + (f"; this network ignores the level: its {network.separator.norm} divides it out" if ignored else ""),
        "mixtures are not at -25 dBFS: data.normalize=true",
    )


def check_metrics(sources: Tensor, sample_rate: int) -> Finding:
    """Check the metrics on sources with a known leak.

    Args:
        sources: (batch, sources, samples).
        sample_rate: Hz.
    """
    noise = torch.randn(sources.shape, generator=torch.Generator().manual_seed(0))
    level = sources.square().mean(-1, keepdim=True) / noise.square().mean(-1, keepdim=True)
    estimates = sources + noise * level.sqrt() * 10 ** (-LEAK_DB / 20)
    names = ["si_sdr", "sdr", "si_sdri"]
    scores = separation_scores(names, estimates.flip(1), sources, sources.sum(1), sample_rate)
    # a lone source has no SI-SDRi, and nothing else may be missing
    figures = {name: (value.nanmean() if name == "si_sdri" else value.mean()).item() for name, value in scores.items()}
    return Finding(
        "metrics",
        abs(figures["si_sdr"] - LEAK_DB) < 0.5 and abs(figures["sdr"] - LEAK_DB) < 1.5,
        f"noise {LEAK_DB:.0f} dB below: "
        + " / ".join(f"{name} {value:.2f}" for name, value in figures.items())
        + " dB",
        "the sources of a batch are silent or alike: look at the corpus with convtasnet_lit.prepare",
    )


def check_schedule(network: ConvTasNet, config: Config) -> Finding:
    """Check that the learning rate falls as configured.

    Args:
        network: What the optimizer is for.
        config: A training run.
    """
    optimizer, schedule = make_optimizer(network, config.optimizer), config.schedule
    group = optimizer.param_groups[0]
    rate = group["lr"]
    named = f"{type(optimizer).__name__} {rate:g}, betas {group['betas']}"
    if schedule.name is ScheduleName.halving:
        epochs = schedule.patience + 2
        rates = {loss: _rate_after(epochs, loss, network, config) for loss in STANDSTILL_DB}
        figure = f"{named}; halving: {max(rates.values()):g} after {epochs} epochs at "
        figure += " or ".join(f"{loss:g}" for loss in rates) + " dB"
        passed = max(rates.values()) < rate
        return Finding("optimizer and schedule", passed, figure, "the rate never falls: schedule=halving")
    middle = rate * warmup_cosine_factor(50, 100, schedule.warmup_fraction)
    figure = f"{named}; warmup_cosine: {middle:.2g} at half the steps, 0 at the end"
    return Finding("optimizer and schedule", middle < rate, figure, "schedule.warmup_fraction is too large")


def _rate_after(epochs: int, loss: float, network: ConvTasNet, config: Config) -> float:
    """The learning rate after so many epochs with the same validation loss."""
    optimizer, schedule = make_optimizer(network, config.optimizer), config.schedule
    plateau = halving(optimizer, schedule.factor, schedule.patience, schedule.min_lr)
    for _ in range(epochs):
        plateau.step(loss)
    return float(optimizer.param_groups[0]["lr"])


def check_learning(network: ConvTasNet, batch: Mixture, config: Config) -> Finding:
    """Check that the whole chain learns one batch by heart.

    Args:
        network: Untrained; it is trained here.
        batch: The only batch.
        config: A training run.
    """
    optimizer = make_optimizer(network, config.optimizer)
    criterion, losses = counting_pit_loss if config.data.mixed_counts else pit_loss, []
    for _ in track(range(OVERFIT_STEPS), "one batch, 20 steps", transient=True):
        loss = criterion(network(batch.mixture), batch.sources)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(network.parameters(), config.trainer.gradient_clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return Finding(
        "complete flow",
        losses[-1] < losses[0] - LEARNED_DB,
        f"loss {losses[0]:.2f} -> {losses[-1]:.2f} dB in {OVERFIT_STEPS} steps on one batch",
        "the loss does not fall: try optimizer.lr=1e-3, data.normalize=true, and look at the first two rows",
    )
