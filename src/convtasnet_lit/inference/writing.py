"""The files of a recording's speakers, in its format."""

import logging
from pathlib import Path

import numpy as np

from convtasnet_lit.audio import AudioInput, audio_outputs, can_be_written
from convtasnet_lit.inference.level import Spool

SILENT_PEAK = 1e-4  # -80 dB of full scale: three steps of 16 bits


def write_speakers(spool: Spool, recording: AudioInput, files: list[Path]) -> None:
    """Write the speakers with one gain for all where one would be clipped; that and silence are said.

    Args:
        spool: The speakers.
        recording: What they are of, whose format theirs is.
        files: One a speaker, or a single one with a channel a speaker.

    Raises:
        InputError: They cannot be written.
    """
    say = logging.getLogger(__name__).warning
    peak = max(float(np.abs(estimates).max()) for estimates in spool.finished())
    loudest = 1.0 if recording.subtype in ("FLOAT", "DOUBLE") else max(1.0, peak)  # others end at full scale
    kind, channels = (recording.sample_rate, recording.format, recording.subtype), len(spool.speakers) // len(files)
    if not can_be_written(*kind, channels):  # an MP3 holds two speakers at most, GSM 6.10 one
        kind = recording.sample_rate, "WAV", "PCM_16"
    with audio_outputs(files, *kind, channels) as outputs:
        for estimates in spool.finished():
            for output, part in zip(outputs, np.split(estimates / loudest, len(outputs)), strict=True):
                output.write(part.T)
    if loudest > 1.0:
        lowered = 20 * np.log10(loudest)
        say("%s: all speakers were lowered by %.1f dB, as one would have been clipped", recording.path, lowered)
    if peak < SILENT_PEAK:
        say("%s: its speakers are silent; do its channels cancel each other? Then choose one", recording.path)
