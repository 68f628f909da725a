"""From clean speech to what a microphone records: who speaks, turns, a room, noise, a band, a codec."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from convtasnet_lit.data_config import Condition
from convtasnet_lit.mixing.channel import code, limit_band, require_codecs
from convtasnet_lit.mixing.noise import Noises
from convtasnet_lit.mixing.plan import MOST_ATTEMPTS
from convtasnet_lit.mixing.rooms import PLACES, ROOMS, heard_in, response
from convtasnet_lit.mixing.transforms import silence_beyond

SNR_DB = (5.0, 25.0)  # of all speech over the noise
OVERLAP = (0.2, 1.0)  # the share of a mixture in which all speak

_Step = Callable[[np.ndarray, tuple[int, ...], np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Conditions:
    """What mixtures are put into, each as a function of the mixture's key alone.

    Each condition has a random stream of its own, so that one more changes nothing of the others.

    Args:
        sample_rate: Hz.
        chances: How often each condition is met.
        noises: Where noise is taken from; needed where it has a chance.
        dry: The sources of a room are their direct sound; echoes are then a part of the rest.
        bank: Of rooms; training, validation and test have one each.

    Raises:
        InputError: Codecs are asked for, and libsndfile has none.
    """

    sample_rate: int
    chances: Mapping[Condition, float] = field(default_factory=dict)
    noises: Noises | None = None
    dry: bool = False
    bank: int = 0

    def __post_init__(self) -> None:
        """Check that what can be missing is there."""
        if self.chances.get(Condition.codec):
            require_codecs()

    def applied(self, sources: np.ndarray, rows: tuple[int, ...], key: tuple[int, int, int]) -> np.ndarray:
        """Put a mixture into them.

        Args:
            sources: (sources, samples) in float32; those that are present come first.
            rows: Of the store's index, of those that are present.
            key: Seed, epoch and number of the mixture, or what stands for them.

        Returns:
            The sources as they are asked for, and one more part: what else is heard; (sources + 1, samples).
        """
        parts = np.concatenate([sources, np.zeros_like(sources[:1])])
        steps: dict[Condition, _Step] = {
            Condition.overlap: self._overlap,
            Condition.room: self._room,
            Condition.noise: self._noise,
            Condition.band: lambda parts, _, rng: limit_band(parts, rng, self.sample_rate),
            Condition.codec: lambda parts, _, rng: code(parts, rng, self.sample_rate),
        }
        for condition, step in steps.items():
            if (rng := self.met(condition, key)) is not None:
                parts = step(parts, rows, rng)
        return parts

    def met(self, condition: Condition, key: tuple[int, int, int]) -> np.random.Generator | None:
        """Return the rest of a condition's random stream, None where a mixture does not meet it.

        Args:
            condition: The condition.
            key: Of the mixture.
        """
        chance = self.chances.get(condition, 0.0)
        rng = np.random.default_rng((*key, MOST_ATTEMPTS + condition.value)) if chance else None
        return rng if rng is not None and rng.random() < chance else None

    def _overlap(self, parts: np.ndarray, rows: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if len(rows) > 1:
            share, speaker, first = rng.uniform(*OVERLAP), rng.integers(len(rows)), rng.random() < 0.5
            parts[speaker] = silence_beyond(parts[speaker], share, bool(first), self.sample_rate)
        return parts

    def _room(self, parts: np.ndarray, rows: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        number, places = int(rng.integers(ROOMS)), rng.permutation(PLACES)
        for source, place in zip(parts[: len(rows)], places, strict=False):
            whole, direct = heard_in(source, response(self.sample_rate, self.bank, number, int(place)))
            source[:] = direct if self.dry else whole
            if self.dry:
                parts[-1] += whole - direct
        return parts

    def _noise(self, parts: np.ndarray, rows: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        assert self.noises is not None, "where noise has a chance, there is some"
        speech, snr = parts.sum(0), rng.uniform(*SNR_DB)
        noise = self.noises.draw(rng, len(speech), rows)
        if energy := np.dot(noise, noise):  # a recording may hold digital silence
            parts[-1] += np.float32(np.sqrt(np.dot(speech, speech) / energy) * 10 ** (-snr / 20)) * noise
        return parts

    def described(self) -> dict[str, str]:
        """Say what a fixed list was put into, as columns of its table; nothing of a clean one."""
        met = [condition for condition in Condition if self.chances.get(condition)]
        named = {"conditions": "+".join(condition.name for condition in met)} if met else {}
        room = {"target": "dry" if self.dry else "reverberant"} if Condition.room in met else {}
        noise = {"noise": self.noises.digest()} if self.noises is not None else {}
        return named | room | noise
