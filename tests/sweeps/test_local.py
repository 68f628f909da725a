"""A sweep on this machine: killed, it goes on; a run that fails stops no other; nothing is done twice."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = [
    "model=tiny",
    "model.num_filters=16",
    "model.bottleneck_channels=8",
    "model.hidden_channels=12",
    "model.skip_channels=8",
    "model.num_blocks=2",
    "model.num_repeats=1",
    "segment=1s",
    "data.segment=500ms",
    "data.sample_rate=8000",
    "gpu=cpu",
    "logger=csv",
    "data.train_mixtures=16",
    "data.validation_mixtures=3",
    "data.test_mixtures=3",
    "data.num_workers=0",
    "trainer.max_epochs=3",
]


@pytest.fixture
def command(corpus: Path, tmp_path: Path) -> list[str]:
    where = ["data=aishell3", f"data.root={corpus}", f"data.store={corpus.parent / 'store'}"]
    return [sys.executable, "-m", "convtasnet_lit.train", "-m", *SMALL, *where, "model.mask_activation=relu,sigmoid"]


def test_a_killed_sweep_goes_on_and_repeats_nothing_that_finished(command: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen([*command, "launcher.parallel=1"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    first = tmp_path / "runs"
    while not list(first.glob("*/evaluation-test/metrics.json")):
        assert process.poll() is None
        time.sleep(0.05)
    while len(list(first.glob("*/history.csv"))) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    times = {path: path.stat().st_mtime_ns for path in first.glob("*/evaluation-test/metrics.json")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"{len(times)} of 2 runs are done already" in done.stdout
    assert "compare them: python -m convtasnet_lit.report runs/" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in times} == times
    histories = [len(path.read_text().splitlines()) for path in first.glob("*/history.csv")]
    assert histories == [4, 4]  # the header and three epochs each
    assert len(list(first.glob("*/evaluation-test/metrics.json"))) == 2


def test_a_run_that_fails_is_named_and_stops_no_other(command: list[str], tmp_path: Path) -> None:
    bad = [argument for argument in command if "mask_activation" not in argument]
    failing = ["data.test_speakers=[],[SSB9999]", "trainer.max_epochs=1", "launcher.parallel=2"]
    done = subprocess.run([*bad, *failing], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "SSB9999 is not among" in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "2 runs, 2 at once" in done.stdout and "1 run left" in done.stdout
    assert "compare them" not in done.stdout  # not all are there
    assert len(list(tmp_path.glob("runs/*/evaluation-test/metrics.json"))) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_sweep_alone_lets_its_runs_save_their_state(
    command: list[str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    long = [*command, "trainer.max_epochs=500", "launcher.parallel=1"]
    process = subprocess.Popen(long, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("runs/*/history.csv")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    printed, said = process.communicate(timeout=100)
    assert process.returncode == code
    assert "failed" not in printed and "stopping the runs" in said
    assert said.endswith("stopped; the same command goes on with the runs\n")
    (run,) = tmp_path.glob("runs/*")  # the other one did not begin
    assert f"stopped; the state is in {run}/checkpoints/last.ckpt" in (run / "sweep.log").read_text()
    assert not (run / "evaluation-test").exists()
