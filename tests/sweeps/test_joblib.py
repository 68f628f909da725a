"""Hydra's own launcher runs what a sweep here would run, each run in a process with its threads."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.sweeps.test_local import SMALL


def test_each_run_of_joblib_has_its_folder_and_its_threads(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    where = ["data=aishell3", f"data.root={corpus}", f"data.store={corpus.parent / 'store'}", "trainer.max_epochs=1"]
    several = ["launcher=joblib", "launcher.threads=2", "hydra.launcher.n_jobs=2", "seed=0,1"]
    command = [sys.executable, "-m", "convtasnet_lit.train", "-m", *SMALL[:-1], *where, *several]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    runs = sorted(tmp_path.glob("runs/*/"), key=lambda run: run.name[-1])
    assert [run.name.partition("+seed-")[2] for run in runs] == ["0", "1"]
    for run in runs:
        assert len(pd.read_csv(run / "history.csv")) == 1
        (part,) = json.loads((run / "environment.json").read_text())
        assert part["threads"] == 2
