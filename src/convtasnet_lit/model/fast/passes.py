"""What lies between the matrix products of a block: four passes over its hidden features, (batch, channels, frames).

From y, the product of the expanding 1x1 convolution without its bias, a block computes

    p = PReLU(y + bias)
    h = scale * p + shift               the first norm, once its statistics are known
    z = depthwise convolution of h      zeros before and after
    q = PReLU(z)                        whose norm goes into the weights of the convolution that follows

Here each pass is plain torch, for any device and precision; `kernels` does the same in one sweep over memory. Sums are
taken in the parameters' precision, whatever y's is. On a CPU an operation here costs what it reads and writes, so they
work in place; torch.where and the backward pass of PReLU cost ten times that and are written in other terms.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Hidden:
    """What turns y into q.

    Args:
        expand_bias: Of the expanding convolution, (channels,).
        slope: The slope of the first PReLU, (1,).
        scale: Of the first norm, (batch, channels).
        shift: Of the first norm, (batch, channels).
        taps: Of the depthwise convolution, (channels, taps).
        bias: Of the depthwise convolution, (channels,).
        mixed_slope: The slope of the second PReLU, (1,).
        dilation: Frames from one tap to the next.
        left: Zeros before the first frame: tap k reads the frame k * dilation - left later.
    """

    expand_bias: Tensor
    slope: Tensor
    scale: Tensor
    shift: Tensor
    taps: Tensor
    bias: Tensor
    mixed_slope: Tensor
    dilation: int
    left: int


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
    return p.sum(-1), _square_sum(p)


def mix(y: Tensor, hidden: Hidden, overwrite: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Compute q, and the sums over the frames of q and of its square.

    Args:
        y: (batch, channels, frames).
        hidden: What turns y into q.
        overwrite: Whether q may take the place of y; here it does not, as half precision would round on the way.

    Returns:
        q like y, and two sums (batch, channels).
    """
    q = _prelu(_mixed(_prelu(y + hidden.expand_bias[:, None], hidden.slope), hidden), hidden.mixed_slope)
    return q.to(y.dtype), q.sum(-1), _square_sum(q)


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
    p = _prelu(y + hidden.expand_bias[:, None], hidden.slope)
    z = _mixed(p.clone(), hidden)
    q_gradient = gradient.to(p.dtype).add_(constant[..., None])
    q_gradient.addcmul_(_prelu(z, hidden.mixed_slope), linear[..., None])
    z_gradient, slope_gradient = _prelu_backward(q_gradient, z, hidden.mixed_slope)
    written_and_read = list(_windows(hidden, y.shape[-1]))
    correlations = [(z_gradient[..., written] * p[..., read]).sum(-1) for written, read in written_and_read]
    sums = [z_gradient[..., written].sum(-1) for written, _ in written_and_read]
    return z_gradient.to(y.dtype), slope_gradient, torch.stack(correlations, -1), torch.stack(sums, -1)


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
    z_gradient = gradient.to(hidden.taps.dtype)
    p_gradient = constant[..., None].repeat(1, 1, y.shape[-1])
    for k, (written, read) in enumerate(_windows(hidden, y.shape[-1])):
        weights = (hidden.scale * hidden.taps[:, k])[..., None]
        p_gradient[..., read].addcmul_(z_gradient[..., written], weights)
    biased = y + hidden.expand_bias[:, None]
    p_gradient.addcmul_(_prelu(biased, hidden.slope), linear[..., None])
    y_gradient, slope_gradient = _prelu_backward(p_gradient, biased, hidden.slope)
    return y_gradient.to(y.dtype), slope_gradient, y_gradient.sum(-1)


def _mixed(p: Tensor, hidden: Hidden) -> Tensor:
    """Z from p, which is overwritten: the depthwise convolution as a sum of shifted products."""
    h = p.mul_(hidden.scale[..., None]).add_(hidden.shift[..., None])
    z = hidden.bias[:, None].expand_as(h).contiguous()
    for k, (written, read) in enumerate(_windows(hidden, p.shape[-1])):
        z[..., written].addcmul_(h[..., read], hidden.taps[:, k, None])
    return z


def _windows(hidden: Hidden, frames: int) -> Iterator[tuple[slice, slice]]:
    """For each tap: the frames it writes without reading padding, and the ones it reads for them."""
    for k in range(hidden.taps.shape[1]):
        ahead = k * hidden.dilation - hidden.left
        start, stop = max(0, -ahead), max(0, min(frames, frames - ahead))
        stop = max(start, stop)
        yield slice(start, stop), slice(start + ahead, stop + ahead)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return functional.prelu(x, slope)


def _prelu_backward(gradient: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of x, and of the slope summed over the frames."""
    slope_gradient = x.clamp(max=0).mul_(gradient).sum(-1)
    above: Tensor = torch.ops.aten.threshold_backward(gradient, x, 0)  # the gradient where x > 0, else 0
    above.lerp_(gradient, slope)
    return above, slope_gradient


def _square_sum(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1)  # without a second tensor of x's size
    return norm.square()
