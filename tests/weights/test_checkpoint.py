"""Checkpoints: whole or not at all, and never run as code."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.checkpoint import find_checkpoint, read_checkpoint, trained_network, write_checkpoint


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint({"epoch": 1}, path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device; the one before it is intact"):
        write_checkpoint({"epoch": 2}, path)
    assert read_checkpoint(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, "evil.ckpt")
    with pytest.raises(InputError, match="could run code"):
        read_checkpoint(Path("evil.ckpt"))
    Path("plain.ckpt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError):
        read_checkpoint(Path("plain.ckpt"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.ckpt: "):
        read_checkpoint(path)


def test_a_compressed_file_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1_000_000)}, tmp_path / "whole.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "whole.ckpt") as whole,
        zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for part in whole.infolist():
            bomb.writestr(part.filename, whole.read(part))
    assert (tmp_path / "bomb.ckpt").stat().st_size < 20_000
    with pytest.raises(InputError, match="refused: it is compressed"):
        read_checkpoint(tmp_path / "bomb.ckpt")


def test_a_flipped_bit_of_a_weight_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    write_checkpoint({"weights": torch.full((1000,), 0.5)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((1000,), 0.5).numpy().tobytes()) + 1234] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="bytes were changed"):
        read_checkpoint(path)


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(InputError, match="neither a checkpoint nor the folder"):
        find_checkpoint(tmp_path)
    write_checkpoint({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="not made by"):
        trained_network(read_checkpoint(tmp_path / "other.ckpt"), tmp_path / "other.ckpt")
    data = {"num_speakers": 2, "sample_rate": 8000, "normalize": True}
    for config, said in (
        ({"model": {}, "data": {}}, "not made by"),
        ({"model": {"depth": 3}, "data": data}, "make no Conv"),
    ):
        write_checkpoint({"hyper_parameters": {"config": config}, "state_dict": {}}, tmp_path / "hollow.ckpt")
        with pytest.raises(InputError, match=said):
            trained_network(read_checkpoint(tmp_path / "hollow.ckpt"), tmp_path / "hollow.ckpt").build()
    torch.save([1], tmp_path / "list.ckpt")
    with pytest.raises(InputError, match="holds a list"):
        read_checkpoint(tmp_path / "list.ckpt")


FULL_DISK = """
import subprocess, sys
from pathlib import Path
import torch
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.checkpoint import read_checkpoint, write_checkpoint
disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], check=True)
write_checkpoint({"weights": torch.ones(10_000)}, disk / "last.ckpt")
try:
    write_checkpoint({"weights": torch.zeros(1_000_000)}, disk / "last.ckpt")
except InputError as error:
    print(error)
assert read_checkpoint(disk / "last.ckpt")["weights"].sum() == 10_000
assert [path.name for path in disk.iterdir()] == ["last.ckpt"]
"""


def test_a_really_full_disk_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    private = ["unshare", "--mount", "--map-root-user"]  # the mount goes when the process does
    try_mount = [*private, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(try_mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    command = [*private, sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cannot write a checkpoint of 4.0 MB: No space left on device; the one before it is intact" in done.stdout
