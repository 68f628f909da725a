"""Weights averaged over the steps: what is validated, kept as the best and opened later."""

from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class AveragedWeights(WeightAveraging):
    """Keep an exponential moving average of the weights beside those that are trained.

    Lightning's callback swaps it in for each validation, and writes it to every checkpoint as the network's weights,
    beside those that a resumed run goes on with.

    Args:
        decay: What a step leaves of the average before it, from 0 to 1.
    """

    def __init__(self, decay: float) -> None:
        def average(average: Tensor, weights: Tensor, steps: Tensor) -> Tensor:
            return average_with(average, weights, steps, decay)

        super().__init__(device=None, avg_fn=average)  # where the weights are


def average_with(average: Tensor, weights: Tensor, steps: Tensor, decay: float) -> Tensor:
    """Return an average with the weights of one more step in it.

    Args:
        average: The one before; any shape.
        weights: Of the same shape.
        steps: How many are in the average, a scalar; of few, each counts for more, so that the first weights, which are
            random, are soon forgotten.
        decay: The share of the average that stays, once there are many.

    Example:
        >>> import torch
        >>> average_with(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(1), 0.999)
        tensor(0.1818)
    """
    kept = ((1 + steps) / (10 + steps)).clamp(max=decay)
    return weights + kept * (average - weights)
