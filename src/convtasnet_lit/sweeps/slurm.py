"""The runs of a sweep on a cluster: a plain array script for sbatch."""

import shlex
import sys
from pathlib import Path

from convtasnet_lit.files import written_whole
from convtasnet_lit.sweeps.jobs import MARK, Sweep

_SCRIPT = """#!/bin/bash
# The runs of the sweep {name}. Start them with: sbatch {path}
# Five minutes before a task's time ends, Slurm sends SIGUSR1. The run then saves its state and ends with code 75, and
# this script, and nobody else, asks for the task to be queued again; the job's name keeps Lightning from doing so.
# 138 is the code of what the signal ended before or after the training.
# A task that Slurm itself requeues after a node has failed goes on from its last epoch.
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --output={folder}/{name}-%a.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=USR1@300
#SBATCH --time=24:00:00
#SBATCH --cpus-per-task={threads}
# For a GPU: #SBATCH --gres=gpu:1

runs=(
{runs}
)
folders=(
{folders}
)
digests=(  # of their settings
{digests}
)
overrides=${{runs[$SLURM_ARRAY_TASK_ID]}}
folder=${{folders[$SLURM_ARRAY_TASK_ID]}}
export OMP_NUM_THREADS={threads} SRUN_CPUS_PER_TASK={threads}
export SLURM_JOB_NAME=interactive  # srun --job-name does not set it within a job

eval "srun {python} -m convtasnet_lit.train $overrides" &&
    srun {python} -m convtasnet_lit.evaluate "checkpoint='$folder'" &&
    echo "${{digests[$SLURM_ARRAY_TASK_ID]}}" > "$folder/{mark}"  # by which a sweep knows that nothing is left to do
code=$?
if [ $code -eq 75 ] || [ $code -eq 138 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}" || exit $code
    exit 0
fi
exit $code
"""


def write_script(sweep: Sweep, folder: Path) -> Path:
    """Write a script that runs a sweep as a Slurm array, one task a run.

    Args:
        sweep: The runs.
        folder: Where the script and what the tasks print go.

    Returns:
        The script.

    Raises:
        OSError: It cannot be written.
    """
    path = folder / f"{sweep.name}.sbatch"
    values = {
        "name": sweep.name,
        "path": shlex.quote(str(path)),
        "last": len(sweep.jobs) - 1,
        "folder": folder,
        "threads": sweep.launcher.threads,
        "runs": "\n".join(f"  {shlex.quote(shlex.join([*job.overrides, *sweep.started(job)]))}" for job in sweep.jobs),
        "folders": "\n".join(f"  {shlex.quote(str(job.folder))}" for job in sweep.jobs),
        "digests": "\n".join(f"  {job.digest}" for job in sweep.jobs),
        "mark": MARK,
        "python": shlex.quote(sys.executable),
    }
    with written_whole(path) as partial:
        partial.write_text(_SCRIPT.format(**values), encoding="utf-8")
    return path
