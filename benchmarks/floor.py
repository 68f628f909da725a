"""The matrix products that the network cannot do without, alone, by the library that is faster here."""

from typing import Any

import torch
from torch import Tensor

from convtasnet_lit.model.products import multiply


class MatrixProducts:
    """The 1x1 convolutions of Conv-TasNet as products of tensors that are there already.

    Args:
        shape: Arguments of `ConvTasNet`.
        batch: Mixtures.
        samples: Of a mixture.
        bfloat16: Multiply in bfloat16 instead of float32.
        num_sources: C.
    """

    def __init__(
        self, shape: dict[str, Any], batch: int, samples: int, bfloat16: bool = False, num_sources: int = 2
    ) -> None:
        self._batch, self._frames = batch, samples // (shape["kernel_size"] // 2) + 1
        self._type = torch.bfloat16 if bfloat16 else torch.float32
        matrices = [torch.randn(batch, *sizes, dtype=self._type) for sizes in _sizes(shape, num_sources)]
        channels = {size for matrix in matrices for size in matrix.shape[1:]}
        inputs, outputs = ({size: self._sequence(size) for size in channels} for _ in range(2))
        self._products = [(matrix, inputs[matrix.shape[2]], outputs[matrix.shape[1]]) for matrix in matrices]

    def forward(self) -> None:
        """One product a convolution."""
        for matrix, x, _ in self._products:
            multiply(matrix, x)

    def step(self) -> None:
        """Three products a convolution: forward, the gradient of its input, and that of its weight."""
        self.forward()
        for matrix, x, y in self._products:
            multiply(matrix.mT, y)
            torch.bmm(y, x.mT)

    def _sequence(self, channels: int) -> Tensor:
        return torch.randn(self._batch, channels, self._frames, dtype=self._type)


def _sizes(shape: dict[str, Any], num_sources: int) -> list[tuple[int, int]]:
    """Rows and columns; a block's residual and skip outputs are one matrix, which is faster than two."""
    filters, hidden = shape["num_filters"], shape["hidden_channels"]
    bottleneck, skip = shape["bottleneck_channels"], shape["skip_channels"]
    blocks = shape["num_blocks"] * shape["num_repeats"]
    ends = [(bottleneck + skip, hidden)] * (blocks - 1) + [(skip, hidden)]  # the last block has no residual output
    return [(bottleneck, filters), *[(hidden, bottleneck)] * blocks, *ends, (num_sources * filters, skip)]
