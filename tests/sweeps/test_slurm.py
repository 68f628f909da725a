"""The script for a cluster, run here by a stand-in for Slurm that kills tasks and queues them again."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from convtasnet_lit.config import Config, LauncherConfig
from convtasnet_lit.sweeps.jobs import Job, Sweep
from convtasnet_lit.sweeps.slurm import write_script

PYTHON = """#!/bin/bash
# stands for Python: notes what it was given; the first training of task 1 is asked to stop, that of task 2 fails, and
# the first evaluation of task 0 is ended by the signal
echo "$SLURM_ARRAY_TASK_ID $*" >> {folder}/calls
if [[ "$*" == *convtasnet_lit.train* && $SLURM_ARRAY_TASK_ID == 1 && ! -e {folder}/stopped ]]; then
    touch {folder}/stopped; exit 75
fi
if [[ "$*" == *convtasnet_lit.train* && $SLURM_ARRAY_TASK_ID == 2 ]]; then exit 2; fi
if [[ "$*" == *convtasnet_lit.evaluate* && ! -e {folder}/evaluated ]]; then touch {folder}/evaluated; exit 138; fi
echo "$SLURM_JOB_NAME $SRUN_CPUS_PER_TASK" >> {folder}/seen
"""
SCONTROL = """#!/bin/bash
echo "$*" >> {folder}/requeued
test ! -e {folder}/refused
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


def tool(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text.format(folder=folder))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="the script is one for bash")
def test_each_task_is_one_run_and_one_that_is_asked_to_stop_is_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tool(tmp_path, "python", PYTHON)))
    tool(tmp_path, "srun", SRUN)
    tool(tmp_path, "scontrol", SCONTROL)
    odd = [("name=it's one", f"seed={seed}", "metrics=[si_sdr,sdr]") for seed in range(3)]
    jobs = [Job(overrides, tmp_path / f"run {seed}", Config()) for seed, overrides in enumerate(odd)]
    for job in jobs:
        job.folder.mkdir()  # as training does
    script = write_script(Sweep("masks", jobs, LauncherConfig(threads=3)), tmp_path)
    text = script.read_text()
    assert "#SBATCH --array=0-2\n" in text
    assert "#SBATCH --signal=USR1@300\n" in text
    assert "#SBATCH --requeue\n" in text

    def run(task: int) -> int:
        ids = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_JOB_ID": "77", "SLURM_JOB_NAME": "masks"}
        environment = os.environ | ids | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.run(["bash", str(script)], env=environment).returncode

    (tmp_path / "refused").touch()
    assert run(1) == 75  # what is not queued again must not count as complete
    for name in ("refused", "stopped", "requeued", "calls"):
        (tmp_path / name).unlink()
    assert [run(task) for task in range(3)][:2] == [0, 0]
    assert not any(job.mark.exists() for job in jobs)
    assert (tmp_path / "requeued").read_text() == "requeue 77_0\nrequeue 77_1\n"
    assert run(0) == run(1) == 0
    assert set((tmp_path / "seen").read_text().splitlines()) == {"interactive 3"}  # Lightning requeues no such job
    assert run(2) != 0
    assert [job.mark.exists() for job in jobs] == [True, True, False]
    calls = (tmp_path / "calls").read_text().splitlines()
    end = "resume=true trainer.threads=3 logger.group='masks'"
    assert calls[0] == f"0 -m convtasnet_lit.train name=it's one seed=0 metrics=[si_sdr,sdr] {end}"
    assert calls[1] == f"0 -m convtasnet_lit.evaluate checkpoint='{tmp_path}/run 0'"
    assert [call.split()[0] + call.split()[2][15:] for call in calls] == [
        "0train",
        "0evaluate",
        "1train",
        "2train",
        "0train",
        "0evaluate",
        "1train",
        "1evaluate",
        "2train",
    ]
