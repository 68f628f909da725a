"""The three normalizations of the paper: global, cumulative and batch (section II-D)."""

import torch
from torch import Tensor, nn

from convtasnet_lit.model.tracing import is_exporting

EPS = 1e-8  # as in the paper's own code, torchaudio and Asteroid; needed for equal outputs


class CumulativeLayerNorm(nn.Module):
    """Normalize each frame by the mean and variance over all channels of this frame and the ones before it (cLN).

    This is the paper's causal norm (equation 15): no frame sees a later one. The "channel-wise" norm that other
    toolkits call cLN looks at one frame alone.

    Args:
        channels: Number of channels.

    Example:
        >>> norm = CumulativeLayerNorm(4)
        >>> x = torch.randn(1, 4, 10)
        >>> torch.equal(norm(x)[..., :6], norm(x[..., :6]))
        True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (batch, channels, frames)."""
        nothing = x.new_zeros(1, 2, dtype=torch.promote_types(x.dtype, torch.float32))
        return self.continued(x, nothing, torch.arange(1, x.shape[2] + 1, device=x.device))[0]

    def continued(self, x: Tensor, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Normalize frames that follow others, of which only the sums are known.

        Args:
            x: (batch, channels, frames).
            sums: The sum of everything before and that of its square, (batch, 2). A stream keeps them in float64, which
                is still exact after ten hours.
            counts: For each frame the number of frames up to it, (frames,).

        Returns:
            What `forward` makes of these frames when it is given the others, too, and the sums up to the last of them.

        Example:
            >>> norm, x = CumulativeLayerNorm(4), torch.randn(1, 4, 10)
            >>> counts = torch.arange(1, 11)
            >>> _, sums = norm.continued(x[..., :6], torch.zeros(1, 2, dtype=torch.float64), counts[:6])
            >>> last, _ = norm.continued(x[..., 6:], sums, counts[6:])
            >>> torch.allclose(last, norm(x)[..., 6:], atol=1e-5)
            True
        """
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision cannot hold a sum
        each = torch.stack([wide.sum(1), wide.square().sum(1)], 1)  # (batch, 2, frames)
        running = sums.unsqueeze(-1) + each.cumsum(-1, dtype=sums.dtype)
        mean, square = (running / (x.shape[1] * counts)).unsqueeze(2).unbind(1)  # (batch, 1, frames)
        normalized = (x - mean.to(x.dtype)) * _scale(mean, square).to(x.dtype)
        return torch.addcmul(self.bias[:, None], normalized, self.weight[:, None]), running[..., -1]


class GlobalLayerNorm(nn.GroupNorm):
    """Normalize by the mean and variance over all channels and frames (gLN): a GroupNorm of one group.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (batch, channels, frames)."""
        return self._in_steps(x) if is_exporting() else super().forward(x)

    def _in_steps(self, x: Tensor) -> Tensor:
        """The same for runtimes that would sum up millions of values one by one, in float32.

        onnxruntime's InstanceNormalization does: 20 s of the paper's network were off by 3e-4 of their greatest sample.
        """
        mean = x.mean(2).mean(1)  # (batch,)
        square = torch.linalg.vector_norm(x, dim=2).square().mean(1) / x.shape[2]
        gain = _scale(mean, square)[:, None] * self.weight  # (batch, channels)
        return x * gain[..., None] + (self.bias - mean[:, None] * gain)[..., None]


def _scale(mean: Tensor, square: Tensor) -> Tensor:
    """One over the deviation, from the means of something and of its square."""
    # EPS is the bound, too: ONNX optimizers take a summand of 1e-8 for zero, and silence would not be finite
    return (square - mean.square() + EPS).clamp(min=EPS).rsqrt()


def make_norm(name: str, channels: int) -> nn.Module:
    """Build the norm of the given name: `gLN`, `cLN` or `BN`.

    Args:
        name: The paper's abbreviation.
        channels: Number of channels.

    Raises:
        ValueError: No such norm.
    """
    if name == "gLN":
        return GlobalLayerNorm(channels)
    if name == "cLN":
        return CumulativeLayerNorm(channels)
    if name == "BN":
        return nn.BatchNorm1d(channels)
    raise ValueError(f"norm must be gLN, cLN or BN, not {name!r}")
