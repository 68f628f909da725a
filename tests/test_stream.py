"""The pipe: raw samples in, raw samples out, as sox and ffmpeg see it."""

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from convtasnet_lit import stream
from convtasnet_lit.config import Config, NormName, plain
from convtasnet_lit.inference.level import Level
from convtasnet_lit.inference.pipe import ENCODINGS
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.weights.checkpoint import write_checkpoint
from convtasnet_lit.weights.pretrained import load_pretrained
from convtasnet_lit.weights.shipped import DEFAULT

RATE = 8000
DOCS = (Path(__file__).parents[1] / "docs" / "streaming.md").read_text(encoding="utf-8")
Pipe = Callable[..., tuple[int, np.ndarray, str]]


@pytest.fixture
def checkpoint(config: Config, tmp_path: Path) -> Path:
    """A causal network with random weights at 8 kHz."""
    torch.manual_seed(0)
    return saved(replace(config, model=replace(config.model, norm=NormName.cLN, causal=True)), tmp_path / "causal.ckpt")


def saved(config: Config, path: Path) -> Path:
    module = SeparationModule(plain(config))
    write_checkpoint({"state_dict": module.state_dict(), "hyper_parameters": {"config": plain(config)}}, path)
    return path


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Pipe:
    """Run the door on samples; its exit code, the samples it wrote and what it said."""

    def run(data: bytes, *arguments: str, source: Path = checkpoint) -> tuple[int, np.ndarray, str]:
        sink = io.BytesIO()
        monkeypatch.setattr(sys, "argv", ["stream", "--model", str(source), *arguments])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sink))
        code = 0
        try:
            stream.main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        kind = np.dtype("<f4" if "f32" in arguments else "<i2")
        return code, np.frombuffer(sink.getvalue(), kind), capsys.readouterr().err

    return run


def noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).normal(size=samples)).astype(np.float32)


def test_what_comes_out_are_the_estimates_at_their_level_interleaved(pipe: Pipe, checkpoint: Path) -> None:
    mixture = noise(8003)
    code, found, said = pipe(mixture.tobytes(), "--encoding", "f32")
    with torch.inference_mode():
        estimates = load_pretrained(checkpoint).network(torch.from_numpy(mixture)[None])[0].numpy()
    assert code == 0
    level, hop, lag = Level(2), 80, 20
    starts = [0, *range(hop - lag, 8000 - lag + 1, hop), 8003]  # 8000 samples are whole hops; 3 more, and the rest
    ends = [*starts[1:]]
    expected, before = [], None
    for start, end in zip(starts, ends, strict=False):
        level.add(mixture[start:end], estimates[:, start:end])
        gains, along = level.gains(), np.arange(1, end - start + 1) / (end - start)
        before = gains if before is None else before
        expected.append((before[:, None] + np.outer(gains - before, along)) * estimates[:, start:end])
        before = gains
    np.testing.assert_allclose(found.reshape(-1, 2).T, np.concatenate(expected, 1), atol=1e-4)
    assert "in: 8000 Hz, f32, little-endian, mono; out: 8000 Hz, f32, little-endian, 2 channels, 12.5 ms later" in said
    assert re.search(
        r"separated 1\.00 s in [\d.]+ s of processor time, [\d.]+ times real time; 0 samples clipped", said
    )


def test_the_encodings_are_those_of_the_pipe() -> None:
    assert set(stream.ENCODINGS) == set(ENCODINGS)


def test_one_speaker_alone_is_that_channel(pipe: Pipe) -> None:
    data = noise(2000).tobytes()
    _, both, _ = pipe(data, "--encoding", "f32")
    _, second, said = pipe(data, "--encoding", "f32", "--speaker", "2")
    np.testing.assert_array_equal(second, both[1::2])
    assert "1 channel," in said


def test_integers_and_floats_are_the_same_sound(pipe: Pipe) -> None:
    whole = np.round(noise(3000) * 32768)
    _, floats, _ = pipe((whole / 32768).astype("<f4").tobytes(), "--encoding", "f32")
    _, integers, _ = pipe(whole.astype("<i2").tobytes())
    np.testing.assert_allclose(integers / 32768, floats, atol=1 / 32768)


def test_the_end_may_come_within_a_sample(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    data = (noise(501) * 32768).astype("<i2").tobytes()
    code, found, _ = pipe(data + b"\x01")
    assert (code, len(found)) == (0, 2 * 501)
    np.testing.assert_array_equal(found, pipe(data)[1])
    assert "ends within a sample" in caplog.text


def test_nothing_in_is_nothing_out(pipe: Pipe) -> None:
    code, found, said = pipe(b"")
    assert (code, len(found)) == (0, 0)
    assert "separated 0.00 s" in said


def test_clipped_samples_are_told(pipe: Pipe) -> None:
    loud = np.where(np.arange(4000) % 97 < 48, 32767, -32768).astype("<i2")
    _, found, said = pipe(loud.tobytes())
    clipped = int(re.search(r"(\d+) samples clipped", said)[1])  # type: ignore[index]
    assert 0 < clipped <= ((found == 32767) | (found == -32768)).sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--rate", "16000"],
            "--rate: 16000 is not allowed; it must be 8000 Hz, the network's; sox IN -r 8000 .*ffmpeg",
        ),
        (["--hop", "0"], "--hop: 0.0 is not allowed; it must be from 0.1 to 10000 ms"),
        (["--speaker", "3"], "--speaker: 3 is not allowed; it must be from 1 to 2"),
        (["--speaker", "0"], "--speaker: 0 is not allowed; it must be from 1 to 2"),
        (["--threads", "0"], "--threads: 0 is not allowed; it must be from 1 to \\d+, the processors here"),
        (["--threads", "100000"], "--threads: 100000 is not allowed; it must be from 1 to"),
        (["--threads", "9999999999"], "--threads: 9999999999 is not allowed; it must be from 1 to"),
        (["--encoding", "s24"], "argument --encoding: invalid choice: 's24'"),
    ],
)
def test_bad_options_are_refused_in_one_line(arguments: list[str], message: str, pipe: Pipe) -> None:
    code, found, said = pipe(noise(100).tobytes(), *arguments)
    (line,) = said.splitlines()
    assert (code, len(found)) == (2, 0)
    assert re.match(f"error: {message}", line)


def test_a_network_that_is_not_causal_is_refused_in_one_line(pipe: Pipe, config: Config, tmp_path: Path) -> None:
    code, _, said = pipe(b"", source=saved(config, tmp_path / "other.ckpt"))
    (line,) = said.splitlines()
    assert code == 2
    assert line.startswith(f"error: {tmp_path / 'other.ckpt'}: not causal")
    assert pipe(b"", source=tmp_path / "nothing.ckpt")[2].startswith(f"error: {tmp_path / 'nothing.ckpt'}: ")


def test_a_value_that_is_not_finite_ends_the_stream_in_one_line(pipe: Pipe) -> None:
    samples = noise(800)
    samples[500] = np.nan
    code, found, said = pipe(samples.tobytes(), "--encoding", "f32")
    assert code == 2
    assert 0 < len(found) < 1000
    assert said.splitlines()[-1] == "error: samples: holds NaN or infinite samples, or such beyond 1e+06"


def test_without_a_causal_network_one_line_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stream"])
    with pytest.raises(SystemExit) as ended:
        stream.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"error: --model: must be given, as {DEFAULT}, the default, is not causal")
    assert said.count("\n") == 1


def started(checkpoint: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "convtasnet_lit.stream", "--model", str(checkpoint), *arguments]
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, bufsize=0, **ends)  # type: ignore[call-overload, no-any-return]


def test_each_hop_is_out_before_the_next_comes_in(checkpoint: Path) -> None:
    with started(checkpoint) as process:
        assert process.stdin and process.stdout and process.stderr
        for size in (60, 80, 80):  # the first lacks half a filter
            process.stdin.write(b"\x01\x00" * 80)
            assert len(process.stdout.read(size * 4)) == size * 4  # would wait forever
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read().splitlines()[1:] == [b"stopped"]  # after what goes in and out


def test_a_closed_output_ends_it_quietly(checkpoint: Path) -> None:
    with started(checkpoint) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"\x01\x00" * 80)
        process.stdout.read(1)
        process.stdout.close()
        process.stdin.write(b"\x01\x00" * 8000)
        assert process.wait() == 141
        assert len(process.stderr.read().splitlines()) == 1


@pytest.mark.parametrize("program", ["sox", "ffmpeg"])
def test_the_commands_of_the_page_separate_a_file(program: str, checkpoint: Path, pipe: Pipe, tmp_path: Path) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    (command,) = [line for line in DOCS.replace("\\\n", "").splitlines() if line.startswith(f"{program} ")]
    command = command.replace("16000", str(RATE)).replace("runs/causal", shlex.quote(str(checkpoint)))
    command = command.replace("convtasnet ", f"{shlex.quote(sys.executable)} -m convtasnet_lit ")
    samples = (32768 * noise(8003)).astype("<i2")
    soundfile.write(tmp_path / "in.wav", samples, RATE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shell = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert (rate, found.shape) == (RATE, (8003, 2))
    np.testing.assert_array_equal(found.ravel(), pipe(samples.tobytes())[1])
