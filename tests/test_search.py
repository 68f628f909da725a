"""Search: what a study leaves behind, and that it survives its processes and its bad trials."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from convtasnet_lit import search
from convtasnet_lit import train as door
from convtasnet_lit.config import Config
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.errors import InputError
from convtasnet_lit.studies import ENOUGH, MOST_STARTS, ReportEpochs, SharedStudy
from convtasnet_lit.training import run as train
from convtasnet_lit.training.callbacks import Interrupted
from convtasnet_lit.weights.checkpoint import read_checkpoint
from tests.test_doors import TINY

SPACE = {"lr": FloatDistribution(1e-4, 1e-2, log=True), "patience": IntDistribution(0, 9)}


@pytest.fixture
def small(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides of a training that takes a second, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return [*TINY, "data.corpus=aishell3", f"data.root={corpus}", f"data.store={corpus.parent / 'store'}"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["search", *arguments])
    try:
        search.main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def opened(folder: Path, wanted: int = 9, epochs: int = 4, **settings: Any) -> SharedStudy:
    return SharedStudy(folder, dict(SPACE), {"seed": 0, "pruner": "median"} | settings, epochs, wanted)


def claimed(study: SharedStudy) -> tuple[optuna.Trial, Any]:
    trial = study.claim()
    assert trial
    return trial


def train_made(study: SharedStudy, losses: list[float]) -> bool:
    """Claim a trial and let its validation losses be these; returns whether it was given up."""
    trial, held = claimed(study)
    with held:
        report = ReportEpochs(study, trial)
        for epoch, loss in enumerate(losses):
            trainer: Any = SimpleNamespace(
                callback_metrics={"val/loss": torch.tensor(loss)},
                current_epoch=epoch,
                max_epochs=study.epochs,
                should_stop=False,
            )
            report.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
            report.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
            if trainer.should_stop:
                study.end(trial)
                return True
        study.end(trial, min(losses))
    return False


def test_a_study_leaves_plots_a_table_and_the_command_that_repeats_the_best(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small, "optimizer.lr=log(1e-4,1e-2)", "augment=all,none", "--trials", "3", "--out", "found"]
    assert run(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert "3 of 3 trials done, 0 running; at most 0.0 min left" in printed
    assert not Path("found/importance.html").exists()  # of three trials it would be chance
    for name in ("history", "slice"):
        page = Path("found", f"{name}.html").read_text()
        assert "optimizer.lr" in page or name == "history"
        assert 'src="plotly.min.js"' in page  # so that no network is needed
        assert Path("found", f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert Path("found/plotly.min.js").exists()
    table = pd.read_csv("found/trials.csv")
    assert table["state"].tolist() == ["COMPLETE"] * 3
    assert table["params_optimizer.lr"].nunique() == 3
    assert table["user_attrs_seed"].tolist() == [0] * 3
    best = table.loc[table["value"].idxmin()]
    assert f"best: trial {best['number']}: validation loss {best['value']:.2f} dB" in printed

    environment, *_, command = printed.strip().splitlines()[-1].removeprefix("to train it again: ").split(" ", 1)
    assert environment == "OMP_NUM_THREADS=1"  # as here
    overrides = command.removeprefix("python -m convtasnet_lit.train ").split()
    assert OmegaConf.load(f"found/trial-{best['number']}/.hydra/overrides.yaml") == overrides
    monkeypatch.setattr(sys, "argv", ["train", *overrides, "name=again"])
    door.main()
    weights = [
        read_checkpoint(folder / "checkpoints" / "best.ckpt")["state_dict"]
        for folder in (Path("runs/again"), Path(f"found/trial-{best['number']}"))
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())

    capsys.readouterr()
    assert run(monkeypatch, *arguments) == 0  # nothing is left to do, and the best is said again
    assert printed.splitlines()[-3:] == capsys.readouterr().out.splitlines()[-3:]
    assert len(pd.read_csv("found/trials.csv")) == 3
    assert run(monkeypatch, *arguments, "--seed", "1") == 2
    assert "error: found: holds a study with seed 0; name another folder with --out" in capsys.readouterr().err


def test_importance_is_drawn_once_ten_trials_are_complete(tmp_path: Path) -> None:
    study = opened(tmp_path, wanted=ENOUGH)
    for number in range(ENOUGH):
        assert not (tmp_path / "importance.png").exists()
        trial, held = claimed(study)
        with held:
            study.end(trial, -float(number))
        if number >= ENOUGH - 2:
            study.draw()
    assert (tmp_path / "importance.png").exists() and (tmp_path / "importance.html").exists()


def test_a_killed_process_leaves_its_trial_to_the_other(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = ["trainer.max_epochs=3", "data.train_mixtures=100", "optimizer.lr=log(1e-4,1e-2)"]
    arguments = [*small, *longer, "--trials", "2", "--pruner", "none", "--out", "shared"]
    trial = Path("shared", "trial-0")
    process = subprocess.Popen([sys.executable, "-m", "convtasnet_lit.search", *arguments], stdout=subprocess.DEVNULL)
    try:
        while not (trial / "checkpoints" / "last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)  # alive, but it gets no further
        before = pd.read_csv(trial / "history.csv")
        assert run(monkeypatch, *arguments, "--trials", "1") == 0  # nothing is left to begin, and nothing is known yet
        assert "best" not in capsys.readouterr().out
        assert run(monkeypatch, *arguments) == 0
        assert pd.read_csv("shared/trials.csv")["state"].tolist() == ["RUNNING", "COMPLETE"]
        assert "1 of 2 trials done, 1 running" in capsys.readouterr().out
    finally:
        process.kill()
        process.wait()
    assert run(monkeypatch, *arguments) == 0
    table = pd.read_csv("shared/trials.csv")
    assert table["state"].tolist() == ["COMPLETE", "COMPLETE"]
    assert table["params_optimizer.lr"].nunique() == 2
    after = pd.read_csv(trial / "history.csv")
    assert after["epoch"].tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(after[: len(before)], before)  # with its times: these epochs were not trained again
    assert len(before) < 3


def test_a_running_trial_is_taken_over_only_when_its_process_ended(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    mine, held = claimed(first)
    other, other_held = claimed(second)
    assert (mine.number, other.number) == (0, 1)
    assert mine.params != other.params
    held.__exit__(None, None, None)  # as the system does when a process ends
    again, again_held = claimed(second)
    assert (again.number, again.params) == (0, mine.params)
    new, _ = claimed(first)
    assert new.number == 2
    other_held.__exit__(None, None, None)
    again_held.__exit__(None, None, None)


def test_a_trial_that_kills_each_process_is_given_up(tmp_path: Path) -> None:
    study = opened(tmp_path, wanted=1)
    for _ in range(MOST_STARTS):
        _, held = claimed(study)
        held.__exit__(None, None, None)
    assert study.claim() is None
    (trial,) = study.trials(TrialState.FAIL)
    assert study.describe(trial) == "trial 0 failed: its process ended 3 times in epoch 1"


def test_ctrl_c_leaves_the_trial_to_the_next_start(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    arguments = [*small, "optimizer.lr=1e-3,2e-3", "--trials", "1", "--out", "stopped"]
    with monkeypatch.context() as patched:
        patched.setattr(train, "train", interrupt)
        for _ in range(MOST_STARTS + 1):  # a stop that is asked for counts as no fault of the trial's
            assert run(monkeypatch, *arguments) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "stopped; the same command goes on with it"
    assert run(monkeypatch, *arguments) == 0
    assert pd.read_csv("stopped/trials.csv")["state"].tolist() == ["COMPLETE"]


def test_a_trial_that_fails_is_named_and_the_study_goes_on(
    small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = train.train

    def fail(config: Config, *arguments: Any) -> train.Result:
        if config.optimizer.lr == 0.5:
            raise InputError("the loss is lost")
        return original(config, *arguments)

    monkeypatch.setattr(train, "train", fail)
    assert run(monkeypatch, *small, "optimizer.lr=1e-3,0.5", "--trials", "4", "--out", "mixed") == 0
    table = pd.read_csv("mixed/trials.csv")
    diverged = table["params_optimizer.lr"] == 0.5
    assert diverged.any()
    assert (table["state"] == diverged.map({True: "FAIL", False: "COMPLETE"})).all()
    number = int(table["number"][diverged].iloc[0])
    assert f"\ntrial {number} failed: the loss is lost\n" in capsys.readouterr().out.split("\nbest:")[0]
    assert "Traceback" in Path(f"mixed/trial-{number}/error.txt").read_text()
    same = table[~diverged]  # a point that is drawn again is trained with another seed, not twice
    assert len(same) == same["user_attrs_seed"].nunique() == same["value"].nunique() > 1


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_a_trial_that_falls_behind_is_given_up(tmp_path: Path, pruner: str) -> None:
    study = opened(tmp_path, wanted=12, epochs=4, pruner=pruner)
    given_up = [train_made(study, [-1.0, -2.0, -3.0, -4.0]) for _ in range(6)]
    assert not any(given_up)
    given_up = [train_made(study, [20.0, 20.0, 20.0, 20.0]) for _ in range(6)]
    assert any(given_up) == (pruner != "none")
    pruned = study.trials(TrialState.PRUNED)
    assert len(pruned) == sum(given_up)
    assert all(trial.last_step < 4 for trial in pruned)  # after its last epoch a trial is complete
    assert all("20.00 dB, given up after epoch" in study.describe(trial) for trial in pruned)


def test_a_loss_that_is_not_finite_ends_the_trial(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the validation loss is nan after epoch 2"):
        train_made(opened(tmp_path), [-1.0, float("nan")])


def test_the_time_left_counts_what_runs_and_what_is_to_come(tmp_path: Path) -> None:
    study = opened(tmp_path, wanted=3, epochs=4)
    assert "said after the first epoch" in study.outlook()
    train_made(study, [-1.0] * 4)
    trial, _ = claimed(study)
    trial.set_user_attr("seconds", 100.0)
    trial.report(-1.0, 1)  # 5 epochs in 100 s: 7 are left, 3 of the one that runs
    assert study.outlook() == "1 of 3 trials done, 1 running; at most 2.3 min left"


def test_what_is_drawn_follows_from_the_seed_and_the_trial(tmp_path: Path) -> None:
    drawn = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        study = opened(tmp_path / name, seed=seed)
        for _ in range(4):
            train_made(study, [-1.0])
        drawn[name] = [trial.params for trial in study.trials()]
    assert drawn["a"] == drawn["b"] != drawn["c"]
    assert len({params["lr"] for params in drawn["a"]}) == 4


def test_the_grammar_of_what_is_searched() -> None:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        fixed, space = search._read(
            [
                "data=demo",
                "optimizer.lr=log(1e-4,1e-2)",
                "a=int(log(2,64))",
                "model=glob(t*)",
                "b=interval(0,1)",
                "c=1,x",
            ]
        )
        assert fixed == ["data=demo"]
        assert space["optimizer.lr"] == FloatDistribution(1e-4, 1e-2, log=True)
        assert space["a"] == IntDistribution(2, 64, log=True)
        assert space["b"] == FloatDistribution(0, 1)
        assert [getattr(space[key], "choices", None) for key in ("model", "c")] == [("tiny",), ("1", "x")]
        assert set(search._read(["data=demo"])[1]) == {"optimizer.lr", "schedule.patience", "augment"}


PAGES = [Path(CONF_DIR, "..", page).read_text() for page in ("README.md", "docs/search.md")]
COMMANDS = re.findall(r"^python -m convtasnet_lit\.search (.*)$", "\n".join(PAGES), re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_docs_can_be_searched(line: str) -> None:
    options = search.arguments().parse_intermixed_args(shlex.split(line, comments=True))
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        assert search._composed(*search._read(options.overrides))


def test_without_a_word_it_says_what_it_would_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "--trials", "7") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: overrides: none; 7 trials of the default training would search optimizer.lr=log(")
    assert not list(tmp_path.iterdir())


def test_a_study_can_be_copied_into_a_database(tmp_path: Path) -> None:
    study = opened(tmp_path / "study")
    train_made(study, [-1.0, -2.0, -3.0, -4.0])
    documented = re.search(r"^python -c \"(.*?)\"$", PAGES[1], re.MULTILINE | re.DOTALL)
    assert documented
    subprocess.run([sys.executable, "-c", documented[1]], cwd=tmp_path, check=True)
    copied = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path}/study.db")
    assert [trial.value for trial in copied.trials] == [-4.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["modle=paper"], "modle: there is no such key"),
        (["model=tiny,smal"], "Could not find 'model/smal'"),
        (["optimizer.rate=log(1e-4,1e-2)"], "optimizer.rate: there is no such key; here there are name, lr, beta1"),
        (["optimizer.lr=log(0,1)"], "optimizer.lr=log(0,1): `low > 0` must hold"),
        (["optimizer.lr=interval(2,1)"], "optimizer.lr=interval(2,1): `low <= high` must hold"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr: -1.0 is not allowed; it must be above 0"),
        (["optimizer.lr=log(1e-4"], "log(1e-4"),
        (["data.segment=1s,4x"], "data.segment: '4x' is not a duration"),
        (["trainer.devices=2"], "trainer.devices: 2 is not allowed"),
        (["data.root=/nowhere,/here", "data.store=new"], "data.root: /nowhere is not there"),
        (["data.batch_size=2,100"], "data.train_mixtures: 8 make no batch of 100"),
        (
            ["--out", "/dev/null/study"],
            "--out: /dev/null/study is not allowed; it must be a folder that can be written",
        ),
        (["--trials", "0"], "--trials: 0 is not allowed; it must be 1 or more"),
    ],
)
def test_what_cannot_be_searched_is_one_line_before_any_trial(
    arguments: list[str],
    said: str,
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *small, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not list(Path().iterdir())
