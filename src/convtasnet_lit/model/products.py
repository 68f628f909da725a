"""Products of matrices with sequences (batch, channels, frames), which is what 1x1 convolutions are.

On CPUs torch multiplies float32 by MKL and convolves by oneDNN; docs/performance.md says which was faster on which
processor.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from convtasnet_lit.model.tracing import is_exporting


def multiply(matrices: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply each frame of each sequence by a matrix.

    Args:
        matrices: One for all sequences (rows, columns), or one for each (batch, rows, columns).
        x: (batch, columns, frames).
        bias: Added to every frame, (rows,); with one matrix only.

    Returns:
        (batch, rows, frames).

    Example:
        >>> multiply(torch.eye(4)[:3], torch.ones(2, 4, 10)).shape
        torch.Size([2, 3, 10])
    """
    if not _convolves(x):
        each = matrices.expand(x.shape[0], *matrices.shape[-2:])
        return torch.bmm(each, x) if bias is None else torch.baddbmm(bias[:, None], each, x)
    if matrices.ndim == 2:
        return functional.conv1d(x, matrices.unsqueeze(-1), bias)
    grouped = functional.conv1d(x.reshape(1, -1, x.shape[-1]), matrices.reshape(-1, x.shape[1], 1), groups=x.shape[0])
    return grouped.view(x.shape[0], -1, x.shape[-1])


def add_product(sequence: Tensor, matrices: Tensor, x: Tensor) -> Tensor:
    """Add a product as of `multiply` to a sequence, in place.

    Args:
        sequence: (batch, rows, frames).
        matrices: (rows, columns) or (batch, rows, columns).
        x: (batch, columns, frames).

    Returns:
        The sequence.
    """
    if _convolves(x):
        return sequence.add_(multiply(matrices, x))
    return sequence.baddbmm_(matrices.expand(x.shape[0], *matrices.shape[-2:]), x)


def _convolves(x: Tensor) -> bool:
    if is_exporting():
        return True  # other runtimes know convolutions better than a matrix for each sequence
    if not _AMD or torch.compiler.is_compiling() or x.dtype != torch.float32 or x.device.type != "cpu":
        return False
    return 0 < x.shape[0] * x.shape[-1] <= _MOST_FRAMES


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return False


_AMD = _is_amd()
_MOST_FRAMES = 10_000  # in a batch: beyond, oneDNN was slower than MKL; see docs/performance.md
