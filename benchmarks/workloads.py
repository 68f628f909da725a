"""What is measured of a network: a training step, a forward pass."""

import torch
from torch import Tensor, nn

from benchmarks.contestants import SAMPLE_RATE
from benchmarks.timing import Settings
from convtasnet_lit.training.losses import pit_loss


def training_step(network: nn.Module, sources: Tensor) -> None:
    """Zero the gradients, separate, take the loss of the best permutation, go back; no optimizer, no clipping.

    Args:
        network: (batch, samples) -> (batch, sources, samples).
        sources: (batch, sources, samples).
    """
    network.zero_grad(set_to_none=True)
    pit_loss(network(sources.sum(1)).float(), sources).backward()  # type: ignore[no-untyped-call]


@torch.inference_mode()
def forward_pass(network: nn.Module, sources: Tensor) -> None:
    """Separate, and keep nothing for a backward pass.

    Args:
        network: (batch, samples) -> (batch, sources, samples).
        sources: (batch, sources, samples).
    """
    network(sources.sum(1))


def size(settings: Settings) -> str:
    """Say what a training step or a forward pass is measured on."""
    many = f"batch {settings.batch} x {settings.seconds:g} s at {SAMPLE_RATE} Hz"
    return f"{settings.model} model, {many}, {settings.threads} threads{precision(settings)}"


def precision(settings: Settings) -> str:
    """Say what is multiplied in, where it is not float32."""
    return ", in bfloat16" if settings.bfloat16 else ""
