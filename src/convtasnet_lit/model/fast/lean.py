"""The convolution block with little memory and few passes: outputs and gradients of a gLN `ConvBlock`, by hand.

Two observations make it lean. A norm whose statistics are known is an affine map, so the second norm goes into the
weights of the two convolutions after it. And the sums over time that the gradient of a norm needs come out of products
that are computed anyway, so going back takes no pass of its own. `passes` explains the names y, p, h, z and q.

For the backward pass a block keeps its input and, unless it is told to recompute that, y.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from convtasnet_lit.model.blocks import ConvBlock
from convtasnet_lit.model.fast.passes import Hidden
from convtasnet_lit.model.norms import EPS
from convtasnet_lit.model.products import add_product, multiply


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


def lean_block(state: Tensor, block: ConvBlock, recompute: bool, do: Any) -> Tensor:
    """Compute what a gLN `ConvBlock` computes.

    Args:
        state: The block's input x above the sum of the skip outputs so far, (batch, B + Sc, frames); where no gradients
            are asked for, it is overwritten.
        block: The block.
        recompute: Keep x alone for the backward pass, and expand it anew there.
        do: The four functions of `passes`, or `Kernels` of the same names.

    Returns:
        The next state, or of the last block the skip outputs' sum.
    """
    training = torch.is_grad_enabled()
    weights = _weights(block)
    apply: Any = _LeanBlock.apply  # typed in some versions of torch, and not in others
    next_state: Tensor = apply(state, block.dilation, block.left, recompute, training, do, *weights)
    return next_state


def _weights(block: ConvBlock) -> Weights:
    norm, mixed_norm, residual = block.expand_norm, block.depthwise_norm, block.residual
    return Weights(
        expand=block.expand.weight[:, :, 0],
        expand_bias=cast(Tensor, block.expand.bias),
        slope=cast(Tensor, block.expand_prelu.weight),
        norm=cast(Tensor, norm.weight),
        norm_bias=cast(Tensor, norm.bias),
        taps=block.depthwise.weight[:, 0],
        taps_bias=cast(Tensor, block.depthwise.bias),
        mixed_slope=cast(Tensor, block.depthwise_prelu.weight),
        mixed_norm=cast(Tensor, mixed_norm.weight),
        mixed_norm_bias=cast(Tensor, mixed_norm.bias),
        skip=block.skip.weight[:, :, 0],
        skip_bias=cast(Tensor, block.skip.bias),
        residual=None if residual is None else residual.weight[:, :, 0],
        residual_bias=None if residual is None else residual.bias,
    )


class _LeanBlock(Function):
    @staticmethod
    def forward(
        ctx: Any, state: Tensor, dilation: int, left: int, recompute: bool, training: bool, do: Any, *parameters: Tensor
    ) -> Tensor:
        weights = Weights(*parameters)
        x = state[:, : weights.expand.shape[1]]
        if training:
            x = x.clone()  # kept, a view would keep all of the state
        y = _expanded(x, weights)  # (batch, H, frames)
        inner = _statistics(do.moments(y, weights.expand_bias, weights.slope), y)
        hidden = _hidden(weights, inner, dilation, left)
        q, *sums = do.mix(y, hidden, overwrite=not training)  # q: (batch, H, frames)
        outer = _statistics((sums[0], sums[1]), y)
        ctx.dilation, ctx.left, ctx.do = dilation, left, do
        ctx.save_for_backward(x, None if recompute else y, *inner, *outer, *parameters)

        output, bias = _output(weights)
        norm = Normalization(*outer, weights.mixed_norm, weights.mixed_norm_bias)
        bias = (norm.shift @ output.T + bias).unsqueeze(-1).to(x.dtype)  # (batch, B + Sc, 1)
        matrices = (output * norm.scale.unsqueeze(1)).to(x.dtype)  # (batch, B + Sc, H)
        biased = state[:, -len(output) :] + bias if training else state[:, -len(output) :].add_(bias)
        return add_product(biased, matrices, q)

    @staticmethod
    @once_differentiable  # the kernels write where autograd does not look
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, *kept = ctx.saved_tensors
        weights = Weights(*kept[4:])
        norm = Normalization(kept[0], kept[1], weights.norm, weights.norm_bias)
        mixed_norm = Normalization(kept[2], kept[3], weights.mixed_norm, weights.mixed_norm_bias)
        with torch.autocast(x.device.type, enabled=False):
            if y is None:
                y = _expanded(x, weights)
            hidden = _hidden(weights, (kept[0], kept[1]), ctx.dilation, ctx.left)
            gradients = _gradients(gradient, x, y, weights, norm, mixed_norm, hidden, ctx.do)
        return gradients[0], None, None, None, None, None, *gradients[1:]


def _gradients(
    gradient: Tensor,
    x: Tensor,
    y: Tensor,
    weights: Weights,
    norm: Normalization,
    mixed_norm: Normalization,
    hidden: Hidden,
    do: Any,
) -> tuple[Tensor | None, ...]:
    """The gradients of the state and of the weights, in their order, from that of the state that came out."""
    frames = x.shape[-1]

    # the convolution at the end, with the norm in its weights
    output, _ = _output(weights)  # (B + Sc, H)
    output_bias = gradient.sum(-1, dtype=output.dtype)  # (batch, B + Sc)
    products = torch.bmm(gradient, do.mix(y, hidden)[0].transpose(1, 2)).to(output.dtype)  # (batch, B + Sc, H)
    constant, linear, mixed_norm_weight, mixed_norm_bias = mixed_norm.backward(
        output_bias @ output, (output * products).sum(1), frames
    )
    back = (output * mixed_norm.scale.unsqueeze(1)).transpose(1, 2).to(x.dtype)  # (batch, H, B + Sc)
    output = torch.einsum("boh,bh->oh", products, mixed_norm.scale) + output_bias.T @ mixed_norm.shift
    output_bias = output_bias.sum(0)

    # the depthwise convolution
    z_gradient, mixed_slope, correlations, sums = do.mix_backward(multiply(back, gradient), y, hidden, constant, linear)
    taps = (norm.scale.unsqueeze(-1) * correlations + norm.shift.unsqueeze(-1) * sums).sum(0)
    taps_bias = sums[..., hidden.left // hidden.dilation].sum(0)  # the tap that reads the frame it writes
    constant, linear, norm_weight, norm_bias = norm.backward(
        (weights.taps * sums).sum(-1), (weights.taps * correlations).sum(-1), frames
    )

    # the expanding convolution
    y_gradient, slope, expand_bias = do.expand_backward(z_gradient, y, hidden, constant, linear)
    expand = torch.bmm(y_gradient, x.transpose(1, 2)).sum(0, dtype=weights.expand.dtype)
    x_gradient = multiply(weights.expand.T.to(x.dtype), y_gradient)
    rows = len(weights.skip)
    if weights.residual is None:
        state, residual, residual_bias = torch.cat([x_gradient, gradient], 1), None, None
    else:
        state = torch.cat([x_gradient.add_(gradient[:, :-rows]), gradient[:, -rows:]], 1)
        residual, residual_bias = output[:-rows], output_bias[:-rows]

    first = expand, expand_bias.sum(0), slope.sum().view(1), norm_weight, norm_bias
    second = taps, taps_bias, mixed_slope.sum().view(1), mixed_norm_weight, mixed_norm_bias
    return state, *first, *second, output[-rows:], output_bias[-rows:], residual, residual_bias


def _statistics(sums: tuple[Tensor, Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation, each (batch, 1), from the sums of a norm's input and its square over time."""
    mean, square = (table.mean(1, keepdim=True) / y.shape[-1] for table in sums)
    return mean, ((square - mean.square()).clamp(min=0) + EPS).rsqrt()


def _hidden(weights: Weights, statistics: tuple[Tensor, Tensor], dilation: int, left: int) -> Hidden:
    norm = Normalization(*statistics, weights.norm, weights.norm_bias)
    affine = norm.scale, norm.shift
    depthwise = weights.taps, weights.taps_bias
    return Hidden(weights.expand_bias, weights.slope, *affine, *depthwise, weights.mixed_slope, dilation, left)


def _expanded(x: Tensor, weights: Weights) -> Tensor:
    """Y: the expanding convolution of x, without its bias, which the passes add on their way."""
    return multiply(weights.expand.to(x.dtype), x)


def _output(weights: Weights) -> tuple[Tensor, Tensor]:
    """The convolutions at the end as one: (B + Sc, H) or (Sc, H), and its bias."""
    if weights.residual is None or weights.residual_bias is None:
        return weights.skip, weights.skip_bias
    return torch.cat([weights.residual, weights.skip]), torch.cat([weights.residual_bias, weights.skip_bias])
