"""What lies between the matrix products of a block: four passes over its hidden features, (batch, channels, frames).

With y the product of the expanding 1x1 convolution, a block computes

    p = PReLU(y + bias)
    h = scale * p + shift               the first norm, once its statistics are known
    z = depthwise convolution of h      zeros before and after
    q = PReLU(z)                        whose norm goes into the weights of the convolutions that follow

Here each pass is plain torch, for any device, precision or compiler; `kernels` does the same in one sweep over memory.
Sums are taken in the parameters' precision, whatever y's is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Hidden:
    """What turns y into q.

    Args:
        bias: Of the expanding convolution, (channels,).
        slope: Of the first PReLU, (1,).
        scale: Of the first norm, (batch, channels).
        shift: Of the first norm, (batch, channels).
        taps: Of the depthwise convolution, (channels, taps).
        taps_bias: Of the depthwise convolution, (channels,).
        mixed_slope: Of the second PReLU, (1,).
        dilation: Frames from one tap to the next.
        left: Zeros before the first frame: tap k reads the frame k * dilation - left later.
    """

    bias: Tensor
    slope: Tensor
    scale: Tensor
    shift: Tensor
    taps: Tensor
    taps_bias: Tensor
    mixed_slope: Tensor
    dilation: int
    left: int

    @property
    def right(self) -> int:
        """Zeros after the last frame."""
        return (self.taps.shape[1] - 1) * self.dilation - self.left


def moments(y: Tensor, bias: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Sum p and its square over the frames.

    Args:
        y: (batch, channels, frames).
        bias: (channels,).
        slope: (1,).

    Returns:
        Two sums, each (batch, channels).
    """
    p = _prelu(y + bias[:, None], slope)
    return p.sum(-1), p.square().sum(-1)


def mix(y: Tensor, hidden: Hidden) -> tuple[Tensor, Tensor, Tensor]:
    """Compute q, and the sums over the frames of q and of its square.

    Args:
        y: (batch, channels, frames).
        hidden: What turns y into q.

    Returns:
        q like y, and two sums (batch, channels).
    """
    q = _prelu(_mixed(_prelu(y + hidden.bias[:, None], hidden.slope), hidden), hidden.mixed_slope)
    return q.to(y.dtype), q.sum(-1), q.square().sum(-1)


def mix_backward(
    gradient: Tensor, y: Tensor, hidden: Hidden, constant: Tensor, linear: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Go back from the second norm to the depthwise convolution.

    Args:
        gradient: Of the second norm's output, times its scale, (batch, channels, frames); may be overwritten.
        y: (batch, channels, frames).
        hidden: What turns y into q.
        constant: The gradient of q is gradient + constant + linear * q; (batch, channels).
        linear: (batch, channels).

    Returns:
        The gradient of z like y and of the second slope (batch, channels); at each tap, the former's correlation with p
        and its sum over the frames where the tap reads no padding (batch, channels, taps).
    """
    p = _prelu(y + hidden.bias[:, None], hidden.slope)
    z = _mixed(p, hidden)
    q_gradient = torch.addcmul(gradient + constant[..., None], linear[..., None], _prelu(z, hidden.mixed_slope))
    z_gradient = q_gradient * _slopes(z, hidden.mixed_slope)
    slope_gradient = (q_gradient * z.clamp(max=0)).sum(-1)
    frames, taps = y.shape[-1], range(hidden.taps.shape[1])
    padded = functional.pad(p, (hidden.left, hidden.right))
    inside = functional.pad(torch.ones_like(p[0, 0]), (hidden.left, hidden.right))
    read = [slice(k * hidden.dilation, k * hidden.dilation + frames) for k in taps]
    correlations = torch.stack([(z_gradient * padded[..., part]).sum(-1) for part in read], -1)
    sums = torch.stack([z_gradient @ inside[part] for part in read], -1)
    return z_gradient.to(y.dtype), slope_gradient, correlations, sums


def expand_backward(
    gradient: Tensor, y: Tensor, hidden: Hidden, constant: Tensor, linear: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Go back from the depthwise convolution to the expanding one.

    Args:
        gradient: Of z, (batch, channels, frames); may be overwritten.
        y: (batch, channels, frames).
        hidden: What turns y into q.
        constant: The gradient of p is scale * that of h + constant + linear * p; (batch, channels).
        linear: (batch, channels).

    Returns:
        The gradient of y like y, of the first slope and of the bias (batch, channels).
    """
    biased = y + hidden.bias[:, None]
    h_gradient = _convolved(gradient, hidden.taps.flip(-1), hidden.dilation, hidden.right, hidden.left)
    p_gradient = torch.addcmul(
        h_gradient * hidden.scale[..., None] + constant[..., None], linear[..., None], _prelu(biased, hidden.slope)
    )
    y_gradient = p_gradient * _slopes(biased, hidden.slope)
    return y_gradient.to(y.dtype), (p_gradient * biased.clamp(max=0)).sum(-1), y_gradient.sum(-1)


def _mixed(p: Tensor, hidden: Hidden) -> Tensor:
    """Z from p."""
    h = torch.addcmul(hidden.shift[..., None], p, hidden.scale[..., None])
    z = _convolved(h, hidden.taps, hidden.dilation, hidden.left, hidden.right)
    return z + hidden.taps_bias[:, None]


def _convolved(x: Tensor, taps: Tensor, dilation: int, left: int, right: int) -> Tensor:
    """A depthwise convolution as a few shifted products, which is faster than torch's on CPUs."""
    padded = functional.pad(x, (left, right))
    frames = x.shape[-1]
    parts = [padded[..., k * dilation : k * dilation + frames] for k in range(taps.shape[1])]
    output = parts[0] * taps[:, 0, None]
    for k, part in enumerate(parts[1:], 1):
        output = torch.addcmul(output, part, taps[:, k, None])
    return output


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def _slopes(x: Tensor, slope: Tensor) -> Tensor:
    """The derivative of PReLU at x."""
    return torch.where(x > 0, torch.ones_like(slope), slope)
