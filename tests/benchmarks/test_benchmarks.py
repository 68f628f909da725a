"""The benchmark: every part counts what it says at a miniature size; nothing here asks how fast."""

import builtins
import json
import math
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import __main__ as benchmark
from benchmarks import contestants, gpu, peak, scoring, speed, timing

SMALL = "--model=tiny --seconds=0.2 --batch=1 --rounds=1 --threads=1 --long-seconds=0.5 --utterances=2"
MINIATURE = SMALL.split()
PAPER_MB = 646  # that torchaudio's network of the paper's size saves for a second of audio


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the door as typed; its figures come back from the JSON file."""
    monkeypatch.setattr(scoring, "COUNTS", (2, 4, 10))

    def run(*arguments: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["benchmark", *arguments, "--json", str(tmp_path / "speed.json")])
        benchmark.main()
        return json.loads((tmp_path / "speed.json").read_text())  # type: ignore[no-any-return]

    return run


@pytest.mark.parametrize("part", benchmark.PARTS)
def test_each_part_gives_figures_and_the_json_holds_what_is_shown(
    part: str, command: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if part == "peak":  # each takes a process of its own
        monkeypatch.setattr(
            contestants, "BUILDERS", {name: contestants.BUILDERS[name] for name in ("lean", "torchaudio")}
        )
    monkeypatch.setattr("benchmarks.loading.BATCHES", 4)
    monkeypatch.setattr("benchmarks.loading.MIXTURES", 3)
    found = command("--parts", part, "--markdown", *MINIATURE)
    shown = capsys.readouterr().out
    rows = found["parts"][part]["rows"]
    assert rows
    for row in rows:
        figures = [value for value in row.values() if isinstance(value, float)]
        assert figures and all(math.isfinite(value) and value > 0 for value in figures), row
        assert f"| {row['']} |" in shown
    assert found["machine"]["packages"].startswith("convtasnet_lit")


def test_a_missing_peer_is_told_in_its_cell(
    command: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = builtins.__import__

    def refuse(name: str, *arguments: Any, **named: Any) -> Any:
        if name.split(".")[0] in ("asteroid", "speechbrain"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
        return imported(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("benchmarks.loading.MIXTURES", 3)
    found = command("--parts", "forward", "loading", "pit", *MINIATURE)["parts"]
    cells = {row[""]: row for row in found["forward"]["rows"] + found["loading"]["rows"]}
    assert cells["Asteroid"]["ms"] == "not installed (asteroid)"
    assert cells["SpeechBrain's dynamic mixing"]["mixtures a second"] == "not installed (speechbrain)"
    assert found["pit"]["rows"][0]["SpeechBrain"] == "not installed (speechbrain)"
    assert cells["torchaudio"]["ms"] > 0
    assert "not installed" in capsys.readouterr().out


@pytest.mark.parametrize("name", contestants.BUILDERS)
def test_contestants_are_of_one_size(name: str) -> None:
    shape = contestants.model_shape("tiny")
    built = contestants.build(name, shape)
    assert built(torch.randn(2, 1601)).shape == (2, 2, 1601)
    ours = sum(p.numel() for p in contestants.build("plain", shape).parameters())
    theirs = sum(p.numel() for p in built.parameters())
    # SpeechBrain's has no skip outputs and no biases
    assert theirs == pytest.approx(ours, rel=0.35 if name == "SpeechBrain" else 0.03)


def test_saved_bytes_are_those_of_torchaudio_by_another_count() -> None:
    seconds, built = 0.25, contestants.build("torchaudio", contestants.model_shape("paper"))
    figure = speed.saved_bytes(built, torch.randn(1, 4000)) / seconds / 1e6
    assert figure == pytest.approx(PAPER_MB, rel=0.02)


def test_saved_bytes_count_each_storage_once_and_no_parameter() -> None:
    squares = torch.nn.Sequential(torch.nn.Linear(10, 10, bias=False), torch.nn.Tanh())
    # the input for the weight's gradient, the output for that of tanh; 4 bytes each
    assert speed.saved_bytes(squares, torch.randn(3, 10)) == 2 * 3 * 10 * 4


def test_the_compiler_is_put_aside_for_one_contestant_alone() -> None:
    from convtasnet_lit.model.fast import kernels

    with contestants.surroundings(contestants.NO_COMPILER):
        assert kernels.kernels_for(torch.float32, torch.float32) is None
    with contestants.surroundings("lean"):
        assert not hasattr(kernels.kernels_for, "mock_calls")


def test_each_contestant_computes_in_bfloat16_where_asked() -> None:
    for name in ("lean", "torchaudio"):
        built = contestants.build(name, contestants.model_shape("tiny"))
        with contestants.surroundings(name, bfloat16=True):
            assert built(torch.randn(1, 1600)).dtype == torch.bfloat16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_benchmark_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: benchmarks.gpu: no GPU here")


def test_each_profile_is_compared_with_float64() -> None:
    (config, *others) = gpu.configs().values()
    assert len(others) == 3
    model = replace(config.model, num_filters=32, hidden_channels=32, num_blocks=2, num_repeats=1)
    config = replace(config, model=model, data=replace(config.data, segment="100ms"))
    rows = gpu.accuracy({"8gb": config}, torch.device("cpu")).rows
    errors = {row[""]: row["gradient"] for row in rows}
    assert len(errors) == 9
    assert all(errors[f"8gb, fp32, {memory}"] < 1e-4 for memory in gpu.MEMORY)
    assert all(1e-4 < errors[f"8gb, {half}, {memory}"] < 0.2 for half in ("fp16", "bf16") for memory in gpu.MEMORY)


def test_contestants_take_turns() -> None:
    turns: list[str] = []
    runs = {name: lambda name=name: turns.append(name) for name in "AB"}
    seconds = timing.interleaved("turns", runs, rounds=2)
    assert "".join(turns) == "ABABAB"  # one to warm up
    assert [len(times) for times in seconds.values()] == [2, 2]


def test_memory_is_read_at_its_highest() -> None:
    _, growth = timing.in_fresh_process(timing.measured_growth, _fill_and_forget)
    assert 50e6 < growth < 60e6


def test_a_contestant_that_was_killed_is_told_in_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_long_pass", _die)
    rows = peak.long(timing.Settings(model="tiny", rounds=1, long_seconds=[0.5])).rows
    assert [row["s"] for row in rows] == ["killed: not enough memory"] * 2


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fill_and_forget() -> None:
    torch.ones(50_000_000, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "--seconds, --long-seconds: 0.0 is not allowed; it must be from 0.1 to 3600"),
        (["--batch", "0"], "--batch: 0 is not allowed; it must be at least 1"),
        (["--rounds", "-1"], "--rounds: -1 is not allowed; it must be at least 1"),
        (["--threads", "0"], "--threads: 0 is not allowed; it must be at least 1"),
        (["--utterances", "1"], "--utterances: 1 is not allowed; it must be at least 2"),
        (["--show", "nothing.json"], "--show: nothing.json is not what --json wrote: FileNotFoundError"),
    ],
)
def test_bad_values_are_refused_in_one_line(
    arguments: list[str],
    message: str,
    command: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        command("--parts", "forward", *arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_earlier_figures_are_shown_again(
    command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("--parts", "saved", "--markdown", *MINIATURE)
    first = capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["benchmark", "--show", str(tmp_path / "speed.json"), "--markdown"])
    benchmark.main()
    assert capsys.readouterr().out == first
