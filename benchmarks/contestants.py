"""The networks that are compared: ours in its settings, and the peers' of the same size."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from convtasnet_lit.model.fast import kernels
from convtasnet_lit.model.network import ConvTasNet

MODELS = ("paper", "paper_16k", "base", "small", "tiny")  # those with gLN: torchaudio has no other
NO_COMPILER = "lean, no compiler"
SAMPLE_RATE = 16_000


def model_shape(model: str) -> dict[str, Any]:
    """Read the arguments of `ConvTasNet` from `conf/model`.

    Args:
        model: The file's name.
    """
    from hydra import compose, initialize_config_dir  # not above: each fresh process would load all that it needs

    from convtasnet_lit.config import Config, plain, typed
    from convtasnet_lit.doors import CONF_DIR

    with initialize_config_dir(str(CONF_DIR.absolute()), version_base="1.3"):
        config = typed(Config, compose("train", [f"model={model}"]))
    shape: dict[str, Any] = plain(config.model)
    return shape


def build(name: str, shape: dict[str, Any], num_sources: int = 2) -> nn.Module:
    """Build a contestant: (batch, samples) -> (batch, sources, samples).

    Args:
        name: One of `BUILDERS`.
        shape: Arguments of `ConvTasNet`.
        num_sources: C.

    Raises:
        ImportError: The peer is not installed.
    """
    with warnings.catch_warnings():  # peers use what torch has deprecated
        warnings.simplefilter("ignore")
        return BUILDERS[name](shape, num_sources)


def build_all(
    shape: dict[str, Any], names: Sequence[str] = (), num_sources: int = 2
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Build contestants as far as they are installed.

    Args:
        shape: Arguments of `ConvTasNet`.
        names: Which; by default all.
        num_sources: C.

    Returns:
        The networks, and of the others why they are missing.
    """
    networks, missing = {}, {}
    for name in names or BUILDERS:
        try:
            networks[name] = build(name, shape, num_sources)
        except ImportError as error:
            missing[name] = not_installed(error)
    return networks, missing


def not_installed(error: ImportError) -> str:
    """Say in a table's cell what is missing."""
    return f"not installed ({error.name or error})"


@contextmanager
def surroundings(name: str, bfloat16: bool = False) -> Iterator[None]:
    """Put the compiled kernels aside for the contestant that is measured without them.

    Args:
        name: Of the contestant.
        bfloat16: Multiply and convolve in bfloat16, by autocast.
    """
    compiled = mock.patch.object(kernels, "kernels_for", return_value=None) if name == NO_COMPILER else nullcontext()
    with compiled, torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        yield


def example_batch(batch: int, seconds: float, sample_rate: int = SAMPLE_RATE, sources: int = 2) -> Tensor:
    """Make sources of noise, (batch, sources, samples), for which speed is the same as for speech.

    Args:
        batch: Mixtures.
        seconds: Length.
        sample_rate: Hz.
        sources: In a mixture.
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, sources, round(seconds * sample_rate), generator=generator) / 10


def _ours(memory: str, shape: dict[str, Any], num_sources: int) -> nn.Module:
    network = ConvTasNet(num_sources, **shape)
    network.memory = memory
    return network


class _Peer(nn.Module):
    """A network that wants a channel: (batch, 1, samples) -> (batch, sources, samples)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixture: Tensor) -> Tensor:
        estimates: Tensor = self.network(mixture.unsqueeze(1))
        return estimates


def _torchaudio(shape: dict[str, Any], num_sources: int) -> nn.Module:
    from torchaudio.models import ConvTasNet as Theirs

    network = Theirs(
        num_sources=num_sources,
        enc_kernel_size=shape["kernel_size"],
        enc_num_feats=shape["num_filters"],
        msk_kernel_size=shape["block_kernel_size"],
        msk_num_feats=shape["bottleneck_channels"],  # of its skip outputs, too
        msk_num_hidden_feats=shape["hidden_channels"],
        msk_num_layers=shape["num_blocks"],
        msk_num_stacks=shape["num_repeats"],
        msk_activate=shape["mask_activation"],
    )
    return _Peer(network)


def _asteroid(shape: dict[str, Any], num_sources: int) -> nn.Module:
    from asteroid.models import ConvTasNet as Theirs

    network = Theirs(
        num_sources,
        n_filters=shape["num_filters"],
        kernel_size=shape["kernel_size"],
        stride=shape["kernel_size"] // 2,
        bn_chan=shape["bottleneck_channels"],
        hid_chan=shape["hidden_channels"],
        skip_chan=shape["skip_channels"],
        conv_kernel_size=shape["block_kernel_size"],
        n_blocks=shape["num_blocks"],
        n_repeats=shape["num_repeats"],
        mask_act=shape["mask_activation"],
        sample_rate=SAMPLE_RATE,
    )
    return _Peer(network)


class _SpeechBrain(nn.Module):
    """Put together as in its recipe WSJ0Mix/separation/hparams/convtasnet.yaml; it has no skip outputs, no biases."""

    def __init__(self, shape: dict[str, Any], num_sources: int) -> None:
        from speechbrain.lobes.models.conv_tasnet import MaskNet
        from speechbrain.lobes.models.dual_path import Decoder, Encoder

        super().__init__()
        filters, length = shape["num_filters"], shape["kernel_size"]
        self.encoder = Encoder(kernel_size=length, out_channels=filters)
        self.masks = MaskNet(
            N=filters,
            B=shape["bottleneck_channels"],
            H=shape["hidden_channels"],
            P=shape["block_kernel_size"],
            X=shape["num_blocks"],
            R=shape["num_repeats"],
            C=num_sources,
            mask_nonlinear=shape["mask_activation"],
        )
        self.decoder = Decoder(in_channels=filters, out_channels=1, kernel_size=length, stride=length // 2, bias=False)

    def forward(self, mixture: Tensor) -> Tensor:
        features = self.encoder(mixture)  # (batch, N, frames)
        masked = self.masks(features) * features  # (sources, batch, N, frames)
        estimates = torch.stack([self.decoder(each) for each in masked], 1)  # (batch, sources, samples of whole frames)
        return functional.pad(estimates, (0, mixture.shape[-1] - estimates.shape[-1]))


BUILDERS: dict[str, Callable[[dict[str, Any], int], nn.Module]] = {
    "lean": partial(_ours, "lean"),
    "checkpoint": partial(_ours, "checkpoint"),
    "plain": partial(_ours, "plain"),
    NO_COMPILER: partial(_ours, "lean"),
    "torchaudio": _torchaudio,
    "Asteroid": _asteroid,
    "SpeechBrain": _SpeechBrain,
}
