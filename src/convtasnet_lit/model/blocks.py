"""The separator: a temporal convolutional network that estimates masks (Luo & Mesgarani, 2019, figures 1B and 1C)."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from convtasnet_lit.model.fast.lean import Weights, lean_block
from convtasnet_lit.model.fast.products import multiply
from convtasnet_lit.model.norms import make_norm
from convtasnet_lit.model.tracing import is_eager


class PointwiseConv(nn.Conv1d):
    """A 1x1 convolution, computed by the faster library: see `products`.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels in, frames) -> (batch, channels out, frames)."""
        return multiply(self.weight[:, :, 0], x, self.bias)


class ConvBlock(nn.Module):
    """One dilated depthwise-separable convolution block with a residual and a skip output (figure 1C).

    Args:
        bottleneck_channels: B in the paper.
        hidden_channels: H.
        skip_channels: Sc.
        kernel_size: P, frames.
        dilation: 1, 2, 4, ... frames.
        norm: `gLN`, `cLN` or `BN`.
        causal: Pad on the left only.
        residual: Whether there is a residual output; the last block of the separator needs none.
    """

    def __init__(
        self,
        bottleneck_channels: int,
        hidden_channels: int,
        skip_channels: int,
        kernel_size: int,
        dilation: int,
        norm: str,
        causal: bool = False,
        residual: bool = True,
    ) -> None:
        super().__init__()
        context = (kernel_size - 1) * dilation
        self.causal = causal
        self.dilation = dilation
        self.left = context if causal else context // 2  # frames that the depthwise convolution reads before the first
        self.expand = PointwiseConv(bottleneck_channels, hidden_channels)
        self.expand_prelu = nn.PReLU()
        self.expand_norm = make_norm(norm, hidden_channels)
        self.depthwise = nn.Conv1d(
            hidden_channels,
            hidden_channels,
            kernel_size,
            padding=0 if causal else self.left,
            dilation=dilation,
            groups=hidden_channels,
        )
        self.depthwise_prelu = nn.PReLU()
        self.depthwise_norm = make_norm(norm, hidden_channels)
        self.residual = PointwiseConv(hidden_channels, bottleneck_channels) if residual else None
        self.skip = PointwiseConv(hidden_channels, skip_channels)

    def forward(self, x: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, B, frames) and the skip outputs' sum so far (batch, Sc, frames) -> the same for the next block."""
        hidden = self.expand_norm(self.expand_prelu(self.expand(x)))  # (batch, H, frames)
        if self.causal:
            hidden = functional.pad(hidden, (self.left, 0))
        hidden = self.depthwise(hidden)
        hidden = self.depthwise_norm(self.depthwise_prelu(hidden))
        output = x if self.residual is None else x + self.residual(hidden)  # (batch, B, frames)
        return output, skips + self.skip(hidden)

    def forward_lean(self, state: Tensor, recompute: bool) -> Tensor:
        """Compute the same and keep less for the backward pass; needs gLN.

        Args:
            state: x above the sum of the skip outputs, (batch, B + Sc, frames).
            recompute: Keep x alone, not also what the expanding convolution made of it.

        Returns:
            The state for the next block; of the last block, which has no residual output, the sum alone.
        """
        norm, mixed_norm = cast(nn.GroupNorm, self.expand_norm), cast(nn.GroupNorm, self.depthwise_norm)
        residual = self.residual
        weights = Weights(
            expand=self.expand.weight[:, :, 0],
            expand_bias=cast(Tensor, self.expand.bias),
            slope=self.expand_prelu.weight,
            norm=norm.weight,
            norm_bias=norm.bias,
            taps=self.depthwise.weight[:, 0],
            taps_bias=cast(Tensor, self.depthwise.bias),
            mixed_slope=self.depthwise_prelu.weight,
            mixed_norm=mixed_norm.weight,
            mixed_norm_bias=mixed_norm.bias,
            skip=self.skip.weight[:, :, 0],
            skip_bias=cast(Tensor, self.skip.bias),
            residual=None if residual is None else residual.weight[:, :, 0],
            residual_bias=None if residual is None else residual.bias,
        )
        return lean_block(state, weights, self.dilation, self.left, recompute)


class Separator(nn.Module):
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

    def skip_sum(self, features: Tensor) -> Tensor:
        """(batch, N, frames) -> the sum of the blocks' skip outputs (batch, Sc, frames)."""
        x = self._bottleneck(features)  # (batch, B, frames)
        skips = x.new_zeros(x.shape[0], self.output.in_channels, x.shape[-1])
        blocks = cast(Iterable[ConvBlock], self.blocks)
        if self._is_lean():
            state = torch.cat([x, skips], 1)  # (batch, B + Sc, frames)
            for block in blocks:
                state = block.forward_lean(state, recompute=self.memory == "checkpoint")
            return state
        for block in blocks:
            x, skips = recomputed(block, x, skips) if self.memory == "checkpoint" else block(x, skips)
        return skips

    def masks(self, skips: Tensor) -> Tensor:
        """(batch, Sc, frames) -> masks (batch, sources, N, frames)."""
        scores = self.output(self.output_prelu(skips))  # (batch, sources * N, frames)
        masks: Tensor = self.mask_activation(scores.unflatten(1, (self.num_sources, -1)))
        return masks

    def _is_lean(self) -> bool:
        # the sums over time of a network that is in half precision itself would overflow
        exact = self.output.weight.dtype in (torch.float32, torch.float64)
        return self.norm == "gLN" and self.memory != "plain" and exact and is_eager()

    def _bottleneck(self, features: Tensor) -> Tensor:
        if self.memory == "plain" or self.norm == "BN":  # recomputed, a batch norm would count its batch twice
            return self.bottleneck(self.input_norm(features))  # type: ignore[no-any-return]
        return recomputed(lambda x: self.bottleneck(self.input_norm(x)), features)  # type: ignore[no-any-return]


def recomputed(function: Callable[..., Any], *inputs: Tensor) -> Any:
    """Call a function whose intermediate results are computed anew in the backward pass instead of kept."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)


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
