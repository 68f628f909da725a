"""The masks: a temporal convolutional network estimates them from the features (Luo & Mesgarani, 2019, figure 1B)."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from convtasnet_lit.model import fast
from convtasnet_lit.model.blocks import START, ConvBlock, PointwiseConv, Start
from convtasnet_lit.model.norms import make_norm


class MaskEstimator(nn.Module):
    """Estimate one mask a source from the mixture's features with a temporal convolutional network (figure 1B).

    `memory` says what is kept for the backward pass: see `ConvTasNet.memory`.

    Args:
        num_sources: C in the paper.
        num_filters: N.
        bottleneck_channels: B.
        hidden_channels: H.
        skip_channels: Sc.
        block_kernel_size: P, frames.
        num_blocks: X, blocks in a repeat; the dilation doubles from one to the next.
        num_repeats: R.
        norm: `gLN`, `cLN` or `BN`.
        causal: See no future frame.
        mask_activation: `relu` (masks in [0, inf)), `sigmoid` (in [0, 1]) or `softmax` (summing to 1).
    """

    def __init__(
        self,
        num_sources: int,
        num_filters: int,
        bottleneck_channels: int,
        hidden_channels: int,
        skip_channels: int,
        block_kernel_size: int,
        num_blocks: int,
        num_repeats: int,
        norm: str,
        causal: bool,
        mask_activation: str,
    ) -> None:
        super().__init__()
        self.num_sources = num_sources
        self.norm = norm
        self.memory = "lean"
        self.input_norm = make_norm(norm, num_filters)
        self.bottleneck = PointwiseConv(num_filters, bottleneck_channels)
        dilations = [2**x for _ in range(num_repeats) for x in range(num_blocks)]
        channels = (bottleneck_channels, hidden_channels, skip_channels)
        self.blocks = nn.ModuleList(
            ConvBlock(*channels, block_kernel_size, dilation, norm, causal, residual=i + 1 < len(dilations))
            for i, dilation in enumerate(dilations)
        )
        self.output_prelu = nn.PReLU()
        self.output = PointwiseConv(skip_channels, num_sources * num_filters)
        activations = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "softmax": SourceSoftmax}
        self.mask_activation = named_activation(activations, "mask_activation", mask_activation)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, N, frames) -> masks (batch, sources, N, frames)."""
        return self.masks(self.skip_sum(features))

    def skip_sum(self, features: Tensor, past: Start = START) -> Tensor:
        """Run the blocks.

        Args:
            features: (batch, N, frames).
            past: What lies before these frames.

        Returns:
            The sum of the blocks' skip outputs, (batch, Sc, frames).
        """
        x = self._bottleneck(features, past)  # (batch, B, frames)
        skips = x.new_zeros(x.shape[0], self.output.in_channels, x.shape[-1])
        blocks, recompute = list(cast(Iterable[ConvBlock], self.blocks)), self.memory == "checkpoint"
        if self.memory != "plain" and past is START:
            found = fast.run(blocks, x, skips, recompute)
            if found is not None:
                return found
        for block in blocks:
            x, skips = recomputed(block, x, skips) if recompute else block(x, skips, past)
        return skips

    def masks(self, skips: Tensor) -> Tensor:
        """(batch, Sc, frames) -> masks (batch, sources, N, frames)."""
        scores = self.output(self.output_prelu(skips))  # (batch, sources * N, frames)
        masks: Tensor = self.mask_activation(scores.unflatten(1, (self.num_sources, -1)))
        return masks

    def _bottleneck(self, features: Tensor, past: Start) -> Tensor:
        if self.memory == "plain" or past is not START or has_state(self):
            return self.bottleneck(past.norm(self.input_norm, features))  # type: ignore[no-any-return]
        return recomputed(lambda x: self.bottleneck(self.input_norm(x)), features)  # type: ignore[no-any-return]


def has_state(module: nn.Module) -> bool:
    """Whether a forward pass changes a module, as a batch norm counts its batches: then none may be recomputed."""
    return next(module.buffers(), None) is not None


def recomputed(function: Callable[..., Any], *inputs: Tensor) -> Any:
    """Call a function whose intermediate results are computed anew in the backward pass instead of kept."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False)


class SourceSoftmax(nn.Module):
    """Masks that sum to one over the sources."""

    def forward(self, scores: Tensor) -> Tensor:
        """(batch, sources, N, frames) -> the same."""
        return torch.softmax(scores, dim=1)


def named_activation(choices: dict[str, type[nn.Module]], argument: str, name: str) -> nn.Module:
    """Build the activation of the given name.

    Args:
        choices: The classes by name.
        argument: What the name was given for; named in the error.
        name: One of them.

    Raises:
        ValueError: It is none of them.
    """
    if name not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, not {name!r}")
    return choices[name]()
