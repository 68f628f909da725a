"""The separator: a temporal convolutional network that estimates masks (Luo & Mesgarani, 2019, figures 1B and 1C)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtasnet_lit.model.norms import make_norm


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
        self.left_padding = context if causal else 0  # else the convolution pads both sides itself
        self.expand = nn.Conv1d(bottleneck_channels, hidden_channels, 1)
        self.expand_prelu = nn.PReLU()
        self.expand_norm = make_norm(norm, hidden_channels)
        self.depthwise = nn.Conv1d(
            hidden_channels,
            hidden_channels,
            kernel_size,
            padding=0 if causal else context // 2,
            dilation=dilation,
            groups=hidden_channels,
        )
        self.depthwise_prelu = nn.PReLU()
        self.depthwise_norm = make_norm(norm, hidden_channels)
        self.residual = nn.Conv1d(hidden_channels, bottleneck_channels, 1) if residual else None
        self.skip = nn.Conv1d(hidden_channels, skip_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, B, frames) -> the next block's input (batch, B, frames) and the skip output (batch, Sc, frames)."""
        hidden = self.expand_norm(self.expand_prelu(self.expand(x)))  # (batch, H, frames)
        if self.left_padding:
            hidden = functional.pad(hidden, (self.left_padding, 0))
        hidden = self.depthwise(hidden)
        hidden = self.depthwise_norm(self.depthwise_prelu(hidden))
        output = x if self.residual is None else x + self.residual(hidden)  # (batch, B, frames)
        return output, self.skip(hidden)


class Separator(nn.Module):
    """Estimate one mask a source from the mixture's features with a temporal convolutional network (figure 1B).

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
        self.input_norm = make_norm(norm, num_filters)
        self.bottleneck = nn.Conv1d(num_filters, bottleneck_channels, 1)
        dilations = [2**x for _ in range(num_repeats) for x in range(num_blocks)]
        channels = (bottleneck_channels, hidden_channels, skip_channels)
        self.blocks = nn.ModuleList(
            ConvBlock(*channels, block_kernel_size, dilation, norm, causal, residual=i + 1 < len(dilations))
            for i, dilation in enumerate(dilations)
        )
        self.output_prelu = nn.PReLU()
        self.output = nn.Conv1d(skip_channels, num_sources * num_filters, 1)
        activations = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "softmax": _SourceSoftmax}
        self.mask_activation = named_activation(activations, "mask_activation", mask_activation)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, N, frames) -> masks (batch, sources, N, frames)."""
        x = self.bottleneck(self.input_norm(features))  # (batch, B, frames)
        skips: Tensor | float = 0.0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip  # (batch, Sc, frames)
        scores = self.output(self.output_prelu(skips))  # (batch, sources * N, frames)
        masks: Tensor = self.mask_activation(scores.unflatten(1, (self.num_sources, -1)))
        return masks


class _SourceSoftmax(nn.Module):
    """Masks that sum to one over the sources."""

    def forward(self, scores: Tensor) -> Tensor:
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
