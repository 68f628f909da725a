"""Separate a 16-bit mono WAV 10 ms at a time, as a microphone would give it. Needs numpy and onnxruntime alone.

python onnx_stream.py model-streaming.onnx meeting.wav
"""

import json
import sys
import wave
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnxruntime


def read(file: wave.Wave_read, hop: int) -> np.ndarray:
    """Return the next samples (hop,); after the end there are zeros."""
    samples = np.frombuffer(file.readframes(hop), "<i2").astype(np.float32) / 32768
    return np.pad(samples, (0, hop - len(samples)))


def speaker_file(path: str, rate: int) -> wave.Wave_write:
    """Return a file to append to."""
    file = wave.open(path, "wb")  # noqa: SIM115
    file.setparams((1, 2, rate, 0, "NONE", None))
    return file


def main(model: str, recording: str) -> None:
    """Write the speakers beside the recording, each hop as soon as it is there."""
    session = onnxruntime.InferenceSession(model)
    about = session.get_modelmeta().custom_metadata_map
    rate, stride, lag, speakers = (int(about[key]) for key in ("sample_rate", "stride", "lag", "num_speakers"))
    state = {s["name"]: np.full(s["shape"], s["value"], s["dtype"]) for s in json.loads(about["state"])}
    hop = stride * max(1, round(0.01 * rate / stride))
    with ExitStack() as stack:
        source = stack.enter_context(wave.open(recording))
        if (source.getframerate(), source.getnchannels(), source.getsampwidth()) != (rate, 1, 2):
            sys.exit(f"{recording}: it must be mono, with {rate} Hz and 16 bits a sample")
        names = [f"{Path(recording).with_suffix('')}_speaker{i + 1}.wav" for i in range(speakers)]
        files = [stack.enter_context(speaker_file(name, rate)) for name in names]
        left, early, before = source.getnframes(), lag, np.zeros(lag, np.float32)
        products, with_mixture, last_scales = np.zeros((speakers, speakers)), np.zeros(speakers), np.zeros(speakers)
        while left > 0:
            heard = np.concatenate([before, read(source, hop)])
            (estimates,), *new = session.run(None, {"samples": heard[None, lag:], **state})
            state, before = dict(zip(state, new, strict=True)), heard[hop:]
            estimates, mixture = estimates[:, early : early + left], heard[early:hop][:left]  # estimates lag behind
            # The scales whose sum comes nearest to the mixture, of all so far: the network leaves them open.
            products += estimates @ estimates.T
            with_mixture += estimates @ mixture
            scales, *_ = np.linalg.lstsq(products, with_mixture, rcond=1e-9)
            known = np.where(last_scales, last_scales, scales)  # 0: nothing was heard yet
            moving, last_scales = np.linspace(known, scales, len(mixture) + 1, axis=1)[:, 1:], scales  # a step clicks
            for file, speaker in zip(files, moving * estimates, strict=True):
                file.writeframes((speaker * 32767).clip(-32768, 32767).round().astype("<i2").tobytes())
            left, early = left - len(mixture), 0


if __name__ == "__main__":
    main(*sys.argv[1:])
