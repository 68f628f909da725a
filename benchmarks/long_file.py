"""What a long file takes: `python benchmarks/long_file.py --model tiny --minutes 60`, untrained, one thread, Linux.

Peak memory of the process above what it holds with the network loaded, and the time.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks.contestants import model_shape
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.model.network import ConvTasNet

RATE = 16_000


def kilobytes(entry: str) -> int:
    """An entry of Linux's account of this process: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(entry)).split()[1])


def main() -> None:
    """Write a file of noise and separate it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--window", type=float, metavar="SECONDS")
    options = parser.parse_args()
    torch.set_num_threads(1)
    separator = Separator(ConvTasNet(2, **model_shape(options.model)), RATE, window=options.window)
    noise = np.random.default_rng(0).normal(0, 0.05, 60 * RATE)
    separator.separate(noise[:RATE], RATE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "noise.wav")
        with soundfile.SoundFile(path, "w", RATE, 1) as file:
            for _ in range(options.minutes):
                file.write(noise)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
        loaded, started = kilobytes("VmRSS"), time.monotonic()
        separator.separate_file(path)
        took, above = time.monotonic() - started, kilobytes("VmHWM") - loaded
    print(f"{options.minutes} min in {took:.0f} s, {above / 1000:.0f} MB above {loaded / 1000:.0f} MB")


if __name__ == "__main__":
    main()
