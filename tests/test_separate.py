"""`convtasnet separate` as a user meets it: files, folders, pipes, exit codes, and what is wrong."""

import doctest
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from convtasnet_lit import separate
from convtasnet_lit.config import Config, plain
from convtasnet_lit.inference.level import SCALES
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.checkpoint import write_checkpoint
from convtasnet_lit.weights.shipped import DEFAULT

Command = Callable[..., tuple[int, str, str]]
RATE = 8000


@pytest.fixture
def checkpoint(config: Config, tmp_path: Path) -> str:
    torch.manual_seed(0)
    values = plain(config)
    network = ConvTasNet(2, **values["model"])
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    write_checkpoint({"hyper_parameters": {"config": values}, "state_dict": state}, tmp_path / "tiny.ckpt")
    return "tiny.ckpt"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["separate", *arguments])
        with pytest.raises(SystemExit) as ended:
            separate.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def noise(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(RATE * seconds))


def test_a_folder_is_separated_and_summed_up(command: Command, checkpoint: str) -> None:
    Path("calls/late").mkdir(parents=True)
    soundfile.write("calls/a.wav", noise(), RATE)
    soundfile.write("calls/late/b.flac", noise(0.7), 44_100)
    code, printed, said = command("--model", checkpoint, "calls", "--out", "apart", "--batch", "2", "--window", "1")
    assert (code, printed.split()) == (
        0,
        [
            f"apart/{name}"
            for name in ("a_speaker1.wav", "a_speaker2.wav", "late/b_speaker1.flac", "late/b_speaker2.flac")
        ],
    )
    assert "separated 2 of 2 recordings, 0.6 s of audio in" in said
    again = command("--model", checkpoint, "calls")[1].split()
    assert len(again) == 4
    assert command("--model", checkpoint, "calls")[1].split() == again  # its own results are no recordings


def test_bad_files_are_named_at_the_end_and_do_not_stop_the_others(command: Command, checkpoint: str) -> None:
    soundfile.write("good.wav", noise(), RATE)
    soundfile.write("empty.wav", np.zeros(0), RATE)
    soundfile.write("nan.wav", np.full(100, np.nan), RATE, subtype="FLOAT")
    Path("text.wav").write_text("no audio")
    Path("taken").write_text("a file where a folder is needed")
    bad = ["none.wav", "empty.wav", "nan.wav", "text.wav"]
    code, printed, said = command("--model", checkpoint, *bad, "good.wav")
    assert code == 1
    assert printed.split() == ["good_speaker1.wav", "good_speaker2.wav"]
    lines = said.splitlines()
    assert "separated 1 of 5 recordings" in lines[0]
    reasons = ("there is no such file", "holds no samples", "NaN", "unreadable")
    assert len(lines) == 5
    for line, name, reason in zip(lines[1:], bad, reasons, strict=True):
        assert line.startswith(f"error: {name}: ")
        assert reason in line
    assert sorted(path.name for path in Path().glob("*_speaker*")) == printed.split()  # and nothing half-written
    code, printed, said = command("--model", checkpoint, "good.wav", "--out", "taken")
    assert (code, printed) == (1, "")
    assert "error: taken/good_speaker1.wav: cannot be written" in said


def test_one_bad_name_does_not_stop_the_others(command: Command, checkpoint: str) -> None:
    soundfile.write("good.wav", noise(), RATE)
    Path("loop.wav").symlink_to("loop.wav")
    bad = [f"{'x' * 300}.wav", "loop.wav", "good.wav/inside.wav", f"{'y/' * 3000}z.wav"]
    Path("folder").mkdir()
    Path("folder/round.wav").symlink_to("round.wav")
    for out in (["--out", "apart"], []):
        code, printed, said = command("--model", checkpoint, *bad, "folder", "good.wav", *out)
        assert (code, len(printed.split())) == (1, 2), said
        assert said.count("error: ") == len(bad) + 1


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-20])
def test_what_is_next_to_silent_stays_finite(scale: float, command: Command, checkpoint: str) -> None:
    soundfile.write("mix.wav", noise() * scale, RATE, "FLOAT")
    code, printed, said = command("--model", checkpoint, "mix.wav")
    assert code == 0, said
    assert all(np.isfinite(soundfile.read(name)[0]).all() for name in printed.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        *((["--device", name], f"--device: {name} is not allowed; it must be") for name in ("meta", "hpu", "cpu:x")),
        (["--device", "cuda:99"], "device: cuda:99 is not here"),
        (["--window", "0.1"], "--window: 0.1 is not allowed; it must be 1 to 1000000 seconds"),
        (["--window", "nan"], "--window: nan is not allowed"),
        (["--batch", "0"], "--batch: 0 is not allowed; it must be from 1 to 1000"),
        (["--batch", "9" * 20], f"--batch: {'9' * 20} is not allowed; it must be from 1 to 1000"),
        (["--batch", "9" * 5000], "argument --batch: invalid int value"),
        (["--model", "x" * 5000], "File name too long"),
        (["--channel", "0"], "--channel: 0 is not allowed; it must be at least 1"),
        (["--scale", "loud"], "argument --scale: invalid choice: 'loud'"),
        (["-"], "-: standard input goes to standard output"),
        (["--like", "none.wav"], "none.wav: unreadable: No such file"),
        (["--like", "good.wav"], "good.wav: holds 0.5 s of speech; to tell a voice takes 1 s at least"),
    ],
)
def test_where_nothing_can_begin_the_code_is_2(
    arguments: list[str], said: str, command: Command, checkpoint: str
) -> None:
    soundfile.write("good.wav", noise(), RATE)
    code, printed, printed_error = command("--model", checkpoint, "good.wav", *arguments)
    assert (code, printed) == (2, "")
    assert said in printed_error
    assert printed_error.count("\n") == 1
    assert not list(Path().glob("*_speaker*"))


def test_the_choices_are_those_of_inference() -> None:
    assert separate.SCALES == SCALES


def test_with_standard_error_closed_it_works_and_the_code_tells(command: Command, checkpoint: str) -> None:
    soundfile.write("good.wav", noise(), RATE)
    for name, code, files in (("good.wav", 0, 2), ("none.wav", 1, 0)):
        line = f"{sys.executable} -m convtasnet_lit.separate --model {checkpoint} {name} 2>&-"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert (done.returncode, len(done.stdout.split())) == (code, files)


def test_a_channel_that_is_not_there_is_named(command: Command, checkpoint: str) -> None:
    soundfile.write("stereo.wav", np.stack((noise(), noise(seed=1)), 1), RATE)
    assert command("--model", checkpoint, "stereo.wav", "--channel", "2")[0] == 0
    code, _, said = command("--model", checkpoint, "stereo.wav", "--channel", "3")
    assert code == 1
    assert "error: stereo.wav: there is no channel 3; it has 2" in said


def test_ctrl_c_leaves_what_is_whole(command: Command, checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write("a.wav", noise(), RATE)
    soundfile.write("b.wav", noise(3.0), RATE)
    whole = ConvTasNet.forward

    def stopped(network: ConvTasNet, mixture: torch.Tensor) -> torch.Tensor:
        if mixture.shape[-1] > RATE:
            raise KeyboardInterrupt
        return whole(network, mixture)

    monkeypatch.setattr(ConvTasNet, "forward", stopped)
    code, printed, said = command("--model", checkpoint, "a.wav", "b.wav")
    assert (code, printed.split()) == (130, ["a_speaker1.wav", "a_speaker2.wav"])
    assert said == "stopped\n"
    assert sorted(path.name for path in Path().glob("*")) == sorted(
        ["a.wav", "b.wav", "a_speaker1.wav", "a_speaker2.wav", checkpoint]
    )


def test_the_lines_of_the_readme_run_as_they_stand(command: Command) -> None:
    soundfile.write("meeting.wav", noise(), RATE)
    Path("calls").mkdir()
    soundfile.write("calls/one.flac", noise(), RATE)
    readme = (Path(separate.__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^convtasnet separate (.*)$", readme, re.MULTILINE)
    for line, files in zip(lines, (2, 4), strict=True):
        code, printed, said = command(*shlex.split(line, comments=True))
        assert (code, len(printed.split())) == (0, files)
        assert said.startswith(f"network: {DEFAULT}, 2 speakers at 8000 Hz\nseparated ")
    (block,) = re.findall(r"^```python\n(>>> .*?)^```", readme, re.MULTILINE | re.DOTALL)
    names = {"waveform": noise(), "sample_rate": RATE}
    example = doctest.DocTestParser().get_doctest(block, names, "README.md", None, None)
    assert len(example.examples) == 4
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    assert example.globs["speakers"].shape == (2, RATE // 2)


def test_a_network_in_the_place_of_a_recording_is_told_where_it_belongs(command: Command, checkpoint: str) -> None:
    soundfile.write("mix.wav", noise(), RATE)
    for folder in ("run/checkpoints", "published"):
        Path(folder).mkdir(parents=True)
    shutil.copy(checkpoint, "run/checkpoints/best.ckpt")
    Path("published/model.safetensors").touch()
    for former in ("run", checkpoint, "gone.ckpt", "published", DEFAULT):
        code, printed, said = command(former, "mix.wav")
        assert (code, printed) == (2, "")
        assert said == f"error: {former}: is a network, no recording; give it as --model {former}\n"
    soundfile.write("run/example.wav", noise(), RATE)
    assert command("run", "--model", checkpoint)[1].split() == ["run/example_speaker1.wav", "run/example_speaker2.wav"]


def test_a_network_is_named_or_the_default_one(command: Command, tmp_path: Path) -> None:
    soundfile.write("mix.wav", noise(), RATE)
    assert command("mix.wav", "--model", DEFAULT, "--out", "named")[2].startswith("separated ")  # nothing to say
    Path(DEFAULT).mkdir()  # is no network, and not meant by the name
    command("mix.wav", "--out", "default")
    for name in ("mix_speaker1.wav", "mix_speaker2.wav"):
        assert Path("named", name).read_bytes() == Path("default", name).read_bytes()
    assert command("mix.wav", "--model", f"./{DEFAULT}")[0] == 2


def content(files: str) -> list[bytes]:
    return [Path(file).read_bytes() for file in files.split()]


@pytest.mark.parametrize("scale", SCALES)
def test_whoever_sounds_like_the_sample_comes_first(
    scale: str, command: Command, checkpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    soundfile.write("mix.wav", noise(4.0), RATE)
    how = ["--model", checkpoint, "mix.wav"]
    samples = command(*how, "--out", "samples")[1].split()
    before = content(command(*how, "--scale", scale, "--out", "before")[1])
    for sample, expected in zip(samples, (before, before[::-1]), strict=True):
        code, printed, _ = command(*how, "--scale", scale, "--out", "after", "--like", sample)
        assert (code, content(printed)) == (0, expected)
        said = rf"mix.wav: speaker 1 is nearest to {Path(sample).name}, in (\d+)% of its seconds"
        (sure,) = re.findall(said, caplog.messages[-1])
        assert int(sure) > 80


def test_the_timeline_stands_beside_the_speakers_and_changes_nothing(command: Command, checkpoint: str) -> None:
    soundfile.write("team meeting.flac", np.stack([noise(3.0)] * 2, 1), RATE)
    how = ["--model", checkpoint, "team meeting.flac"]
    command(*how, "--out", "before")
    code, printed, _ = command(*how, "--out", "after", "--timeline")
    ends = ("_speaker1.flac", "_speaker2.flac", ".flac.rttm", ".flac.json")
    assert (code, printed.splitlines()) == (0, [f"after/team meeting{end}" for end in ends])
    for end in ends[:2]:
        assert Path(f"before/team meeting{end}").read_bytes() == Path(f"after/team meeting{end}").read_bytes()
    found = json.loads(Path("after/team meeting.flac.json").read_text())
    assert found["recording"] == "team meeting.flac"
    assert [speaker["file"] for speaker in found["speakers"]] == [f"team meeting{end}" for end in ends[:2]]
    lines = [line.split() for line in Path("after/team meeting.flac.rttm").read_text().splitlines()]
    turns = [(speaker["name"], *turn) for speaker in found["speakers"] for turn in speaker["turns"]]
    assert all(0 <= begin < end <= 3.0 for _, begin, end in turns)
    assert {len(line) for line in lines} == {10}
    assert {tuple(line[:3]) for line in lines} == {("SPEAKER", "team_meeting", "1")}
    assert sorted((line[7], float(line[3]), float(line[4])) for line in lines) == [
        (name, begin, pytest.approx(end - begin)) for name, begin, end in sorted(turns)
    ]


def test_the_timeline_of_silence_is_empty(command: Command, checkpoint: str) -> None:
    soundfile.write("quiet.wav", np.zeros(RATE), RATE)
    assert command("--model", checkpoint, "quiet.wav", "--timeline")[0] == 0
    assert Path("quiet.wav.rttm").read_text() == ""
    assert [speaker["turns"] for speaker in json.loads(Path("quiet.wav.json").read_text())["speakers"]] == [[], []]


def piped(checkpoint: str, data: bytes, folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    door = [sys.executable, "-m", "convtasnet_lit.separate", "--model", checkpoint, "-", *arguments]
    return subprocess.run(door, input=data, capture_output=True, cwd=folder)


def test_a_wav_through_a_pipe_gets_a_channel_a_speaker(command: Command, checkpoint: str, tmp_path: Path) -> None:
    soundfile.write("mix.wav", noise(), RATE)
    command("--model", checkpoint, "mix.wav")
    done = piped(checkpoint, Path("mix.wav").read_bytes(), tmp_path)
    assert done.returncode == 0, done.stderr
    joined, rate = soundfile.read(io.BytesIO(done.stdout))
    assert (joined.shape, rate) == ((RATE // 2, 2), RATE)
    for channel in (0, 1):
        np.testing.assert_array_equal(joined[:, channel], soundfile.read(f"mix_speaker{channel + 1}.wav")[0])
    asked = piped(checkpoint, Path("mix.wav").read_bytes(), tmp_path, "--timeline")
    assert (asked.returncode, asked.stdout) == (2, b"")
    assert asked.stderr.startswith(b"error: -: standard input goes to standard output; no other input, no --out and no")
    for data, said in ((b"", "standard input: empty: 0 bytes"), (b"no audio", "standard input: unreadable")):
        done = piped(checkpoint, data, tmp_path)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode().startswith(f"error: {said}")
        assert done.stderr.count(b"\n") == 1


def test_a_closed_pipe_ends_quietly(checkpoint: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mix.wav", noise(10.0), 44_100)
    door = f"{sys.executable} -m convtasnet_lit.separate --model {checkpoint}"
    for line in (f"{door} - < mix.wav | head -c 10 > /dev/null", f"{door} - <&-", f"{door} - < mix.wav > /dev/full"):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        assert done.returncode in (2, 141)
        assert done.stderr.count("\n") == (done.returncode == 2)


@pytest.mark.parametrize("program", ["sox", "ffmpeg"])
def test_sox_and_ffmpeg_may_stand_on_both_sides(program: str, checkpoint: str, tmp_path: Path) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    soundfile.write(tmp_path / "mix.flac", noise(1.0), 44_100)
    ours = f"{sys.executable} -m convtasnet_lit.separate --model {checkpoint} -"
    line = {
        "sox": f"sox mix.flac -t wav - | {ours} | sox -t wav - -r 16000 apart.wav",
        "ffmpeg": f"ffmpeg -v error -i mix.flac -f wav - | {ours} | ffmpeg -v error -i - -ar 16000 apart.wav",
    }[program]
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    apart, rate = soundfile.read(tmp_path / "apart.wav")
    assert (rate, apart.shape[1]) == (16_000, 2)
    assert len(apart) / rate == pytest.approx(RATE / 44_100, abs=0.001)
