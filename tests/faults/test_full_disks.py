"""A disk that is full at random writes, and one that cannot be written: one line, and then the work goes on."""

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from convtasnet_lit.config import Config
from convtasnet_lit.errors import InputError
from convtasnet_lit.training.run import train
from convtasnet_lit.weights.checkpoint import read_checkpoint
from tests.faults.amounts import amount, chance
from tests.faults.test_kills import files


def test_a_training_whose_disk_was_full_ends_with_the_same_weights(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed, original = replace(config, resume=True), os.fsync
    train(config, tmp_path / "whole")
    random = chance("disk")
    for number in range(amount(20, 2)):
        left, folder = int(random.integers(8)), tmp_path / str(number)  # writes of a run, until the disk is full

        def full(handle: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(handle)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            said = "No space left on device"
            try:
                train(resumed, folder)
            except (InputError, OSError) as error:
                said = str(error)
        assert "No space left on device" in said and "\n" not in said
        train(resumed, folder)
        assert files(folder).keys() == files(tmp_path / "whole").keys()
        one, other = (read_checkpoint(run / "checkpoints/last.ckpt") for run in (tmp_path / "whole", folder))
        assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())


READ_ONLY = """
import subprocess, sys
from pathlib import Path
disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", disk], check=True)
done = subprocess.run(
    [sys.executable, "-m", "convtasnet_lit.separate", "mix.wav", "--out", str(disk)], capture_output=True, text=True
)
print(done.returncode, done.stderr.splitlines()[-1])
"""


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    private = ["unshare", "--mount", "--map-root-user"]  # the mount goes when the process does
    try_mount = [*private, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(try_mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    (tmp_path / "disk").mkdir()
    soundfile.write(tmp_path / "mix.wav", np.random.default_rng(0).normal(0, 0.1, 4000), 8000)
    command = [*private, sys.executable, "-c", READ_ONLY, str(tmp_path / "disk")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("1 error: ") and "Read-only file system" in done.stdout, done.stdout + done.stderr
