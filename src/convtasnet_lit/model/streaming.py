"""A causal network a few frames at a time: a pure step from state to state, in Python and for export."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtasnet_lit.model.blocks import ConvBlock, Start
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.model.norms import CumulativeLayerNorm


class StreamingNetwork(nn.Module):
    """Compute what a causal `ConvTasNet` computes, k strides of the mixture at a time.

    Frames overlap by half, so a sample is estimated by two: the one that ends with its own stride of L / 2 samples and
    the one that ends a stride later. An estimate thus comes a stride behind the mixture (`lag`); and since the first
    sample of a stride waits for the rest of it, too, no sample's estimate is there before L samples more have come in
    (`latency`). The rest of the network looks back only, and adds nothing.

    The state is: the last stride of the mixture, the number of frames so far, what the last frame gives to the stride
    after it, the sums of each cumulative norm, and the frames that each depthwise convolution looks back to.

    Args:
        network: A causal network; it is put into evaluation mode, its weights are shared.

    Raises:
        ValueError: The network is not causal.

    Example:
        >>> network = ConvTasNet(num_filters=32, hidden_channels=32, num_repeats=1, norm="cLN", causal=True)
        >>> streaming, mixture = StreamingNetwork(network), torch.randn(1, 800)
        >>> first, *state = streaming(mixture[:, :480], *streaming.initial_state())
        >>> second, *state = streaming(mixture[:, 480:], *state)
        >>> estimates = torch.cat([first, second], -1)[..., streaming.lag :]
        >>> torch.allclose(estimates, network(mixture)[..., : -streaming.lag], atol=1e-5)
        True
    """

    def __init__(self, network: ConvTasNet) -> None:
        super().__init__()
        blocks = list(cast(Iterable[ConvBlock], network.separator.blocks))
        if not all(block.causal for block in blocks):
            raise ValueError(
                "not causal: its estimates need the future; a network of model=causal or causal_small can stream"
            )
        self.network = network.eval()
        self.lag: int = network.stride  # samples
        self.latency: int = network.kernel_size  # samples
        self._contexts = [(block.depthwise.in_channels, block.left) for block in blocks]
        self._norms = sum(isinstance(module, CumulativeLayerNorm) for module in network.modules())

    @property
    def state_names(self) -> list[str]:
        """One name for each tensor of the state, in order."""
        sums = ["sums"] if self._norms else []
        return ["mixture", "frames", "overlap", *sums, *(f"context_{i}" for i in range(len(self._contexts)))]

    def initial_state(self, batch: int = 1) -> tuple[Tensor, ...]:
        """The state before the first sample.

        Args:
            batch: How many mixtures are separated at once.

        Returns:
            For each name in `state_names` a tensor: the last stride of the mixture (batch, L / 2), the number of frames
            () in int64, the overlap (batch, sources, L / 2), the sums (batch, norms, 2) in float64 if there are
            cumulative norms, and for each block the context (batch, H, (P - 1) * dilation).
        """
        weight = self.network.encoder.filters.weight
        # Without edge padding the first stride completes no frame: the one that is computed then does not count.
        frames = torch.tensor(0 if self.network.edge_padding else -1, device=weight.device)
        sums = [weight.new_zeros(batch, self._norms, 2, dtype=torch.float64)] if self._norms else []
        return (
            weight.new_zeros(batch, self.lag),
            frames,
            weight.new_zeros(batch, self.network.num_sources, self.lag),
            *sums,
            *(weight.new_zeros(batch, *shape) for shape in self._contexts),
        )

    def forward(self, samples: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Separate the next k strides.

        Args:
            samples: (batch, k * L / 2), k >= 1.
            *state: Of `initial_state` or of the call before.

        Returns:
            The estimates (batch, sources, k * L / 2), which are those of the samples L / 2 earlier; the first stride of
            all is to be dropped. Then the new state.
        """
        network, separator = self.network, self.network.separator
        before, frames, overlap = state[:3]
        sums = state[3].unbind(1) if self._norms else ()
        mixture = torch.cat([before, samples], -1)  # (batch, (k + 1) * L / 2)
        features = network.encoder(mixture)  # (batch, N, k)
        counts = frames + torch.arange(1, features.shape[-1] + 1, device=frames.device)  # (k,)
        past = _Past(counts, not network.edge_padding, sums, state[3 + bool(self._norms) :])

        features = past.counted(features)
        masks = separator.masks(separator.skip_sum(features, past))  # (batch, sources, N, k)
        decoded = network.decoder(masks * features.unsqueeze(1))  # (batch, sources, (k + 1) * L / 2)
        decoded = decoded + functional.pad(overlap, (0, samples.shape[-1]))

        new_sums = [torch.stack(past.new_sums, 1)] if self._norms else []
        new = mixture[..., -self.lag :], counts[-1], decoded[..., -self.lag :], *new_sums, *past.new_contexts
        return decoded[..., : -self.lag], *new

    def overlap(self, *state: Tensor) -> Tensor:
        """What the frames so far give to the next stride of estimates, (batch, sources, L / 2).

        Without edge padding, where no frame follows the last whole one, it is that stride.

        Args:
            *state: Of the last call.
        """
        return state[2]


class _Past(Start):
    """What is known of the frames before, for each layer in turn, and what is left to the frames after."""

    def __init__(self, counts: Tensor, masked: bool, sums: Sequence[Tensor], contexts: Sequence[Tensor]) -> None:
        self._counts = counts.double().clamp(min=1)  # (k,)
        self._counted = counts > 0 if masked else None
        self._sums, self._contexts = iter(sums), iter(contexts)
        self.new_sums: list[Tensor] = []  # each (batch, 2)
        self.new_contexts: list[Tensor] = []  # each (batch, H, (P - 1) * dilation)

    def counted(self, x: Tensor) -> Tensor:
        """Silence a frame before the first, (batch, channels, k) -> the same."""
        return x if self._counted is None else x * self._counted

    def norm(self, norm: nn.Module, x: Tensor) -> Tensor:
        """Normalize (batch, channels, k) with the sums of the frames before."""
        if not isinstance(norm, CumulativeLayerNorm):
            return super().norm(norm, x)
        normalized, sums = norm.continued(self.counted(x), next(self._sums), self._counts)
        self.new_sums.append(sums)
        return normalized

    def before(self, x: Tensor, frames: int) -> Tensor:
        """Put the frames before in front of x: (batch, H, k) -> (batch, H, (P - 1) * dilation + k)."""
        longer = torch.cat([next(self._contexts), self.counted(x)], -1)
        self.new_contexts.append(longer[..., x.shape[-1] :])
        return longer
