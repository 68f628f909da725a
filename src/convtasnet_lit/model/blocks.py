"""The convolution block that the network is a stack of (Luo & Mesgarani, 2019, figure 1C)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtasnet_lit.model.norms import make_norm
from convtasnet_lit.model.products import multiply
from convtasnet_lit.model.tracing import is_eager

FEW_FRAMES = 100  # a hop of a stream: up to here a sum over taps took a half to three quarters of oneDNN's time


class Start:
    """What lies before the frames that a block is given: nothing. A stream, which goes on, knows more: `streaming`."""

    def norm(self, norm: nn.Module, x: Tensor) -> Tensor:
        """Normalize (batch, channels, frames)."""
        normalized: Tensor = norm(x)
        return normalized

    def before(self, x: Tensor, frames: int) -> Tensor:
        """Put so many frames before those of x, (batch, channels, frames)."""
        return functional.pad(x, (frames, 0))


START = Start()


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


class DepthwiseConv(nn.Conv1d):
    """A dilated convolution of each channel by itself.

    Args:
        channels: Number of channels.
        kernel_size: Taps.
        dilation: Frames from one tap to the next.
        padding: Frames of zeros before the first and after the last.
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int, padding: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=padding, dilation=dilation, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, channels, frames left)."""
        step, frames = self.dilation[0], x.shape[-1] - (self.kernel_size[0] - 1) * self.dilation[0]
        # Asked first: a graph for every length would take on the number of frames as its limit.
        plain = torch.is_grad_enabled() or not is_eager() or self.padding[0] or x.device.type != "cpu"
        if plain or frames > FEW_FRAMES:
            return super().forward(x)
        y = cast(Tensor, self.bias)[:, None]
        for start, tap in zip(range(0, x.shape[-1], step), self.weight.unbind(-1), strict=False):  # tap: (channels, 1)
            y = torch.addcmul(y, x[..., start : start + frames], tap)
        return y


class ConvBlock(nn.Module):
    """One dilated depthwise-separable convolution block with a residual and a skip output (figure 1C).

    `model/fast/` computes the same by hand for gLN blocks of exactly these layers. A block with another layer runs as
    it stands here, but a change of `forward` itself must be made there, too; `tests/model/fast` compares the two.

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
        self.depthwise = DepthwiseConv(hidden_channels, kernel_size, dilation, 0 if causal else self.left)
        self.depthwise_prelu = nn.PReLU()
        self.depthwise_norm = make_norm(norm, hidden_channels)
        self.residual = PointwiseConv(hidden_channels, bottleneck_channels) if residual else None
        self.skip = PointwiseConv(hidden_channels, skip_channels)

    def forward(self, x: Tensor, skips: Tensor, past: Start = START) -> tuple[Tensor, Tensor]:
        """Compute the block.

        Args:
            x: (batch, B, frames).
            skips: The sum of the skip outputs so far, (batch, Sc, frames).
            past: What lies before these frames; only a causal block can have a past.

        Returns:
            The same two for the next block.
        """
        hidden = past.norm(self.expand_norm, self.expand_prelu(self.expand(x)))  # (batch, H, frames)
        if self.causal:
            hidden = past.before(hidden, self.left)
        hidden = self.depthwise(hidden)
        hidden = past.norm(self.depthwise_norm, self.depthwise_prelu(hidden))
        output = x if self.residual is None else x + self.residual(hidden)  # (batch, B, frames)
        return output, skips + self.skip(hidden)
