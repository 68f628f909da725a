"""What a file says of a trained network, whoever made the file, and the network built from it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from convtasnet_lit.errors import InputError, require
from convtasnet_lit.model.network import ConvTasNet


@dataclass(frozen=True)
class StoredNetwork:
    """A trained network as a file holds it.

    Args:
        file: The file that it was read from, which errors name.
        origin: Whose file it is: `convtasnet_lit`, `Asteroid` or `torchaudio`.
        arguments: The arguments of `ConvTasNet`, without `num_sources`.
        state: The weights, by our names.
        num_sources: How many speakers it separates.
        fewest_speakers: The smallest number of speakers in a training mixture.
        sample_rate: Hz, of the audio it was trained on.
        normalized: Whether it was trained on mixtures at -25 dBFS.
        corpus: What it was trained on; empty where the file does not say.
        speakers: Those it met in training and validation, as far as the file says.
        recordings: Marks of some of their recordings (`corpus.marks`), as far as the file says.
        unmarked: A network that its training began with, if that one's file does not say whom it had met.
        target: What it gives back of speakers in a room: `reverberant` or `dry`.
        config: The whole configuration of the training; empty but for our own checkpoints.
        epoch: The epoch of the training, from 0; None but for our own checkpoints at the end of an epoch.

    Raises:
        InputError: The rate or a number of speakers is none that audio can have, or there is no such target.
    """

    file: Path
    origin: str
    arguments: Mapping[str, Any]
    state: Mapping[str, Tensor]
    num_sources: int
    fewest_speakers: int
    sample_rate: int
    normalized: bool
    corpus: str = ""
    speakers: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()
    unmarked: str = ""
    target: str = "reverberant"
    config: Mapping[str, Any] | None = None
    epoch: int | None = None

    def __post_init__(self) -> None:
        for key, low, high in (
            ("sample_rate", 4_000, 192_000),
            ("num_sources", 1, 100),
            ("fewest_speakers", 1, self.num_sources),
        ):
            value = getattr(self, key)  # True is an int, too
            whole = type(value) is int and low <= value <= high
            require(whole, f"{self.file}: {key}", repr(value), f"a whole number from {low} to {high}")
        require(self.target in ("reverberant", "dry"), f"{self.file}: target", repr(self.target), "reverberant or dry")

    @property
    def of_own_corpus(self) -> bool:
        """Whether it was trained on somebody's own recordings, whose speakers' names say nothing elsewhere."""
        return self.corpus in ("folder", "mixed")

    @property
    def run(self) -> Path | None:
        """The folder of the run that wrote the file; none where it lies elsewhere, or was not written by training."""
        folder = self.file.parent
        return folder.parent if self.config is not None and folder.name == "checkpoints" else None

    @property
    def digest(self) -> str:
        """A hash of the weights, by which scores are known to be those of this network."""
        return hashlib.sha256(self.serialized()).hexdigest()[:16]

    def serialized(self) -> bytes:
        """Return the weights as the content of a safetensors file."""
        weights = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in self.state.items()}
        return save(weights, metadata={"format": "pt"})  # by which other readers know torch's tensors

    def build(self) -> ConvTasNet:
        """Build the network, in evaluation mode on the CPU.

        Raises:
            InputError: The weights do not fit the arguments, or are not finite.
        """
        try:
            self._check_sizes()
            network = ConvTasNet(self.num_sources, **self.arguments)
            network.load_state_dict(self.state)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            lines = [line.strip() for line in str(error).splitlines()]
            reason = lines[1] if "loading state_dict" in lines[0] else lines[0]  # torch's first line names no weight
            reason = shorten(reason, 160, placeholder=" ...")  # it can list hundreds of weights
            raise InputError(f"{self.file}: its weights and its settings make no ConvTasNet ({reason})") from error
        for name, value in network.state_dict().items():
            if not value.isfinite().all():
                raise InputError(f"{self.file}: {name} holds NaN or infinity; its training did not end well")
        return network.eval()

    def _check_sizes(self) -> None:
        """Compare settings and weights before memory is taken for what the settings ask for."""
        for name, value in self.state.items():
            if value.numel() * value.itemsize > value.untyped_storage().nbytes():
                raise ValueError(f"{name} is larger than what the file holds of it")
        counts = [self.arguments.get(name, 1) for name in ("num_blocks", "num_repeats")]
        if not all(type(count) is int and count > 0 for count in counts):
            raise ValueError(f"num_blocks and num_repeats are {counts[0]!r:.20} and {counts[1]!r:.20}")
        blocks = counts[0] * counts[1]
        if blocks > len(self.state):
            raise ValueError(f"{blocks} blocks, but {len(self.state)} weights")
        with torch.device("meta"):
            ConvTasNet(self.num_sources, **self.arguments).load_state_dict(self.state, assign=True)
