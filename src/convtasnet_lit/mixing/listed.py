"""Fixed lists of mixtures as files: LibriMix's are read as they stand, and ours are written as such a tree."""

from hashlib import sha256

import numpy as np
import pandas as pd
import torch

from convtasnet_lit.corpus.librimix import SUBSETS, find_tree, genders_of, read_list, read_row
from convtasnet_lit.corpus.marks import mark
from convtasnet_lit.corpus.recording import UNKNOWN
from convtasnet_lit.data_config import DataConfig, MixtureType
from convtasnet_lit.errors import require
from convtasnet_lit.mixing.conditions import Conditions
from convtasnet_lit.mixing.dataset import FixedMixtures, Mixture
from convtasnet_lit.mixing.plan import MixtureSpec, mixture_table
from convtasnet_lit.mixing.transforms import normalize


class ListedMixtures(FixedMixtures):
    """A published list: the mixture is the file, and what its sources do not make of it is noise.

    Args:
        data: Where the tree is, which of its lists is read, and how many speakers a network separates.
        split: `validation` or `test`.
        count: How many mixtures, the first ones; a shorter list has as many as it has.

    Attributes:
        utterances: Of each source, one after the other: utterance, speaker, gender, sha256 and mark.

    Raises:
        InputError: The list, or a file in it, is missing or damaged, or its mixtures have other numbers of speakers.
    """

    def __init__(self, data: DataConfig, split: str, count: int) -> None:
        tree = find_tree(data)
        self.sample_rate, self.num_speakers, self.normalized = data.sample_rate, data.num_speakers, data.normalize
        self.kind, self.conditions = data.mixture_type, Conditions(data.sample_rate)
        self.rows = read_list(tree, SUBSETS[split], self.kind)[:count]
        held, fewest = len(self.rows[0].sources), data.fewest_speakers or data.num_speakers
        fits = self.kind is MixtureType.mix_single or fewest <= held <= data.num_speakers
        require(fits, "data.num_speakers", data.num_speakers, f"{held}, as the lists of {tree} have")
        self.utterances: list[dict[str, object]] = []
        self.digests: list[str] = []
        self.specs = []
        genders = genders_of(tree)
        for index in range(len(self.rows)):  # each file is read here once, so that a bad one fails before the work
            self._take(index, genders)

    def _take(self, index: int, genders: dict[str, str]) -> None:
        row, (mixture, *sources) = self.rows[index], self._read(index)
        first, held = len(self.utterances), len(sources)
        for number, (speaker, samples) in enumerate(zip(row.speakers, sources, strict=True), start=1):
            known = {"utterance": f"s{number}/{row.name}", "speaker": speaker, "gender": genders.get(speaker, UNKNOWN)}
            self.utterances.append({**known, "sha256": _digest(samples), "mark": mark(samples)})
        levels = 10 * np.log10([np.square(samples, dtype=np.float64).sum() for samples in sources])
        group = "".join(sorted(str(each["gender"])[0].upper() for each in self.utterances[first:]))
        rows, length = tuple(range(first, first + held)), len(mixture)
        same = (tuple((levels - levels[0]).tolist()), (0,) * held, (length,) * held, (1.0,) * held)
        self.specs.append(MixtureSpec(rows, *same, length, group, self.num_speakers - held))
        self.digests.append(_digest(mixture))

    def _read(self, index: int) -> np.ndarray:
        return read_row(self.rows[index], self.sample_rate, self.kind)

    def table(self) -> pd.DataFrame:
        """List the mixtures, as `mixture_table` does, with the name and a hash of each one's own samples."""
        listed = mixture_table(self.specs, pd.DataFrame(self.utterances))
        return listed.assign(name=[row.name for row in self.rows], sha256_mixture=self.digests)

    def __getitem__(self, index: int) -> Mixture:
        mixture, *sources = self._read(index)
        parts = np.zeros((self.num_speakers + 1, len(mixture)), np.float32)
        parts[: len(sources)] = sources
        parts[-1] = mixture - parts.sum(0)
        signals = torch.from_numpy(parts)
        return Mixture(normalize(signals) if self.normalized else signals)


def _digest(samples: np.ndarray) -> str:
    return sha256(samples.tobytes()).hexdigest()[:16]
