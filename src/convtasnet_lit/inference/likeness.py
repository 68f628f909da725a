"""Which speaker of a recording has the voice of a sample, and how sure that is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convtasnet_lit.audio import AudioInput, UnusableError, resample_blocks
from convtasnet_lit.inference.tracking import FRAME_SECONDS, NUM_CEPSTRA, Tracker, Voice

STRETCH = round(2 / FRAME_SECONDS)  # frames in a second, as they overlap by half; also the least that tells a voice


@dataclass(frozen=True)
class Sample:
    """What somebody sounds like.

    Args:
        name: What messages call it.
        cepstra: Of the frames in which the voice is heard, (frames, NUM_CEPSTRA).
    """

    name: str
    cepstra: np.ndarray

    def nearest(self, voices: Sequence[Voice]) -> tuple[int, float]:
        """Find the voice that is nearest to this one.

        The level of the sample tells nothing, so for each voice it gets the one with which it fits best.

        Args:
            voices: Those of the tracks of a recording.

        Returns:
            Its index, and how sure that is: the share of all stretches of a second of the sample that are nearer to it
            than to any other voice. Of two voices that have nothing to do with it, either may get any share.
        """
        average = Voice(NUM_CEPSTRA)
        for voice in voices:
            average.add_voice(voice)
        if average.count == 0:
            return 0, 0.0
        fits = np.stack([voice.fits(self.cepstra, average) for voice in voices])  # (voices, frames)
        so_far = np.pad(fits.cumsum(1), ((0, 0), (1, 0)))
        nearest, best = (so_far[:, STRETCH:] - so_far[:, :-STRETCH]).argmax(0), int(so_far[:, -1].argmax())
        return best, float((nearest == best).mean())

    def tell(self, voices: Sequence[Voice], recording: Path) -> int:
        """Find the nearest voice, and say how sure that is.

        Args:
            voices: Those of the tracks of a recording.
            recording: It, which the message names.
        """
        index, sure = self.nearest(voices)
        text = f"speaker 1 is nearest to {self.name}, in {sure:.0%} of its seconds"
        if len(voices) == 1:
            text = f"there is one speaker alone, who may or may not be that of {self.name}"
        logging.getLogger(__name__).warning("%s: %s", recording, text)
        return index


def read_sample(path: Path, sample_rate: int) -> Sample:
    """Read a recording of one person.

    Args:
        path: A file of any rate; the mean of its channels is taken.
        sample_rate: Hz, of the network.

    Raises:
        UnusableError: It cannot be read, or holds less than a second of speech.
    """
    recording = AudioInput(path)
    samples = np.concatenate(list(resample_blocks(recording.blocks(), recording.sample_rate, sample_rate)))
    cepstra = Tracker(sample_rate).heard_alone(samples)
    if len(cepstra) < STRETCH:
        raise UnusableError(path, f"holds {len(cepstra) / STRETCH:.1f} s of speech; to tell a voice takes 1 s at least")
    return Sample(path.name, cepstra)
