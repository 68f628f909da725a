"""A Gradio page for one network: put this file and requirements.txt into a Space."""

import numpy as np

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.separator import Separator

LONGEST = 600  # seconds
SEPARATOR = Separator.from_pretrained()
SPEAKERS = range(1, SEPARATOR.network.num_sources + 1)


def separate(recording: tuple[int, np.ndarray] | None) -> list[tuple[int, np.ndarray]]:
    """Separate what Gradio hands over: the rate and samples in 16 bits, (samples,) or (samples, channels)."""
    if recording is None:
        raise InputError("Choose or record a recording first.")
    rate, samples = recording
    mixture = samples.reshape(len(samples), -1).mean(1).astype(np.float32) / 32768
    if len(mixture) > LONGEST * rate:
        raise InputError(f"The recording is longer than {LONGEST} s.")
    estimates = SEPARATOR.separate(mixture, rate)
    estimates /= max(1.0, float(np.abs(estimates).max(initial=0.0)))
    return [(rate, (32767 * estimate).astype(np.int16)) for estimate in estimates]


if __name__ == "__main__":
    import gradio

    def shown(recording: tuple[int, np.ndarray] | None) -> list[tuple[int, np.ndarray]]:
        """Separate, and show in words what cannot be."""
        try:
            return separate(recording)
        except InputError as error:
            raise gradio.Error(str(error)) from None

    recording = gradio.Audio(label="Two people at once", sources=["upload", "microphone"])
    tracks = [gradio.Audio(label=f"Speaker {number}") for number in SPEAKERS]
    page = gradio.Interface(shown, recording, tracks, title="Who says what", flagging_mode="never")
    page.queue(max_size=20).launch()
