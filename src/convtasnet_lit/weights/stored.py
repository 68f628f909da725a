"""What a file says of a trained network, whoever made the file, and the network built from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import Tensor

from convtasnet_lit.errors import InputError
from convtasnet_lit.model.network import ConvTasNet


@dataclass(frozen=True)
class StoredNetwork:
    """A trained network as a file holds it.

    Args:
        file: Where it stands, named in errors.
        origin: Whose file it is: `convtasnet_lit`, `Asteroid` or `torchaudio`.
        arguments: Of `ConvTasNet`, without `num_sources`.
        state: The weights, by our names.
        num_sources: How many speakers it separates.
        fewest_speakers: In a training mixture.
        sample_rate: Hz, of the audio it was trained on.
        normalized: Whether it was trained on mixtures at -25 dBFS.
        corpus: What it was trained on; empty where the file does not say.
        speakers: Those it met in training and validation, as far as the file says.
        config: The whole configuration of the training; empty but for our own checkpoints.
        epoch: Of the training, from 0; none but for our own checkpoints.
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
    config: Mapping[str, Any] | None = None
    epoch: int | None = None

    def build(self) -> ConvTasNet:
        """Build the network, in evaluation mode on the CPU.

        Raises:
            InputError: The weights do not fit the arguments.
        """
        try:
            network = ConvTasNet(self.num_sources, **self.arguments)
            network.load_state_dict(self.state)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            lines = [line.strip() for line in str(error).splitlines()]
            reason = lines[1] if "loading state_dict" in lines[0] else lines[0]  # torch's first line names no weight
            reason = shorten(reason, 160, placeholder=" ...")  # it can list hundreds of weights
            raise InputError(f"{self.file}: its weights and its settings make no ConvTasNet ({reason})") from error
        return network.eval()
