"""The matrix products that the network cannot do without, alone: no way of computing it can be faster."""

from typing import Any

import torch
from torch import Tensor


class MatrixProducts:
    """The 1x1 convolutions of Conv-TasNet as products of tensors that are there already.

    Args:
        shape: Arguments of `ConvTasNet`.
        batch: Mixtures.
        samples: Of a mixture.
        num_sources: C.
    """

    def __init__(self, shape: dict[str, Any], batch: int, samples: int, num_sources: int = 2) -> None:
        self._batch, self._frames = batch, samples // (shape["kernel_size"] // 2) + 1
        matrices = [torch.randn(batch, *sizes) for sizes in _sizes(shape, num_sources)]
        channels = {size for matrix in matrices for size in matrix.shape[1:]}
        inputs, outputs, gradients = ({size: self._sequence(size) for size in channels} for _ in range(3))
        self._products = [
            (matrix, inputs[matrix.shape[2]], outputs[matrix.shape[1]], gradients[matrix.shape[2]])
            for matrix in matrices
        ]
        self._matrix_gradients = [torch.empty_like(matrix) for matrix in matrices]

    def forward(self) -> None:
        """One product a convolution."""
        for matrix, x, y, _ in self._products:
            torch.bmm(matrix, x, out=y)

    def step(self) -> None:
        """Three products a convolution: forward, the gradient of its input, and that of its weight."""
        self.forward()
        for (matrix, x, y, x_gradient), matrix_gradient in zip(self._products, self._matrix_gradients, strict=True):
            torch.bmm(matrix.mT, y, out=x_gradient)
            torch.bmm(y, x.mT, out=matrix_gradient)

    def _sequence(self, channels: int) -> Tensor:
        return torch.randn(self._batch, channels, self._frames)


def _sizes(shape: dict[str, Any], num_sources: int) -> list[tuple[int, int]]:
    """Rows and columns; a block's residual and skip outputs are one matrix, which is faster than two."""
    filters, hidden = shape["num_filters"], shape["hidden_channels"]
    bottleneck, skip = shape["bottleneck_channels"], shape["skip_channels"]
    blocks = shape["num_blocks"] * shape["num_repeats"]
    ends = [(bottleneck + skip, hidden)] * (blocks - 1) + [(skip, hidden)]  # the last block has no residual output
    return [(bottleneck, filters), *[(hidden, bottleneck)] * blocks, *ends, (num_sources * filters, skip)]
