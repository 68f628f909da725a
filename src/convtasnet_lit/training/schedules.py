"""How the learning rate falls: halving on a plateau, as in the paper, or warm-up and cosine."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

# The loss must fall by more than this to count as progress, here and where training stops early. It is a difference,
# since a share of the loss would change its sign with it. Over the default patience it asks for 0.0025 dB an epoch,
# 0.25 dB in a hundred: what is slower is not worth a rate that is too high, nor another night.
PROGRESS_DB = 0.01


def halving(optimizer: Optimizer, factor: float = 0.5, patience: int = 3, min_lr: float = 1e-8) -> ReduceLROnPlateau:
    """Multiply the rate by `factor` when the loss has not fallen by `PROGRESS_DB` for more than `patience` epochs.

    Args:
        optimizer: Whose rate.
        factor: 0.5 in the paper (section III-B).
        patience: Epochs without improvement that are let pass.
        min_lr: The rate never falls below.
    """
    return ReduceLROnPlateau(optimizer, "min", factor, patience, PROGRESS_DB, "abs", min_lr=min_lr)


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup_fraction: float = 0.05) -> LambdaLR:
    """Raise the rate linearly, then let it fall to zero along half a cosine.

    Args:
        optimizer: Whose rate.
        total_steps: Optimizer steps of the whole training.
        warmup_fraction: Share of them in which the rate rises.
    """
    return LambdaLR(optimizer, lambda step: warmup_cosine_factor(step, total_steps, warmup_fraction))


def warmup_cosine_factor(step: int, total_steps: int, warmup_fraction: float) -> float:
    """Return the share of the highest rate at a step.

    Example:
        >>> [round(warmup_cosine_factor(step, 100, 0.1), 2) for step in (0, 9, 10, 55, 100)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = round(total_steps * warmup_fraction)
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return 0.5 * (1 + math.cos(math.pi * progress))
