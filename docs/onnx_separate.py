"""Separate a 16-bit WAV with an exported network, into one WAV a speaker. Needs numpy and onnxruntime alone.

python onnx_separate.py model.onnx meeting.wav
"""

import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime


def read(path: str) -> tuple[np.ndarray, int]:
    """Return the mean of the channels (samples,) and the rate in Hz."""
    with wave.open(path) as file:
        if file.getsampwidth() != 2:
            sys.exit(f"{path}: has {8 * file.getsampwidth()} bits a sample; it must have 16")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.reshape(-1, file.getnchannels()).mean(1, dtype=np.float32) / 32768, file.getframerate()


def write(path: str, samples: np.ndarray, rate: int) -> None:
    """Write samples (samples,) within [-1, 1]."""
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", None))
        file.writeframes((samples * 32767).round().astype("<i2").tobytes())


def separate(session: onnxruntime.InferenceSession, mixture: np.ndarray, target_rms: float | None) -> np.ndarray:
    """Return the speakers (speakers, samples) of a mixture (samples,), at the level they have in it."""
    gain = 1.0
    if target_rms and mixture.any():  # the level that the network was trained on
        gain = min(target_rms / np.sqrt(np.mean(mixture**2)), 1 / np.abs(mixture).max())
    (estimates,) = session.run(["estimates"], {"mixture": np.float32(gain) * mixture[None]})
    # The network leaves the scale of a speaker open: these are the ones whose sum comes nearest to the mixture.
    scales, *_ = np.linalg.lstsq(estimates[0].T, mixture, rcond=None)
    return scales[:, None] * estimates[0]


def main(model: str, recording: str) -> None:
    """Write the speakers beside the recording."""
    session = onnxruntime.InferenceSession(model)
    about = session.get_modelmeta().custom_metadata_map
    mixture, rate = read(recording)
    if rate != int(about["sample_rate"]):
        sys.exit(f"{recording}: has {rate} Hz; it must have {about['sample_rate']}, the network's")
    speakers = separate(session, mixture, float(about["target_rms"]) if "target_rms" in about else None)
    speakers /= max(1.0, np.abs(speakers).max())  # one gain for all, rather than clipping one
    for number, speaker in enumerate(speakers, start=1):
        write(f"{Path(recording).with_suffix('')}_speaker{number}.wav", speaker, rate)


if __name__ == "__main__":
    main(*sys.argv[1:])
