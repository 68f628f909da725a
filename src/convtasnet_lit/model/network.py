"""Conv-TasNet as in the paper: encoder, separator, decoder (Luo & Mesgarani, TASLP 27(8), 2019, figure 1)."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtasnet_lit.model.masks import MaskEstimator, has_state, named_activation, recomputed
from convtasnet_lit.model.tracing import is_eager, is_exporting

MEMORY = ("lean", "plain", "checkpoint")
FRAMES_AT_ONCE = 2048  # masked and decoded in one piece when nothing is kept: 8 MB of the paper's two masks


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
        self.activation = named_activation({"linear": nn.Identity, "relu": nn.ReLU}, "encoder_activation", activation)

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
        if is_exporting():  # one operation, which other runtimes know, at any number of frames
            decoded: Tensor = self.filters(features.flatten(0, 1))  # (batch * sources, 1, samples)
            return decoded.view(*features.shape[:2], -1)
        return self.overlap_add(self.frames(features))

    def frames(self, features: Tensor) -> Tensor:
        """(batch, sources, filters, frames) -> (batch, sources, L, frames)."""
        return self.filters.weight[:, 0].T @ features  # ConvTranspose1d does both, ten times slower on a CPU

    def overlap_add(self, frames: Tensor) -> Tensor:
        """(batch, sources, L, frames) -> (batch, sources, samples)."""
        first, second = frames.chunk(2, dim=2)  # (batch, sources, L / 2, frames)
        strides = functional.pad(first, (0, 1)) + functional.pad(second, (1, 0))  # one more
        return strides.transpose(2, 3).flatten(2)


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
        self.separator = MaskEstimator(
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

    @property
    def level_matters(self) -> bool:
        """Whether a mixture's level changes more than the level of its estimates, in training or in use.

        The encoder (linear or ReLU) scales with the mixture, gLN and cLN divide the scale out but for their EPS, so the
        masks stay the same. Batch norm divides by what other mixtures had. See docs/separating.md.
        """
        return self.separator.norm == "BN"

    @property
    def memory(self) -> str:
        """What is kept for the backward pass; outputs and gradients are the same.

        `plain`: all that autograd asks for. `lean`: of each gLN block its input and the product of its first
        convolution. `checkpoint`: of each block its input alone, a tenth more work. With cLN and BN, `lean` spares only
        the masks and what is made from them.
        """
        return self.separator.memory

    @memory.setter
    def memory(self, memory: str) -> None:
        if memory not in MEMORY:
            raise ValueError(f"memory must be one of {', '.join(MEMORY)}, not {memory!r}")
        if memory == "checkpoint" and has_state(self.separator):
            raise ValueError("memory='checkpoint' would count batches twice with norm='BN'")
        self.separator.memory = memory

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
        return self._separate(mixture, self._decoded)[0]

    def separate_with_masks(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Separate mixtures and show the masks.

        Args:
            mixture: (batch, samples).

        Returns:
            The estimates (batch, sources, samples) and the masks (batch, sources, filters, frames).
        """
        estimates, masks = self._separate(mixture, self._masked)
        assert masks is not None
        return estimates, masks

    def _separate(
        self, mixture: Tensor, decode: Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
    ) -> tuple[Tensor, Tensor | None]:
        samples = mixture.shape[-1]
        left, right = self.padding(samples)
        features = self.encoder(functional.pad(mixture, (left, right)))  # (batch, N, frames)
        skips = self.separator.skip_sum(features)  # (batch, Sc, frames)
        decoded, masks = decode(features, skips) if self.memory == "plain" else recomputed(decode, features, skips)
        # With edge padding this crops; without it, it appends the zeros of an incomplete last frame.
        return functional.pad(decoded, (-left, samples + left - decoded.shape[-1])), masks

    def _masked(self, features: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
        """The decoded sources (batch, sources, padded samples) and their masks (batch, sources, N, frames)."""
        masks = self.separator.masks(skips)
        return self.decoder(masks * features.unsqueeze(1)), masks

    def _decoded(self, features: Tensor, skips: Tensor) -> tuple[Tensor, Tensor | None]:
        """The decoded sources alone; without gradients piece by piece, as the masks are the largest tensors of all."""
        if torch.is_grad_enabled() or not is_eager():
            return self._masked(features, skips)
        pieces = zip(*(torch.split(x, FRAMES_AT_ONCE, -1) for x in (features, skips)), strict=True)
        frames = [self.decoder.frames(self.separator.masks(s) * f.unsqueeze(1)) for f, s in pieces]
        return self.decoder.overlap_add(torch.cat(frames, -1)), None

    @torch.no_grad()
    def _start_as_identity(self) -> None:
        """Begin with a decoder that inverts the encoder, so that masks of one give the mixture back.

        Random ones begin 20 dB lower, and the first hundred steps are spent on finding each other.
        """
        inverse = torch.linalg.pinv(self.encoder.filters.weight[:, 0])  # (L, N)
        self.decoder.filters.weight.copy_(inverse.T.unsqueeze(1) / 2)  # each sample lies under two frames

    def padding(self, samples: int) -> tuple[int, int]:
        """Zeros before and after a mixture of so many samples."""
        if not self.edge_padding:
            right: int = cast(Any, torch).sym_max(0, self.kernel_size - samples)
            return 0, right  # max itself would compare a length that export leaves open
        return self.stride, -samples % self.stride + self.stride  # up to a whole stride, and one more
