"""The Muon optimizer: steps that turn all directions of a weight matrix alike.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the length of its steps is that of Liu
et al., "Muon is scalable for LLM training", 2025 (arXiv 2502.16982), so that Adam's learning rate serves for both.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # steepest at 0; singular values end between 0.7 and 1.2
_ITERATIONS = 5
_AS_ADAM = 0.2  # the usual root mean square of an update of Adam, relative to its rate


class Muon(Adam):
    """Muon for matrices, Adam for all other weights.

    `torch.optim.Muon` takes matrices alone, and one after the other. A separator has about a hundred small ones of few
    shapes; here those of one shape are turned together, and pointwise convolutions count as the matrices they are.

    Args:
        matrices: Weights of pointwise convolutions, (out, in) or (out, in, 1).
        others: All other weights.
        **settings: As of `torch.optim.Adam`; betas and eps are for the others.
    """

    def __init__(self, matrices: Iterable[Tensor], others: Iterable[Tensor], **settings: Any) -> None:
        super().__init__([{"params": list(others)}, {"params": list(matrices)}], **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all weights.

        Args:
            closure: Computes the loss and the gradients.

        Returns:
            Its loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        group = self.param_groups[1]
        trained = {weight: weight.grad for weight in group["params"] if weight.grad is not None}
        by_shape = defaultdict(list)
        for weight in trained:
            by_shape[weight.shape].append(weight)
        for same in by_shape.values():
            self._turn(same, group["lr"], group["weight_decay"])
            for weight in same:
                weight.grad = None  # Adam leaves out what has none
        super().step()
        for weight, gradient in trained.items():
            weight.grad = gradient
        return loss

    def _turn(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """Update weights of one shape."""
        nudged = []
        for weight in weights:
            assert weight.grad is not None, "only weights with a gradient are updated"
            gradient = weight.grad.add(weight, alpha=decay) if decay else weight.grad
            state = self.state[weight]
            if not state:  # Adam looks for `step` in whatever state it loads
                state |= {"step": torch.tensor(0.0), "momentum": torch.zeros_like(weight)}
            state["step"] += 1
            momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
            nudged.append(gradient.lerp(momentum, MOMENTUM).flatten(1))
        turned = orthogonal(torch.stack(nudged))
        length = _AS_ADAM * max(turned.shape[1:]) ** 0.5
        for weight, update in zip(weights, turned, strict=True):
            weight.add_(update.view_as(weight), alpha=-rate * length)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring all singular values of each matrix near 1, by five iterations of Newton and Schulz in bfloat16.

    Args:
        matrices: (matrices, rows, columns).

    Returns:
        The same directions, (matrices, rows, columns), in float32.

    Example:
        >>> turned = orthogonal(torch.diag(torch.tensor([1.0, 0.1])).unsqueeze(0))
        >>> [round(value) for value in torch.linalg.svdvals(turned)[0].tolist()]
        [1, 1]
    """
    high = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if high else matrices).bfloat16()
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)  # then no singular value is above 1
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    turned: Tensor = x.mT if high else x
    return turned.float()
