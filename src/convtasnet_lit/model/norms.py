"""The three normalizations of the paper: global, cumulative and batch (section II-D)."""

import torch
from torch import Tensor, nn

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
        frames = x if x.dtype == torch.float64 else x.float()  # half precision cannot hold a sum
        count = x.shape[1] * torch.arange(1, x.shape[2] + 1, device=x.device)  # (frames,)
        mean = frames.sum(1).cumsum(-1) / count  # (batch, frames)
        variance = frames.square().sum(1).cumsum(-1) / count - mean.square()
        scale = (variance.clamp(min=0) + EPS).rsqrt()
        normalized = (x - mean.unsqueeze(1).to(x.dtype)) * scale.unsqueeze(1).to(x.dtype)
        return normalized * self.weight[:, None] + self.bias[:, None]


def make_norm(name: str, channels: int) -> nn.Module:
    """Build the norm of the given name: `gLN`, `cLN` or `BN`.

    Args:
        name: The paper's abbreviation.
        channels: Number of channels.

    Raises:
        ValueError: No such norm.
    """
    if name == "gLN":  # over channels and frames together: one group
        return nn.GroupNorm(1, channels, eps=EPS)
    if name == "cLN":
        return CumulativeLayerNorm(channels)
    if name == "BN":
        return nn.BatchNorm1d(channels)
    raise ValueError(f"norm must be gLN, cLN or BN, not {name!r}")
