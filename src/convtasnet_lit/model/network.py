"""Conv-TasNet as in the paper: encoder, separator, decoder (Luo & Mesgarani, TASLP 27(8), 2019, figure 1)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtasnet_lit.model.norms import make_norm


class Encoder(nn.Module):
    """Turn a waveform into a sequence of overlapping frames' features (equation 1).

    Args:
        num_filters: N in the paper.
        kernel_size: L, samples; frames overlap by half of it.
        activation: `linear` or `relu`.
    """

    def __init__(self, num_filters: int, kernel_size: int, activation: str = "linear") -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, num_filters, kernel_size, stride=kernel_size // 2, bias=False)
        self.activation = _named({"linear": nn.Identity, "relu": nn.ReLU}, "encoder_activation", activation)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> (batch, filters, frames)."""
        features: Tensor = self.activation(self.filters(waveform.unsqueeze(1)))
        return features


class Decoder(nn.Module):
    """Turn features back into a waveform by overlap-add (equation 4).

    Args:
        num_filters: N in the paper.
        kernel_size: L, samples.
    """

    def __init__(self, num_filters: int, kernel_size: int) -> None:
        super().__init__()
        self.filters = nn.ConvTranspose1d(num_filters, 1, kernel_size, stride=kernel_size // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, sources, filters, frames) -> (batch, sources, samples)."""
        batch, sources = features.shape[:2]
        waveforms: Tensor = self.filters(features.flatten(0, 1))  # (batch * sources, 1, samples)
        return waveforms.view(batch, sources, -1)


class ConvBlock(nn.Module):
    """One dilated depthwise-separable convolution block with a residual and a skip output (figure 1C).

    Args:
        bottleneck_channels: B in the paper.
        hidden_channels: H.
        skip_channels: Sc.
        kernel_size: P, frames.
        dilation: 1, 2, 4, ... frames.
        norm: `gLN`, `cLN` or `BN`.
        causal: Pad on the left only.
        residual: Whether there is a residual output; the last block of the separator needs none.
    """

    def __init__(
        self,
        bottleneck_channels: int,
        hidden_channels: int,
        skip_channels: int,
        kernel_size: int,
        dilation: int,
        norm: str,
        causal: bool = False,
        residual: bool = True,
    ) -> None:
        super().__init__()
        context = (kernel_size - 1) * dilation
        self.left_padding = context if causal else 0  # else the convolution pads both sides itself
        self.expand = nn.Conv1d(bottleneck_channels, hidden_channels, 1)
        self.expand_prelu = nn.PReLU()
        self.expand_norm = make_norm(norm, hidden_channels)
        self.depthwise = nn.Conv1d(
            hidden_channels,
            hidden_channels,
            kernel_size,
            padding=0 if causal else context // 2,
            dilation=dilation,
            groups=hidden_channels,
        )
        self.depthwise_prelu = nn.PReLU()
        self.depthwise_norm = make_norm(norm, hidden_channels)
        self.residual = nn.Conv1d(hidden_channels, bottleneck_channels, 1) if residual else None
        self.skip = nn.Conv1d(hidden_channels, skip_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, B, frames) -> the next block's input (batch, B, frames) and the skip output (batch, Sc, frames)."""
        hidden = self.expand_norm(self.expand_prelu(self.expand(x)))  # (batch, H, frames)
        if self.left_padding:
            hidden = functional.pad(hidden, (self.left_padding, 0))
        hidden = self.depthwise(hidden)
        hidden = self.depthwise_norm(self.depthwise_prelu(hidden))
        output = x if self.residual is None else x + self.residual(hidden)  # (batch, B, frames)
        return output, self.skip(hidden)


class Separator(nn.Module):
    """Estimate one mask a source from the mixture's features with a temporal convolutional network (figure 1B).

    Args:
        num_sources: C in the paper.
        num_filters: N.
        bottleneck_channels: B.
        hidden_channels: H.
        skip_channels: Sc.
        block_kernel_size: P, frames.
        num_blocks: X, blocks in a repeat; the dilation doubles from one to the next.
        num_repeats: R.
        norm: `gLN`, `cLN` or `BN`.
        causal: See no future frame.
        mask_activation: `relu` (masks in [0, inf)), `sigmoid` (in [0, 1]) or `softmax` (summing to 1).
    """

    def __init__(
        self,
        num_sources: int,
        num_filters: int,
        bottleneck_channels: int,
        hidden_channels: int,
        skip_channels: int,
        block_kernel_size: int,
        num_blocks: int,
        num_repeats: int,
        norm: str,
        causal: bool,
        mask_activation: str,
    ) -> None:
        super().__init__()
        self.num_sources = num_sources
        self.input_norm = make_norm(norm, num_filters)
        self.bottleneck = nn.Conv1d(num_filters, bottleneck_channels, 1)
        dilations = [2**x for _ in range(num_repeats) for x in range(num_blocks)]
        channels = (bottleneck_channels, hidden_channels, skip_channels)
        self.blocks = nn.ModuleList(
            ConvBlock(*channels, block_kernel_size, dilation, norm, causal, residual=i + 1 < len(dilations))
            for i, dilation in enumerate(dilations)
        )
        self.output_prelu = nn.PReLU()
        self.output = nn.Conv1d(skip_channels, num_sources * num_filters, 1)
        activations = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "softmax": _SourceSoftmax}
        self.mask_activation = _named(activations, "mask_activation", mask_activation)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, N, frames) -> masks (batch, sources, N, frames)."""
        x = self.bottleneck(self.input_norm(features))  # (batch, B, frames)
        skips: Tensor | float = 0.0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip  # (batch, Sc, frames)
        scores = self.output(self.output_prelu(skips))  # (batch, sources * N, frames)
        masks: Tensor = self.mask_activation(scores.unflatten(1, (self.num_sources, -1)))
        return masks


class ConvTasNet(nn.Module):
    """The fully convolutional time-domain audio separation network.

    Args:
        num_sources: C in the paper: how many speakers to separate.
        num_filters: N, filters of the encoder and the decoder.
        kernel_size: L, length of a filter in samples, even; the stride is L / 2.
        bottleneck_channels: B.
        hidden_channels: H.
        skip_channels: Sc.
        block_kernel_size: P, odd.
        num_blocks: X.
        num_repeats: R.
        norm: `gLN`, `cLN` (cumulative) or `BN`.
        causal: See no future frame; refused with gLN, which does.
        encoder_activation: `linear` or `relu`.
        mask_activation: `relu`, `sigmoid` or `softmax`.
        edge_padding: True pads by one stride at both ends and up to a whole frame, as torchaudio does. False begins
            the first frame at the first sample and leaves the last, incomplete frame out, as Asteroid does; less than
            one stride at the end is then silent.

    Raises:
        ValueError: A name is unknown, a kernel has the wrong parity, or gLN is asked to be causal.

    Example:
        >>> network = ConvTasNet(num_sources=2, num_filters=32, hidden_channels=32, num_repeats=1)
        >>> network(torch.randn(3, 1001)).shape
        torch.Size([3, 2, 1001])
    """

    def __init__(
        self,
        num_sources: int = 2,
        num_filters: int = 512,
        kernel_size: int = 16,
        bottleneck_channels: int = 128,
        hidden_channels: int = 512,
        skip_channels: int = 128,
        block_kernel_size: int = 3,
        num_blocks: int = 8,
        num_repeats: int = 3,
        norm: str = "gLN",
        causal: bool = False,
        encoder_activation: str = "linear",
        mask_activation: str = "relu",
        edge_padding: bool = True,
    ) -> None:
        super().__init__()
        if causal and norm == "gLN":
            raise ValueError("gLN sees the future: a causal network needs norm='cLN' or 'BN'")
        if kernel_size % 2 or not block_kernel_size % 2:
            raise ValueError(f"kernel_size ({kernel_size}) must be even, block_kernel_size ({block_kernel_size}) odd")
        self.num_sources = num_sources
        self.kernel_size: int = kernel_size
        self.stride: int = kernel_size // 2
        self.edge_padding = edge_padding
        self.receptive_field_frames: int = 1 + num_repeats * (block_kernel_size - 1) * (2**num_blocks - 1)
        self.encoder = Encoder(num_filters, kernel_size, encoder_activation)
        self.separator = Separator(
            num_sources,
            num_filters,
            bottleneck_channels,
            hidden_channels,
            skip_channels,
            block_kernel_size,
            num_blocks,
            num_repeats,
            norm,
            causal,
            mask_activation,
        )
        self.decoder = Decoder(num_filters, kernel_size)
        self._start_as_identity()

    @property
    def receptive_field(self) -> int:
        """How many samples of the mixture one output frame depends on; a norm over time aside.

        Example:
            >>> ConvTasNet().receptive_field / 8000  # the paper's 1.53 s
            1.532
        """
        return self.kernel_size + (self.receptive_field_frames - 1) * self.stride

    def receptive_field_seconds(self, sample_rate: int) -> float:
        """The receptive field in seconds at a sample rate in Hz."""
        return self.receptive_field / sample_rate

    def forward(self, mixture: Tensor) -> Tensor:
        """Separate mixtures.

        Args:
            mixture: (batch, samples).

        Returns:
            One estimate a source, (batch, sources, samples).
        """
        estimates, _ = self.separate_with_masks(mixture)
        return estimates

    def separate_with_masks(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Separate mixtures and show the masks.

        Args:
            mixture: (batch, samples).

        Returns:
            The estimates (batch, sources, samples) and the masks (batch, sources, filters, frames).
        """
        samples = mixture.shape[-1]
        left, right = self._padding(samples)
        features = self.encoder(functional.pad(mixture, (left, right)))  # (batch, N, frames)
        masks = self.separator(features)  # (batch, sources, N, frames)
        decoded = self.decoder(masks * features.unsqueeze(1))  # (batch, sources, left + samples + right)
        # With edge padding this crops; without it, it appends the zeros of an incomplete last frame.
        return functional.pad(decoded, (-left, samples + left - decoded.shape[-1])), masks

    @torch.no_grad()
    def _start_as_identity(self) -> None:
        """Begin with a decoder that inverts the encoder, so that masks of one give the mixture back.

        Random ones begin 20 dB lower, and the first hundred steps are spent on finding each other.
        """
        inverse = torch.linalg.pinv(self.encoder.filters.weight[:, 0])  # (L, N)
        self.decoder.filters.weight.copy_(inverse.T.unsqueeze(1) / 2)  # each sample lies under two frames

    def _padding(self, samples: int) -> tuple[int, int]:
        """Zeros before and after the mixture, in samples."""
        if not self.edge_padding:
            return 0, max(0, self.kernel_size - samples)
        to_whole_stride = math.ceil(samples / self.stride) * self.stride - samples
        return self.stride, to_whole_stride + self.stride


class _SourceSoftmax(nn.Module):
    """Masks that sum to one over the sources."""

    def forward(self, scores: Tensor) -> Tensor:
        return torch.softmax(scores, dim=1)


def _named(choices: dict[str, type[nn.Module]], argument: str, name: str) -> nn.Module:
    if name not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, not {name!r}")
    return choices[name]()
