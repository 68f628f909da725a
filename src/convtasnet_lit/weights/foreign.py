"""Files that Asteroid and torchaudio users save of their ConvTasNet, and what of them ours can be."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convtasnet_lit.errors import InputError, require
from convtasnet_lit.weights.interchange import from_asteroid, from_torchaudio
from convtasnet_lit.weights.stored import StoredNetwork

logger = logging.getLogger(__name__)

# Asteroid's argument: ours
_SIZES = {
    "n_filters": "num_filters",
    "kernel_size": "kernel_size",
    "bn_chan": "bottleneck_channels",
    "hid_chan": "hidden_channels",
    "skip_chan": "skip_channels",
    "conv_kernel_size": "block_kernel_size",
    "n_blocks": "num_blocks",
    "n_repeats": "num_repeats",
}
_NORMS = {"gLN": "gLN", "cgLN": "cLN", "bN": "BN"}  # its cLN looks at one frame alone: none of ours
_ENCODER_ACTIVATIONS = {None: "linear", "linear": "linear", "relu": "relu"}
_MASK_ACTIVATIONS = ("relu", "sigmoid", "softmax")

# torchaudio.models.conv_tasnet_base and pipelines.CONVTASNET_BASE_LIBRI2MIX
_BLOCKS, _MASK_ACTIVATION, _SAMPLE_RATE = 8, "relu", 8000
_TORCHAUDIO_MARK = "mask_generator.input_conv.weight"


def foreign_network(checkpoint: Mapping[str, Any], path: Path) -> StoredNetwork:
    """Return the network of a file that Asteroid or torchaudio made.

    Args:
        checkpoint: `model.serialize()` of Asteroid; or `model.state_dict()` of torchaudio, perhaps under the key
            `state_dict` and with a prefix, as Lightning saves it.
        path: Named in errors and warnings.

    Raises:
        InputError: It is neither, or of a network that ours cannot be.
    """
    if "model_args" in checkpoint and "model_name" in checkpoint:
        return _asteroid(checkpoint, path)
    state = checkpoint.get("state_dict", checkpoint)
    marks = [name for name in state if str(name).endswith(_TORCHAUDIO_MARK)] if isinstance(state, Mapping) else []
    if not marks:
        raise InputError(
            f"{path}: not made by convtasnet_lit.train, nor a ConvTasNet as saved by Asteroid (model.serialize()) or "
            "torchaudio (model.state_dict())"
        )
    prefix = marks[0].removesuffix(_TORCHAUDIO_MARK)
    plain = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return _torchaudio(plain, path)


def _asteroid(checkpoint: Mapping[str, Any], path: Path) -> StoredNetwork:
    given = checkpoint["model_args"]
    require(checkpoint["model_name"] == "ConvTasNet", f"{path}: model_name", checkpoint["model_name"], "ConvTasNet")
    require(isinstance(given, Mapping), f"{path}: model_args", given, "the arguments of Asteroid's ConvTasNet")
    for key in ("norm_type", "mask_act", "sample_rate"):
        require(key in given, f"{path}: model_args", f"without {key}", "whole, as model.serialize() gives it")
    for key in (*_SIZES, "n_src"):
        require(isinstance(given.get(key), int), f"{path}: {key}", given.get(key), "a whole number")
    _refuse_what_ours_cannot_be(given, path)
    arguments = {ours: given[theirs] for theirs, ours in _SIZES.items()} | {
        "norm": _NORMS[given["norm_type"]],
        "causal": bool(given.get("causal")),
        "encoder_activation": _ENCODER_ACTIVATIONS[given.get("encoder_activation")],
        "mask_activation": given["mask_act"],
        "edge_padding": False,
    }
    try:
        state = from_asteroid(checkpoint["state_dict"])
    except (AttributeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: its state_dict is not that of Asteroid's ConvTasNet ({error})") from error
    sources = given["n_src"]
    return StoredNetwork(path, "Asteroid", arguments, state, sources, sources, int(given["sample_rate"]), False)


def _refuse_what_ours_cannot_be(given: Mapping[str, Any], path: Path) -> None:
    filters, stride, rate = given["n_filters"], given["kernel_size"] // 2, given["sample_rate"]
    require(given.get("fb_name", "free") in ("free", "FreeFB"), f"{path}: fb_name", given.get("fb_name"), "free")
    require(
        given.get("stride", stride) in (stride, None), f"{path}: stride", given.get("stride"), "half of kernel_size"
    )
    for key in ("in_chan", "out_chan"):
        require(given.get(key) in (filters, None), f"{path}: {key}", given.get(key), f"n_filters, {filters}")
    require(bool(given["skip_chan"]), f"{path}: skip_chan", given["skip_chan"], "1 or more")
    require(given["mask_act"] in _MASK_ACTIVATIONS, f"{path}: mask_act", given["mask_act"], "relu, sigmoid or softmax")
    activation = given.get("encoder_activation")
    require(activation in list(_ENCODER_ACTIVATIONS), f"{path}: encoder_activation", activation, "linear or relu")
    # where causal is asked for with another norm, Asteroid silently takes the channel-wise cLN
    norms = ["cgLN"] if given.get("causal") else list(_NORMS)
    require(given["norm_type"] in norms, f"{path}: norm_type", given["norm_type"], " or ".join(norms))
    whole = isinstance(rate, int | float) and rate >= 1 and rate % 1 == 0
    require(whole, f"{path}: sample_rate", rate, "a whole number of Hz")


def _torchaudio(state: Mapping[str, Any], path: Path) -> StoredNetwork:
    layers = sum(name.endswith("skip_out.weight") for name in state)
    if layers % _BLOCKS or not layers:
        raise InputError(
            f"{path}: {layers} layers are no repeats of {_BLOCKS}, and such a file does not say how many they are; "
            "use weights.interchange.from_torchaudio and Separator(network, sample_rate)"
        )
    try:
        filters, _, length = state["encoder.weight"].shape
        bottleneck = state["mask_generator.input_conv.weight"].shape[0]
        hidden, _, kernel = state["mask_generator.conv_layers.0.conv_layers.3.weight"].shape
        sources = state["mask_generator.output_conv.weight"].shape[0] // filters
        ours = from_torchaudio(state)
    except (AttributeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not the whole state_dict of torchaudio's ConvTasNet ({error})") from error
    logger.warning(
        "%s: a state_dict does not say all; assumed as in torchaudio's conv_tasnet_base: %d blocks a repeat, mask "
        "activation %s (the class's own default is sigmoid), %d Hz",
        *(path, _BLOCKS, _MASK_ACTIVATION, _SAMPLE_RATE),
    )
    arguments = {
        "num_filters": filters,
        "kernel_size": length,
        "bottleneck_channels": bottleneck,
        "hidden_channels": hidden,
        "skip_channels": bottleneck,
        "block_kernel_size": kernel,
        "num_blocks": _BLOCKS,
        "num_repeats": layers // _BLOCKS,
        "mask_activation": _MASK_ACTIVATION,
    }
    return StoredNetwork(path, "torchaudio", arguments, ours, sources, sources, _SAMPLE_RATE, False)
