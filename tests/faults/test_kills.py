"""SIGKILL at random moments: what is then begun again ends with the same bytes, and leaves nothing beside them."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from convtasnet_lit.config import Accelerator, Config, EvaluateConfig, MetricName
from convtasnet_lit.corpus import aishell3
from convtasnet_lit.corpus.preparation import Preparation
from convtasnet_lit.corpus.prepared import prepare_corpus
from convtasnet_lit.corpus.preparing import prepare_store
from convtasnet_lit.evaluation.evaluating import evaluate
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.training.run import train
from convtasnet_lit.weights.checkpoint import read_checkpoint
from tests.corpus.trees import write_aishell3
from tests.faults.amounts import amount, chance
from tests.runs import write_run

SERVER = multiprocessing.get_context("forkserver")  # imports once, and forks before anything computes
SERVER.set_forkserver_preload(["convtasnet_lit.training.run", "convtasnet_lit.evaluation.evaluating"])


def begun(task: Callable[..., None], *arguments: Any) -> Any:
    process = SERVER.Process(target=task, args=arguments)
    process.start()
    return process


def kill_again_and_again(
    kills: int, purpose: str, task: Callable[..., None], arguments: Callable[[str], tuple[Any, ...]]
) -> list[str]:
    """Kill a task until it has ended in spite of it, and begin with another place, until there were so many kills.

    Returns:
        The places, at all of which the task was done in the end.
    """
    started, whole = time.monotonic(), begun(task, *arguments("whole"))
    whole.join()
    assert whole.exitcode == 0
    longest, random, places = time.monotonic() - started, chance(purpose), ["0"]
    while kills:
        process = begun(task, *arguments(places[-1]))
        process.join(random.uniform(0, longest))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), f"place {places[-1]}, {kills} kills before the end"
        kills -= process.exitcode != 0
        if process.exitcode == 0:
            places.append(str(len(places)))
    last = begun(task, *arguments(places[-1]))
    last.join()
    assert last.exitcode == 0
    return places


def files(folder: Path) -> dict[str, Path]:
    """All files by their places, but for the logger's, which begins anew at each start."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if not name.startswith("csv/")}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files(folder).items()}


def train_here(config: Config, folder: Path) -> None:
    torch.set_num_threads(1)
    train(config, folder)


def test_a_killed_training_ends_with_the_same_weights(config: Config, tmp_path: Path) -> None:
    workers = amount(1, 0)  # which take seconds to start
    data, trainer = replace(config.data, num_workers=workers), replace(config.trainer, max_epochs=6)
    resumed = replace(config, resume=True, data=data, trainer=trainer)
    places = kill_again_and_again(amount(100, 2), "training", train_here, lambda place: (resumed, tmp_path / place))
    for place in places:
        assert files(tmp_path / place).keys() == files(tmp_path / "whole").keys()
        for name in ("best", "last"):
            one, other = (read_checkpoint(tmp_path / run / f"checkpoints/{name}.ckpt") for run in ("whole", place))
            assert one["state_dict"].keys() == other["state_dict"].keys()
            for weight, value in one["state_dict"].items():
                assert torch.equal(value, other["state_dict"][weight]), f"{place}: {name}: {weight}"


def prepare_here(root: Path, stores: Path) -> None:
    prepare_store(Preparation(aishell3.scan(root), root, stores, "test", 16_000))


def test_a_killed_preparation_ends_with_the_same_store(tmp_path: Path) -> None:
    root = write_aishell3(tmp_path / "corpus", train=8, test=4, utterances=amount(40, 4), seconds=1.0)
    places = kill_again_and_again(amount(20, 1), "preparation", prepare_here, lambda place: (root, tmp_path / place))
    for place in places:
        there, whole = contents(tmp_path / place), contents(tmp_path / "whole")
        assert there.keys() - {".lock"} == whole.keys() - {".lock"}
        assert all(there[name] == whole[name] for name in there if name != ".lock")


def evaluate_here(checkpoint: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    metrics = [MetricName.si_sdr, MetricName.si_sdri]
    how = {"accelerator": Accelerator.cpu, "examples": 2, "metrics": metrics}
    evaluate(EvaluateConfig(checkpoint=str(checkpoint), output=str(folder), **how))  # type: ignore[arg-type]


def test_a_killed_evaluation_ends_with_the_same_scores(config: Config, tmp_path: Path) -> None:
    run = write_run(config, tmp_path / "run")
    prepare_corpus(config.data)
    places = kill_again_and_again(amount(10, 1), "evaluation", evaluate_here, lambda place: (run, tmp_path / place))
    for place in places:
        assert contents(tmp_path / place) == contents(tmp_path / "whole")


def separate_here(checkpoint: Path, recording: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    Separator.from_pretrained(checkpoint, "cpu", window=1.0).separate_file(recording, folder)


def test_a_killed_separation_ends_with_the_same_speakers(config: Config, tmp_path: Path) -> None:
    run, recording = write_run(config, tmp_path / "run"), tmp_path / "long.wav"
    soundfile.write(recording, np.random.default_rng(0).normal(0, 0.1, 8000 * 60), 8000)
    places = kill_again_and_again(
        amount(10, 1), "separation", separate_here, lambda place: (run, recording, tmp_path / place)
    )
    for place in places:
        assert contents(tmp_path / place) == contents(tmp_path / "whole")


def test_a_clock_that_jumps_changes_no_weights(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(config, tmp_path / "whole")
    random, original = chance("clock"), time.time
    monkeypatch.setattr(time, "time", lambda: original() + random.uniform(-1e6, 1e6))
    train(config, tmp_path / "jumped")
    for name in files(tmp_path / "whole"):  # of any age
        os.utime(tmp_path / "jumped" / name, (0, random.integers(0, 2**32)))
    train(replace(config, resume=True), tmp_path / "jumped")
    one, other = (read_checkpoint(tmp_path / run / "checkpoints/last.ckpt") for run in ("whole", "jumped"))
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
