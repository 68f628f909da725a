"""What lies between the matrix products of a cumulative block, for a few frames, as one compiled function.

Of a hop's frames each operation takes a few microseconds, more than what it computes, and a block has fifty of them.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from convtasnet_lit.model.kernels import loaded
from convtasnet_lit.model.norms import EPS, CumulativeLayerNorm
from convtasnet_lit.model.separator import ConvBlock
from convtasnet_lit.model.tracing import is_eager

_SOURCE = Path(__file__).with_name("between.cpp")
_NORM = ("slope", "weight", "bias", "sums")
_TENSORS = [f"{which}_{part}" for which in ("first", "second") for part in _NORM] + ["taps", "bias", "counts"]
_SIZES = ["batch", "frames", "channels", "num_taps", "dilation"]


class _Struct(ctypes.Structure):
    """`Block` of between.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _TENSORS),
        *((name, ctypes.c_int64) for name in _SIZES),
        ("epsilon", ctypes.c_double),
    )


def is_compiled(block: ConvBlock, y: Tensor) -> bool:
    """Whether `between` can be called for a block.

    Args:
        block: Of the network.
        y: What would be given.
    """
    plain = type(y) is Tensor and y.device.type == "cpu" and y.dtype == torch.float32
    cumulative = isinstance(block.expand_norm, CumulativeLayerNorm)
    return plain and cumulative and not torch.is_grad_enabled() and is_eager() and _library() is not None


def between(
    block: ConvBlock, y: Tensor, context: Tensor, first_sums: Tensor, second_sums: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute a block from its expanding product to the input of its last ones.

    Args:
        block: A cumulative one.
        y: The product, (batch, k, H); overwritten.
        context: The frames that the depthwise convolution looks back to, (batch, (P - 1) * dilation, H).
        first_sums: Of the norm before that convolution, (batch, 2) in float64.
        second_sums: Of the norm after it.
        counts: How many frames there are up to each of these, (k,) in float64; where it is 0, the frame is silenced.

    Returns:
        The second norm's output (batch, k, H), the context with the new frames after it, and the new sums.
    """
    longer = torch.cat([context, y], 1)  # y is a place holder
    sums = (
        first_sums.clone(memory_format=torch.contiguous_format),
        second_sums.clone(memory_format=torch.contiguous_format),
    )
    norms = cast(CumulativeLayerNorm, block.expand_norm), cast(CumulativeLayerNorm, block.depthwise_norm)
    slopes = block.expand_prelu.weight, block.depthwise_prelu.weight
    tensors = [
        *(slopes[0], norms[0].weight, norms[0].bias, sums[0]),
        *(slopes[1], norms[1].weight, norms[1].bias, sums[1]),
        *(block.depthwise.weight, cast(Tensor, block.depthwise.bias), counts),
    ]
    sizes = *y.shape, block.depthwise.kernel_size[0], block.dilation
    struct = _Struct(*(tensor.data_ptr() for tensor in tensors), *sizes, EPS)
    library = cast(ctypes.CDLL, _library())
    library.between(ctypes.byref(struct), ctypes.c_void_p(y.data_ptr()), ctypes.c_void_p(longer.data_ptr()))
    return y, longer, *sums


@cache
def _library() -> ctypes.CDLL | None:
    return loaded(_SOURCE)
