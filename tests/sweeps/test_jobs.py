"""A command that stands for several runs stands for those that Hydra would run, and for nothing else."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from convtasnet_lit.config import Config, LoggerConfig, LoggerName
from convtasnet_lit.doors import CONF_DIR, run_folder
from convtasnet_lit.errors import InputError
from convtasnet_lit.sweeps.jobs import Job, Sweep, asked_sweep


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Sweep | None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    return asked_sweep()


@pytest.mark.parametrize(
    "arguments",
    [
        ["model=tiny"],
        ["--help"],
        ["-m", "seed=0,1", "--cfg", "job"],
        ["sweep=none"],
        ["sweep=schedule", "hydra.mode=RUN"],
        ["--config-dir", "mine", "experiment=of_mine"],  # whose files Hydra finds
    ],
)
def test_one_run_is_no_sweep(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, *arguments) is None


@pytest.mark.parametrize("file", sorted(path.stem for path in (CONF_DIR / "sweep").glob("*.yaml")))
def test_every_sweep_has_three_seeds_and_each_run_a_folder_of_its_own(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = asked(monkeypatch, f"sweep={file}", "data=demo")
    if file == "none":
        assert sweep is None
        return
    assert sweep is not None
    assert sweep.name == file
    assert {job.config.seed for job in sweep.jobs} >= {0, 1, 2}
    assert len({job.folder for job in sweep.jobs}) == len(sweep.jobs) >= 6
    assert "sweep" not in str([job.overrides for job in sweep.jobs])


def test_a_run_of_a_sweep_is_the_run_its_overrides_would_be_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = asked(
        monkeypatch, "-m", "model=tiny", "model.mask_activation=relu,sigmoid", "seed=0,1", "launcher.threads=2"
    )
    assert sweep is not None
    assert [job.overrides for job in sweep.jobs][1] == ("model=tiny", "model.mask_activation=relu", "seed=1")
    named = run_folder("", "model.mask_activation-relu+model-tiny+seed-1")  # Hydra sorts them
    assert sweep.jobs[1].folder == Path("runs") / named
    assert sweep.launcher.threads == 2


def test_the_runs_of_a_sweep_share_a_group_and_are_called_by_what_they_differ_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several = ["-m", "model=tiny", "augment=all,none", "seed=0,1", "launcher.threads=2"]
    sweep = asked(monkeypatch, *several)
    assert sweep is not None
    started = ["resume=true", "trainer.threads=2", "logger.group='sweep'", "logger.label='augment=none seed=1'"]
    assert sweep.started(sweep.jobs[3]) == started
    sweep = asked(monkeypatch, *several, "logger.group=mine", "trainer.threads=2")
    assert sweep is not None
    assert sweep.started(sweep.jobs[3]) == [line for line in started if "group" not in line]
    with pytest.raises(InputError, match=r"trainer.threads: 3 is not allowed; .* launcher.threads, here 2"):
        asked(monkeypatch, *several, "trainer.threads=3")


def test_what_is_typed_replaces_the_files_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = asked(monkeypatch, "sweep=mask_activation", "seed=7,8,9,10")
    assert sweep is not None
    assert len(sweep.jobs) == 3 * 4
    assert {job.config.seed for job in sweep.jobs} == {7, 8, 9, 10}


def test_a_glob_stands_for_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = asked(monkeypatch, "-m", "ablation=glob(*)")
    assert sweep is not None
    assert len(sweep.jobs) == len(list((CONF_DIR / "ablation").glob("*.yaml")))


def test_a_bad_value_of_a_later_run_is_found_before_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"optimizer.lr: 5"):
        asked(monkeypatch, "-m", "optimizer.lr=1e-3,5")


def test_what_only_the_swept_values_make_valid_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = asked(monkeypatch, "-m", "data=mixed", "data.roots=[{root: a}],[{root: a},{root: b, weight: 3}]")
    assert sweep is not None
    assert [[(root.root, root.weight) for root in job.config.data.roots] for job in sweep.jobs] == [
        [("a", 1.0)],
        [("a", 1.0), ("b", 3.0)],
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["schedule=halving,warmup_cosine", "name=mine"], "schedule=halving and schedule=warmup_cosine; leave name="),
        (["seed=3,1,3"], "seed=3 and seed=3$"),
    ],
)
def test_runs_of_one_folder_are_refused(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=f"would be the folder of two runs of the sweep, {said}"):
        asked(monkeypatch, "-m", *arguments)


def test_hydras_own_launcher_is_left_to_hydra(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    assert asked(monkeypatch, "sweep=schedule", "launcher=joblib") is None


def test_a_run_is_done_where_a_sweep_ended_it_and_nothing_was_trained_since(tmp_path: Path) -> None:
    job = Job((), tmp_path, Config())
    last = tmp_path / "checkpoints" / "last.ckpt"
    for path in (last, tmp_path / "evaluation-test" / "metrics.json"):
        path.parent.mkdir()
        path.touch()
    assert not job.is_done  # anyone may evaluate a run that was stopped halfway
    job.mark.write_text(job.digest + "\n")
    assert job.is_done
    relogged = replace(job.config, resume=True, logger=LoggerConfig(name=LoggerName.csv))
    assert replace(job, config=relogged).is_done
    for other in (
        replace(job.config, data=replace(job.config.data, root="elsewhere/" + job.config.data.root)),
        replace(job.config, trainer=replace(job.config.trainer, max_epochs=job.config.trainer.max_epochs + 1)),
    ):
        assert not replace(job, config=other).is_done  # the run itself says what differs, or goes on
    os.utime(last, (time.time() + 9, time.time() + 9))
    assert not job.is_done


def test_several_sweeps_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"sweep: .*one value"):
        asked(monkeypatch, "-m", "sweep=schedule,patience")
