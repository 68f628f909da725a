"""How the recording that the service gives to try was made."""

import numpy as np
import soxr

from convtasnet_lit.corpus.demo import ESPEAK_RATE, SPEAKERS, speak

RATE, SECONDS = 16_000, 10
FIRST, SECOND = (
    ("Alicia", ((0.3, "今天下午的会议改到三点钟开始。"), (5.6, "请大家提前十分钟到会议室。"))),
    ("Diogo", ((2.0, "我们昨天去公园看了很多花。"), (6.4, "天气很好,孩子们都很高兴。"))),
)


def example_sources() -> np.ndarray:
    """Two synthetic voices of the demo corpus, each at one level, (2, samples)."""
    sources = np.zeros((2, SECONDS * RATE), np.float32)
    for source, (name, sentences) in zip(sources, (FIRST, SECOND), strict=True):
        (speaker,) = (speaker for speaker in SPEAKERS if speaker.variant == name)
        for start, text in sentences:
            samples = soxr.resample(speak(text, speaker), ESPEAK_RATE, RATE)
            begin = round(start * RATE)
            source[begin : begin + len(samples)] = samples[: len(source) - begin]
        source *= 0.08 / np.sqrt(np.square(source).mean())
    return sources
