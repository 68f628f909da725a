"""The convolution block with little memory and few passes: outputs and gradients of a gLN `ConvBlock`, by hand.

Two observations make it lean. A norm whose statistics are known is an affine map, so the second norm goes into the
weights of the two convolutions after it. And the sums over time that the gradient of a norm needs come out of products
that are computed anyway, so going back takes no pass of its own. `passes` explains the names y, p, h, z and q.

For the backward pass a block keeps its input and, unless it is told to recompute that, y.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from convtasnet_lit.model import passes
from convtasnet_lit.model.kernels import kernels_for
from convtasnet_lit.model.norms import EPS
from convtasnet_lit.model.passes import Hidden


@dataclass(frozen=True)
class Normalization:
    """A global norm with the statistics of its input.

    Args:
        mean: (batch, 1).
        inverse_deviation: (batch, 1).
        weight: (channels,).
        bias: (channels,).
    """

    mean: Tensor
    inverse_deviation: Tensor
    weight: Tensor
    bias: Tensor

    @property
    def scale(self) -> Tensor:
        """(batch, channels)."""
        return self.weight * self.inverse_deviation

    @property
    def shift(self) -> Tensor:
        """(batch, channels)."""
        return self.bias - self.mean * self.scale

    def backward(self, sums: Tensor, products: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Go back through the norm, all but the product with `scale`.

        Args:
            sums: Of the output's gradient over time, (batch, channels).
            products: Of the output's gradient times the input over time, (batch, channels).
            frames: How many there are.

        Returns:
            `constant` and `linear` (batch, channels): the input's gradient is scale * the output's + constant +
            linear * input. Then the gradients of weight and bias (channels,).
        """
        normalized = (products - self.mean * sums) * self.inverse_deviation  # gradient times normalized input
        offset = (self.weight * sums).mean(1, keepdim=True) / frames
        slope = (self.weight * normalized).mean(1, keepdim=True) / frames
        linear = -self.inverse_deviation.square() * slope
        constant = -self.inverse_deviation * offset - self.mean * linear
        return constant.expand_as(sums), linear.expand_as(sums), normalized.sum(0), sums.sum(0)


class Weights(NamedTuple):
    """The parameters of a block, those of 1x1 convolutions as matrices."""

    expand: Tensor  # (H, B)
    expand_bias: Tensor  # (H,), and so on
    slope: Tensor  # (1,)
    norm: Tensor
    norm_bias: Tensor
    taps: Tensor  # (H, taps)
    taps_bias: Tensor
    mixed_slope: Tensor  # (1,)
    mixed_norm: Tensor
    mixed_norm_bias: Tensor
    skip: Tensor  # (Sc, H)
    skip_bias: Tensor
    residual: Tensor | None  # (B, H); the last block has none
    residual_bias: Tensor | None


def lean_block(
    x: Tensor, skips: Tensor, weights: Weights, dilation: int, left: int, recompute: bool
) -> tuple[Tensor, Tensor]:
    """Compute what a gLN `ConvBlock` computes.

    Args:
        x: (batch, B, frames).
        skips: The sum of the skip outputs so far, (batch, Sc, frames).
        weights: Of the block.
        dilation: Frames from one tap to the next.
        left: Zeros before the first frame.
        recompute: Keep the input alone for the backward pass, and multiply it anew there.

    Returns:
        The next block's input and sum, shaped as they came.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x, skips = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (x, skips))
    with torch.autocast(device, enabled=False):  # precision is chosen by hand: products in x's, sums in the weights'
        return _LeanBlock.apply(x, skips, dilation, left, recompute, *weights)  # type: ignore[no-any-return,no-untyped-call]


class _LeanBlock(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, skips: Tensor, dilation: int, left: int, recompute: bool, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights, do = Weights(*parameters), kernels_for(x) or passes
        y = _product(weights.expand, x)  # (batch, H, frames)
        inner = _statistics(do.moments(y, weights.expand_bias, weights.slope), y)
        hidden = _hidden(weights, inner, dilation, left)
        q, *sums = do.mix(y, hidden)  # (batch, H, frames)
        outer = _statistics((sums[0], sums[1]), y)
        ctx.dilation, ctx.left = dilation, left
        ctx.save_for_backward(x, None if recompute else y, *inner, *outer, *parameters)
        norm = Normalization(*outer, weights.mixed_norm, weights.mixed_norm_bias)
        skips_out = _added(skips, weights.skip, weights.skip_bias, norm, q)
        if weights.residual is None or weights.residual_bias is None:
            return x, skips_out
        return _added(x, weights.residual, weights.residual_bias, norm, q), skips_out

    @staticmethod
    def backward(ctx: Any, x_gradient: Tensor, skips_gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, *kept = ctx.saved_tensors
        weights, do = Weights(*kept[4:]), kernels_for(x) or passes
        norm = Normalization(kept[0], kept[1], weights.norm, weights.norm_bias)
        mixed_norm = Normalization(kept[2], kept[3], weights.mixed_norm, weights.mixed_norm_bias)
        hidden = _hidden(weights, (kept[0], kept[1]), ctx.dilation, ctx.left)
        if y is None:
            y = _product(weights.expand, x)

        gradient, constant, linear, output_gradients = _projected_backward(
            weights, mixed_norm, do.mix(y, hidden)[0], x_gradient, skips_gradient
        )
        gradient, mixed_slope, correlations, sums = do.mix_backward(gradient, y, hidden, constant, linear)
        constant, linear, norm_weight, norm_bias = norm.backward(
            (weights.taps * sums).sum(-1), (weights.taps * correlations).sum(-1), x.shape[-1]
        )
        gradient, slope, expand_bias = do.expand_backward(gradient, y, hidden, constant, linear)

        parameters = Weights(
            expand=torch.bmm(gradient, x.transpose(1, 2)).sum(0, dtype=weights.expand.dtype),
            expand_bias=expand_bias.sum(0),
            slope=slope.sum().view(1),
            norm=norm_weight,
            norm_bias=norm_bias,
            taps=(norm.scale.unsqueeze(-1) * correlations + norm.shift.unsqueeze(-1) * sums).sum(0),
            taps_bias=sums[..., ctx.left // ctx.dilation].sum(0),  # the tap that reads the frame it writes
            mixed_slope=mixed_slope.sum().view(1),
            **output_gradients,
        )
        back = weights.expand.T.to(x.dtype).expand(len(x), -1, -1)
        return torch.baddbmm(x_gradient, back, gradient), skips_gradient, None, None, None, *parameters


def _projected_backward(
    weights: Weights, norm: Normalization, q: Tensor, x_gradient: Tensor, skips_gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    """Go back through the convolutions at the end and the norm before them, to q.

    Returns:
        Three parts of q's gradient, which is the first + the second + the third * q, and those of the parameters.
    """
    output, gradient, split = weights.skip, skips_gradient, 0  # (B + Sc, H), (batch, B + Sc, frames)
    if weights.residual is not None:
        output, split = torch.cat([weights.residual, weights.skip]), len(weights.residual)
        gradient = torch.cat([x_gradient, skips_gradient], 1)
    sums = gradient.sum(-1, dtype=output.dtype)  # (batch, B + Sc)
    products = torch.bmm(gradient, q.transpose(1, 2)).to(output.dtype)  # (batch, B + Sc, H)
    constant, linear, norm_weight, norm_bias = norm.backward(
        sums @ output, (output * products).sum(1), gradient.shape[-1]
    )
    back = (output * norm.scale.unsqueeze(1)).transpose(1, 2).to(q.dtype)  # (batch, H, B + Sc)
    output_gradient = torch.einsum("boh,bh->oh", products, norm.scale) + sums.T @ norm.shift
    bias_gradient = sums.sum(0)
    parameters = {
        "mixed_norm": norm_weight,
        "mixed_norm_bias": norm_bias,
        "skip": output_gradient[split:],
        "skip_bias": bias_gradient[split:],
        "residual": output_gradient[:split] if split else None,
        "residual_bias": bias_gradient[:split] if split else None,
    }
    return torch.bmm(back, gradient), constant, linear, parameters


def _statistics(sums: tuple[Tensor, Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation, each (batch, 1), from the sums of a norm's input and its square over time."""
    mean, square = (table.mean(1, keepdim=True) / y.shape[-1] for table in sums)
    return mean, ((square - mean.square()).clamp(min=0) + EPS).rsqrt()


def _hidden(weights: Weights, statistics: tuple[Tensor, Tensor], dilation: int, left: int) -> Hidden:
    norm = Normalization(*statistics, weights.norm, weights.norm_bias)
    affine = norm.scale, norm.shift
    depthwise = weights.taps, weights.taps_bias
    return Hidden(weights.expand_bias, weights.slope, *affine, *depthwise, weights.mixed_slope, dilation, left)


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """(channels out, channels in) times (batch, channels in, frames)."""
    return torch.bmm(matrix.to(x.dtype).expand(len(x), -1, -1), x)


def _added(x: Tensor, matrix: Tensor, bias: Tensor, norm: Normalization, q: Tensor) -> Tensor:
    """X + the 1x1 convolution of the normalized q; the norm goes into the convolution's weights."""
    matrices = (matrix * norm.scale.unsqueeze(1)).to(x.dtype)  # (batch, channels of x, H)
    start = x + (norm.shift @ matrix.T + bias).unsqueeze(-1).to(x.dtype)
    if torch.compiler.is_compiling():  # compiled by torch 2.11, a Function that works in place has gradients of zero
        return torch.baddbmm(start, matrices, q)
    return start.baddbmm_(matrices, q)
