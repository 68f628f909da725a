"""The fast path: what plain blocks compute, with less memory and fewer passes over it. `run` is its door."""

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from convtasnet_lit.model.blocks import ConvBlock, DepthwiseConv, PointwiseConv
from convtasnet_lit.model.fast import kernels, passes
from convtasnet_lit.model.fast.lean import lean_block
from convtasnet_lit.model.norms import EPS, GlobalLayerNorm
from convtasnet_lit.model.tracing import is_eager

_KNOWN = {
    "expand": PointwiseConv,
    "expand_prelu": nn.PReLU,
    "expand_norm": GlobalLayerNorm,
    "depthwise": DepthwiseConv,
    "depthwise_prelu": nn.PReLU,
    "depthwise_norm": GlobalLayerNorm,
    "residual": PointwiseConv,
    "skip": PointwiseConv,
}
_KNOWN_LAST = {name: kind for name, kind in _KNOWN.items() if name != "residual"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def run(blocks: Sequence[ConvBlock], x: Tensor, skips: Tensor, recompute: bool) -> Tensor | None:
    """Run a stack of blocks, if the fast path knows all that they are made of and is no slower here.

    Args:
        blocks: The blocks, in order.
        x: (batch, B, frames).
        skips: The sum of the skip outputs so far, (batch, Sc, frames).
        recompute: Keep of each block its input alone for the backward pass.

    Returns:
        The sum of the skip outputs, (batch, Sc, frames); or None, and then the plain blocks are to be run.
    """
    device = x.device.type
    autocast = torch.is_autocast_enabled(device) and x.dtype != torch.float64  # which autocast leaves alone
    dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
    if not is_eager() or not _are_known(blocks) or not (do := _passes(blocks, x, dtype, autocast)):
        return None
    with torch.autocast(device, enabled=False):  # precision is chosen by hand: products in x's, sums in the weights'
        state = torch.cat([x, skips], 1).to(dtype)
        for block in blocks:
            state = lean_block(state, block, recompute, do)
    return state[:, -skips.shape[1] :]


def has_kernels() -> bool:
    """Whether this machine's CPU has kernels for float32; without them, separating takes the memory of plain blocks."""
    return kernels.kernels_for(torch.float32, torch.float32) is not None


def _are_known(blocks: Sequence[ConvBlock]) -> bool:
    """Whether the blocks are made of what `lean` computes and of nothing else, and no hook waits for a part of them."""
    for i, block in enumerate(blocks):
        kinds = {name: type(child) for name, child in block.named_children()}
        if type(block) is not ConvBlock or kinds != (_KNOWN if i + 1 < len(blocks) else _KNOWN_LAST):
            return False
        slopes = block.expand_prelu.weight.numel(), block.depthwise_prelu.weight.numel()
        hooked = any(getattr(module, hooks) for module in block.modules() for hooks in _HOOKS)
        if hooked or slopes != (1, 1) or {block.expand_norm.eps, block.depthwise_norm.eps} != {EPS}:
            return False
    return True


def _passes(
    blocks: Sequence[ConvBlock], x: Tensor, dtype: torch.dtype, autocast: bool
) -> kernels.Kernels | ModuleType | None:
    """The passes as kernels or as plain operations, or None where the plain blocks are the better choice.

    Args:
        blocks: The blocks.
        x: (batch, B, frames).
        dtype: What sequences are to be stored in.
        autocast: Whether that is autocast's choice.
    """
    stored = {(parameter.dtype, parameter.device) for block in blocks for parameter in block.parameters()}
    precision = next(iter(stored))[0] if len(stored) == 1 else None
    # The sums over time of a network that is itself in half precision would overflow.
    if precision not in (torch.float32, torch.float64) or not (autocast or dtype == precision):
        return None
    if type(x) is not Tensor or x.device.type != "cpu":  # a fake tensor has no memory that a kernel could read
        return passes
    # Without kernels the passes are worth it only for the memory that they save in training, and in half precision not
    # even for that: going back and forth to float32 takes longer than it saves.
    saves = torch.is_grad_enabled() and dtype == precision
    return kernels.kernels_for(dtype, precision) or (passes if saves else None)
