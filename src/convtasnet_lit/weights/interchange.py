"""Weights of torchaudio's and Asteroid's ConvTasNet, in and out.

The three networks are one network under other names, so two tables of module names are nearly all there is to know.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]

# (module here, module there); {i} counts the blocks
_TORCHAUDIO = (
    ("encoder.filters", "encoder"),
    ("separator.input_norm", "mask_generator.input_norm"),
    ("separator.bottleneck", "mask_generator.input_conv"),
    ("separator.blocks.{i}.expand", "mask_generator.conv_layers.{i}.conv_layers.0"),
    ("separator.blocks.{i}.expand_prelu", "mask_generator.conv_layers.{i}.conv_layers.1"),
    ("separator.blocks.{i}.expand_norm", "mask_generator.conv_layers.{i}.conv_layers.2"),
    ("separator.blocks.{i}.depthwise", "mask_generator.conv_layers.{i}.conv_layers.3"),
    ("separator.blocks.{i}.depthwise_prelu", "mask_generator.conv_layers.{i}.conv_layers.4"),
    ("separator.blocks.{i}.depthwise_norm", "mask_generator.conv_layers.{i}.conv_layers.5"),
    ("separator.blocks.{i}.residual", "mask_generator.conv_layers.{i}.res_out"),
    ("separator.blocks.{i}.skip", "mask_generator.conv_layers.{i}.skip_out"),
    ("separator.output_prelu", "mask_generator.output_prelu"),
    ("separator.output", "mask_generator.output_conv"),
    ("decoder.filters", "decoder"),
)
_ASTEROID = (
    ("encoder.filters", "encoder.filterbank"),
    ("separator.input_norm", "masker.bottleneck.0"),
    ("separator.bottleneck", "masker.bottleneck.1"),
    ("separator.blocks.{i}.expand", "masker.TCN.{i}.shared_block.0"),
    ("separator.blocks.{i}.expand_prelu", "masker.TCN.{i}.shared_block.1"),
    ("separator.blocks.{i}.expand_norm", "masker.TCN.{i}.shared_block.2"),
    ("separator.blocks.{i}.depthwise", "masker.TCN.{i}.shared_block.3"),
    ("separator.blocks.{i}.depthwise_prelu", "masker.TCN.{i}.shared_block.4"),
    ("separator.blocks.{i}.depthwise_norm", "masker.TCN.{i}.shared_block.5"),
    ("separator.blocks.{i}.residual", "masker.TCN.{i}.res_conv"),
    ("separator.blocks.{i}.skip", "masker.TCN.{i}.skip_conv"),
    ("separator.output_prelu", "masker.mask_net.0"),
    ("separator.output", "masker.mask_net.1"),
    ("decoder.filters", "decoder.filterbank"),
)
_ASTEROID_PARAMETERS = {"_filters": "weight", "gamma": "weight", "beta": "bias"}


def to_torchaudio(state: State) -> dict[str, Tensor]:
    """Rename our state dict for `torchaudio.models.ConvTasNet` (gLN, linear encoder, Sc = B).

    Args:
        state: `ConvTasNet.state_dict()` of this package.

    Raises:
        ValueError: A name is not one of ours.
    """
    return _renamed(state, _modules(_TORCHAUDIO, state))


def from_torchaudio(state: State) -> dict[str, Tensor]:
    """Rename the state dict of `torchaudio.models.ConvTasNet` for ours.

    Args:
        state: Its `state_dict()`.

    Raises:
        ValueError: A name is none of torchaudio's.

    Example:
        >>> from convtasnet_lit.model.network import ConvTasNet
        >>> state = ConvTasNet(num_repeats=1).state_dict()
        >>> from_torchaudio(to_torchaudio(state)).keys() == state.keys()
        True
    """
    return _renamed(state, _inverse(_modules(_TORCHAUDIO, state)))


def to_asteroid(state: State, causal: bool = False) -> dict[str, Tensor]:
    """Rename our state dict for Asteroid's `ConvTasNet`.

    Asteroid's last block has a residual output that leads nowhere: it is filled with zeros.

    Args:
        state: `state_dict()` of a `ConvTasNet` of this package with `edge_padding=False`.
        causal: Whether the network is causal; Asteroid's depthwise convolution then lies one module deeper.

    Raises:
        ValueError: A name is not one of ours.
    """
    modules = _modules(_ASTEROID, state)
    batch_norm = "separator.input_norm.running_mean" in state
    there: dict[str, Tensor] = {}
    for name, value in state.items():
        module, parameter = _split(name)
        if module not in modules:
            raise ValueError(f"{name} is no parameter of ConvTasNet")
        if module.endswith(".filters"):
            parameter = "_filters"
        elif module.endswith("_norm") and not batch_norm:
            parameter = {"weight": "gamma", "bias": "beta"}[parameter]
        elif module.endswith(".depthwise") and causal:
            parameter = f"0.{parameter}"
        there[f"{modules[module]}.{parameter}"] = value
    return there | _unused_residual(state)


def from_asteroid(state: State) -> dict[str, Tensor]:
    """Rename the state dict of Asteroid's `ConvTasNet` for ours, which then needs `edge_padding=False`.

    Args:
        state: Its `state_dict()`; norms gLN, cgLN (the paper's cLN, and ours) or BN.

    Raises:
        ValueError: A name is none of Asteroid's.
    """
    modules = _inverse(_modules(_ASTEROID, state))
    last = f"masker.TCN.{_num_blocks(state) - 1}.res_conv."
    plain = {}
    for name, value in state.items():
        module, parameter = _split(name.replace(".shared_block.3.0.", ".shared_block.3."))
        if not name.startswith(last):
            plain[f"{module}.{_ASTEROID_PARAMETERS.get(parameter, parameter)}"] = value
    return _renamed(plain, modules)


def _renamed(state: State, modules: Mapping[str, str]) -> dict[str, Tensor]:
    unknown = [name for name in state if _split(name)[0] not in modules]
    if unknown:
        raise ValueError(f"{unknown[0]} is no parameter of ConvTasNet")
    return {f"{modules[module]}.{parameter}": state[name] for name in state for module, parameter in [_split(name)]}


def _modules(table: tuple[tuple[str, str], ...], state: State) -> dict[str, str]:
    blocks = range(_num_blocks(state))
    return {here.format(i=i): there.format(i=i) for here, there in table for i in blocks}


def _inverse(modules: Mapping[str, str]) -> dict[str, str]:
    return {there: here for here, there in modules.items()}


def _num_blocks(state: State) -> int:
    """Blocks are the only numbered modules with a skip output."""
    return sum("skip" in name and name.endswith(".weight") for name in state)


def _split(name: str) -> tuple[str, str]:
    module, _, parameter = name.rpartition(".")
    return module, parameter


def _unused_residual(state: State) -> dict[str, Tensor]:
    last = f"masker.TCN.{_num_blocks(state) - 1}.res_conv"
    channels, hidden = (
        state["separator.bottleneck.bias"].shape[0],
        state["separator.blocks.0.skip.weight"].shape[1],
    )
    return {f"{last}.weight": torch.zeros(channels, hidden, 1), f"{last}.bias": torch.zeros(channels)}
