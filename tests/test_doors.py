"""The doors as a user meets them: commands as typed, and bad input answered in one line without a traceback."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import OmegaConf

from convtasnet_lit import diagnose, evaluate, plan_memory, prepare, separate, train
from convtasnet_lit.__main__ import COMMANDS
from convtasnet_lit.__main__ import main as convtasnet
from convtasnet_lit.doors import run_folder
from convtasnet_lit.errors import InputError
from convtasnet_lit.training.callbacks import SaveOnInterrupt
from convtasnet_lit.weights.checkpoint import read_checkpoint
from tests.corpus.trees import write_aishell3

TINY = [
    "experiment=demo",
    "model.num_filters=16",
    "model.bottleneck_channels=8",
    "model.hidden_channels=12",
    "model.skip_channels=8",
    "model.num_blocks=2",
    "model.num_repeats=1",
    "trainer.max_epochs=1",
    "data.segment=500ms",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.train_mixtures=8",
    "data.validation_mixtures=3",
    "data.test_mixtures=4",
]

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a door in an empty folder; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(door: Callable[[], None], *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [door.__module__, *arguments])
        code = 0
        try:
            door()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
            if isinstance(exit_.code, str):
                print(exit_.code, file=sys.stderr)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def small(corpus: Path) -> list[str]:
    return [*TINY, "data.corpus=aishell3", f"data.root={corpus}", f"data.store={corpus.parent / 'store'}"]


@pytest.fixture
def trained(command: Command, small: list[str]) -> str:
    code, _, said = command(train.main, *small, "name=first")
    assert code == 0, said
    return "runs/first"


def test_the_users_command_starts_as_typed(tmp_path: Path, corpus: Path) -> None:
    arguments = ["model=paper", "data.segment=4s"]
    smaller = [
        "logger=csv",
        "trainer.max_epochs=1",
        "data.batch_size=1",
        "data.train_mixtures=1",
        "data.validation_mixtures=1",
    ]
    where = ["data.corpus=aishell3", f"data.root={corpus}", "data.sample_rate=8000", "metrics=[si_sdr,sdr,si_sdri]"]
    command = [sys.executable, "-m", "convtasnet_lit.train", *arguments, *smaller, *where]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "training on the CPU in float32: no accelerator" in done.stderr
    assert re.search(r"memory: about 0\.\d+ GiB a step \(batch 1, fp32, lean\), of ", done.stderr)
    (history,) = tmp_path.glob("runs/*/history.csv")
    assert {"val/si_sdr", "val/sdr", "val/si_sdri"} <= set(pd.read_csv(history).columns)
    assert {*arguments} <= set(OmegaConf.load(history.parent / ".hydra" / "overrides.yaml"))


def test_train_evaluate_separate(command: Command, trained: str) -> None:
    code, printed, _ = command(evaluate.main, f"checkpoint={trained}", "examples=2")
    assert code == 0
    folder = Path(trained) / "evaluation-test"
    assert f"{folder}/metrics.json" in printed.replace("\n", "")
    report = json.loads((folder / "metrics.json").read_text())
    scores = report["scores"]["all"]
    assert scores["mixtures"] == 4
    low, high = scores["si_sdri"]["ci95"]
    assert low <= scores["si_sdri"]["mean"] <= high
    assert set(scores) == {"mixtures", "si_sdr", "sdr", "si_sdri", "sdri"}
    table = pd.read_csv(folder / "per_utterance.csv")
    assert table["si_sdri"].mean() == pytest.approx(scores["si_sdri"]["mean"])
    ranks = table["si_sdri"].argsort().tolist()
    assert report["examples"] == list(dict.fromkeys([0, 1, *ranks]))  # the first two, the worst two, the best two
    assert {p.name for p in (folder / "examples").iterdir()} == {"0", "1", "2", "3"}
    page = (Path(trained) / "report.html").read_text(encoding="utf-8")
    assert "<h1>Run first</h1>" in page and f"[{np.floor(low * 100) / 100:.2f}, " in page
    assert page.count("<audio") == 4 * 5
    names = ["mixture", "reference_1", "reference_2", "estimate_1", "estimate_2"]
    assert {p.stem for p in (folder / "examples" / "0").glob("*.wav")} == set(names)
    assert (folder / "examples" / "0" / "spectrograms.png").exists()

    noise = np.random.default_rng(0).normal(0, 0.1, (22_051, 2))
    soundfile.write("mix.flac", noise, 22_050)
    code, printed, _ = command(separate.main, "--model", trained, "mix.flac", "--out", "apart")
    assert code == 0
    assert printed.split() == ["apart/mix_speaker1.flac", "apart/mix_speaker2.flac"]
    samples, rate = soundfile.read("apart/mix_speaker2.flac")
    assert (rate, samples.shape) == (22_050, (22_051,))


def test_evaluation_of_a_subset_of_metrics_on_other_data(command: Command, trained: str, corpus: Path) -> None:
    other = ["data=aishell3", f"data.root={corpus}", "data.test_mixtures=2", "metrics=[stoi]", "output=elsewhere"]
    code, _, said = command(evaluate.main, f"checkpoint={trained}", *other, "examples=0")
    assert code == 0, said
    fewer = ["data.test_mixtures=3", "metrics=[si_sdri]", "output=fewer", "examples=0"]
    code, _, said = command(evaluate.main, f"checkpoint={trained}", *fewer)
    assert code == 0, said
    assert json.loads(Path("fewer/metrics.json").read_text())["scores"]["all"]["mixtures"] == 3
    report = json.loads(Path("elsewhere/metrics.json").read_text())
    assert set(report["scores"]["all"]) == {"mixtures", "stoi"}
    assert not Path("elsewhere/examples").exists()


def test_a_speaker_of_the_training_is_no_test_speaker(command: Command, trained: str) -> None:
    checkpoint = read_checkpoint(Path(trained) / "checkpoints" / "best.ckpt")
    met = checkpoint["MixtureDataModule"]["speakers"][:2]
    code, _, said = command(evaluate.main, f"checkpoint={trained}", f"data.test_speakers=[{','.join(met)}]")
    assert code == 2
    assert f"data.test_speakers: {', '.join(met)} were in this network's training" in said


def test_three_speakers_from_training_to_separation(command: Command, small: list[str]) -> None:
    three = ["data.num_speakers=3", "data.validation_fraction=0.4", "name=three", "data.pair_balance=equal"]
    code, _, said = command(train.main, *small, *three, "data.length_mode=max")
    assert code == 0, said
    code, _, said = command(evaluate.main, "checkpoint=runs/three", "metrics=[si_sdri,pesq]")
    assert code == 0, said
    soundfile.write("mix.wav", np.random.default_rng(0).normal(0, 0.1, 4000), 8000)
    code, printed, _ = command(separate.main, "--model", "runs/three", "mix.wav")
    assert len(printed.split()) == 3


@pytest.mark.parametrize("count", [4, 5])
def test_many_speakers_from_training_to_separation(count: int, command: Command, tmp_path: Path) -> None:
    write_aishell3(tmp_path / "many", train=15, test=5, utterances=2, sample_rate=8000)
    where = ["data.corpus=aishell3", "data.root=many", "data.store=store", "data.validation_fraction=0.4"]
    code, _, said = command(train.main, *TINY, *where, f"data.num_speakers={count}", "name=many")
    assert code == 0, said
    code, _, said = command(evaluate.main, "checkpoint=runs/many", "examples=1")
    assert code == 0, said
    report = json.loads(Path("runs/many/evaluation-test/metrics.json").read_text())
    assert "counting" not in report
    assert {len(group) for group in report["scores"] if group != "all"} == {count}
    assert np.isfinite(report["scores"]["all"]["sdri"]["mean"])
    table = pd.read_csv("runs/many/evaluation-test/per_utterance.csv")
    assert table[[f"speaker_{number}" for number in range(1, count + 1)]].nunique(axis=1).tolist() == [count] * 4
    soundfile.write("mix.wav", np.random.default_rng(0).normal(0, 0.1, 4000), 8000)
    code, printed, _ = command(separate.main, "--model", "runs/many", "mix.wav")
    assert len(printed.split()) == count


def test_mixed_counts_from_training_to_the_number_heard(command: Command, small: list[str]) -> None:
    mixed = ["data.num_speakers=3", "data.fewest_speakers=1", "data.validation_fraction=0.4", "name=mixed"]
    code, _, said = command(train.main, *small, *mixed, "data.test_mixtures=6", "data.pair_balance=equal")
    assert code == 0, said
    history = pd.read_csv("runs/mixed/history.csv")
    assert np.isfinite(history[["train/loss", "val/loss", "val/si_sdr", "val/si_sdri"]]).all(axis=None)
    code, printed, said = command(evaluate.main, "checkpoint=runs/mixed")
    assert code == 0, said
    assert "counted right" in printed
    report = json.loads(Path("runs/mixed/evaluation-test/metrics.json").read_text())
    table = pd.read_csv("runs/mixed/evaluation-test/per_utterance.csv")
    assert table["speakers"].tolist() == [1, 2, 3, 1, 2, 3]
    assert (
        table["si_sdri"].isna().tolist() == table["utterance_2"].isna().tolist() == [n == 1 for n in table["speakers"]]
    )
    assert report["counting"]["accuracy"] == pytest.approx((table["speakers"] == table["heard"]).mean())
    heard = {number: sum(row.values()) for number, row in report["counting"]["confusion"].items()}
    assert heard == {"1": 2, "2": 2, "3": 2}
    assert report["scores"]["all"]["si_sdri"]["mean"] == pytest.approx(table["si_sdri"].mean())
    assert set(report["scores"]["F"]) == {"mixtures", "si_sdr", "sdr"}


def test_ctrl_c_reaches_the_workers_too_and_still_ends_in_one_line(
    command: Command, small: list[str], tmp_path: Path
) -> None:
    arguments = [*small, "logger=csv", "name=stopped", "data.train_mixtures=100", "schedule=halving"]
    endless = [sys.executable, "-m", "convtasnet_lit.train", *arguments, "data.num_workers=2", "trainer.max_epochs=999"]
    history = tmp_path / "runs" / "stopped" / "history.csv"
    # a terminal signals the whole group; this one is without pytest
    process = subprocess.Popen(endless, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while not history.exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        time.sleep(0.3)  # most likely into the second epoch; wherever it is then, it must end in the same way
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        with pytest.raises(ProcessLookupError):  # no worker is left
            os.killpg(process.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    stops = [line.split(";")[0] for line in said.splitlines() if line.startswith("stop")]
    assert stops == ["stopping after this step or validation", "stopped"]
    epochs = len(pd.read_csv(history))
    code, _, said = command(train.main, *arguments, "resume=true", f"trainer.max_epochs={epochs + 1}")
    assert code == 0, said
    assert pd.read_csv(history)["epoch"].tolist() == list(range(epochs + 1))
    assert not list(tmp_path.rglob("*.partial"))


def test_ctrl_c_before_the_first_step_ends_in_one_line(
    command: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SaveOnInterrupt, "on_train_start", interrupt)
    heard = signal.getsignal(signal.SIGINT)
    try:
        code, _, said = command(train.main, *small, "logger=csv")
    finally:
        signal.signal(signal.SIGINT, heard)  # Lightning leaves it ignored
    assert (code, said.splitlines()[-1]) == (130, "stopped")
    assert "Traceback" not in said
    assert "Detected" not in said


def test_a_sweep_trains_each_mask(command: Command, small: list[str]) -> None:
    code, _, said = command(train.main, "-m", *small, "model.mask_activation=relu,sigmoid")
    assert code == 0, said
    runs = [path.parent.parent for path in Path("runs").glob("*/checkpoints/best.ckpt")]
    masks = {OmegaConf.load(run / ".hydra" / "config.yaml").model.mask_activation for run in runs}
    assert masks == {"relu", "sigmoid"}


@pytest.mark.parametrize(
    ("logger", "left"), [("wandb", "wandb/offline-run-*"), ("tensorboard", "tensorboard/**/events*")]
)
def test_each_logger_writes_without_asking(
    logger: str, left: str, command: Command, small: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    code, _, said = command(train.main, *small, f"logger={logger}", "name=logged")
    assert code == 0, said
    assert list(Path("runs/logged").glob(left))
    stored = read_checkpoint(Path("runs/logged/checkpoints/last.ckpt"))["hyper_parameters"]["config"]
    assert stored["logger"]["tags"] == ["demo", "baseline", "aishell3"]  # experiment, ablation, corpus


def test_diagnose_passes_and_fails(command: Command, small: list[str]) -> None:
    code, printed, _ = command(diagnose.main, *small)
    assert code == 0, printed
    assert printed.count("pass") == 5
    code, printed, _ = command(
        diagnose.main, *small, "model.mask_activation=sigmoid", "data.normalize=false", "model.norm=BN"
    )
    assert code == 1
    assert printed.count("FAIL") == 2
    assert not Path("runs").exists()


def test_memory_is_planned_without_a_gpu_and_leaves_nothing(command: Command, small: list[str]) -> None:
    code, printed, said = command(plan_memory.main, *small, "gpu=8gb", "trainer.gpu_gb=0.01", "data.batch_size=9000")
    assert code == 0, said
    parts = ["weights", "gradients", "optimizer", "saved", "workspace", "total"]
    assert all(part in printed for part in ["lean", "plain", "checkpoint", *parts])
    assert "does not fit" in printed
    code, printed, _ = command(plan_memory.main, *small, "gpu=8gb", "data.batch_size=auto", "model.norm=BN")
    assert code == 0
    assert "batch 8 of 500ms in fp16, trainer.memory=lean: fits" in printed
    assert "checkpoint" not in printed  # it would count batches twice
    assert not list(Path().iterdir())


def test_auto_takes_what_fits_this_machine(command: Command, small: list[str]) -> None:
    code, _, said = command(train.main, *small, "logger=csv", "name=auto", "data.batch_size=auto")
    assert code == 0, said
    stored = read_checkpoint(Path("runs/auto/checkpoints/last.ckpt"))["hyper_parameters"]["config"]
    assert (stored["data"]["batch_size"], stored["trainer"]["accumulate_grad_batches"]) == (8, 1)
    code, printed, _ = command(diagnose.main, *small, "data.batch_size=auto")
    assert code == 0, printed


def test_prepare_prints_what_there_is(command: Command, corpus: Path, tmp_path: Path) -> None:
    code, printed, _ = command(
        prepare.main, "data=aishell3", f"data.root={corpus}", f"data.store={tmp_path}", "data.sample_rate=8000"
    )
    assert code == 0
    assert {"train", "validation", "test", "female", "male", "hours"} <= set(printed.split())
    assert not list(tmp_path.glob("*.log"))


def test_prepare_by_shares_then_merge_then_verify(
    command: Command, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convtasnet_lit.corpus.preparation.SHARD_BYTES", 100_000)
    where = ["data=aishell3", f"data.root={corpus}", f"data.store={tmp_path}", "data.sample_rate=8000"]
    assert "is not prepared in" in command(prepare.main, "verify", *where)[2]
    code, printed, _ = command(prepare.main, "shard=1/2", *where)
    assert code == 0
    assert printed.startswith(f"shard: {tmp_path}/aishell3-8000hz-")
    code, _, said = command(prepare.main, "merge", *where)
    assert code == 2
    assert "shards are not in" in said
    assert said.count("\n") == 1
    assert command(prepare.main, "shard=2/2", *where)[0] == 0
    code, printed, _ = command(prepare.main, "merge", *where)
    assert code == 0
    assert "store: " in printed
    assert "nothing is left for shard=1/2" in command(prepare.main, "shard=1/2", *where)[1]
    code, printed, _ = command(prepare.main, "verify", *where)
    assert code == 0
    assert "holds what was written" in printed
    (shard,) = tmp_path.glob("*/shard-00001.s16")
    shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    code, _, said = command(prepare.main, "verify", *where)
    assert code == 2
    assert "in shard-00001.s16; delete the folder" in said


@pytest.mark.parametrize("shard", ["0/4", "5/4", "3", "a/b", "1/0"])
def test_a_share_that_cannot_be_is_one_line(command: Command, shard: str) -> None:
    code, _, said = command(prepare.main, f"shard={shard}")
    assert code == 2
    assert f"shard: {shard} is not allowed; it must be I/N, from 1/N to N/N" in said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model=papr", "Available options in 'model': base causal causal_small paper"),
        ("model.hiden_channels=3", "model.hiden_channels: there is no such key; here there are num_filters"),
        ("modle=paper", "modle: there is no such key"),
        ("+anything=1", "anything: there is no such key"),
        ("model.norm=LN", "model.norm: Invalid value 'LN', expected one of [gLN, cLN, BN]"),
        ("trainer.max_epochs=many", "trainer.max_epochs: Value 'many'"),
        ("metrics=[snr]", "metrics[0]: Invalid value 'snr'"),
        ("data.batch_size=most", "data.batch_size: most is not allowed; it must be from 1 to 1000000, or auto"),
        ("data.segment=4x", "data.segment: '4x' is not a duration such as 4s, 3.5s or 500ms"),
        ("model.causal=true", "model.norm: gLN sees the future; model.causal=true needs"),
        ("trainer.accelerator=gpu", "accelerator: gpu is not here"),
        ("trainer.accelerator=foo", "trainer.accelerator: Invalid value 'foo', expected one of [auto, cpu, gpu, mps]"),
        ("optimizer.beta1=2", "optimizer.beta1: 2"),
        ("seed=5000000000", "seed: 5000000000"),
        ("data.segment=1ms", "data.segment: 1ms"),
        ("name=.", "name: . is not allowed; it must be the name of a folder"),
        ("name=..", "name: .. is not allowed; it must be the name of a folder"),
        ("--nothing", "option: --nothing is not allowed; it must be one that `train --help` lists"),
        ("data.root=/nowhere data.store=new", "data.root: /nowhere is not there"),
        ("model.num_blocks=100", "model.num_blocks: 100 is not allowed; it must be at least 1 and at most 20"),
        ("model.num_filters=1000000000", "model.num_filters: 1000000000 is not allowed"),
        ("model.kernel_size=2000000000", "model.kernel_size: 2000000000 is not allowed"),
        ("model.block_kernel_size=1000000001", "model.block_kernel_size: 1000000001 is not allowed"),
        ("model.hidden_channels=60000 model.bottleneck_channels=60000", "weights is not allowed"),
        ("data.segment=999999999s", "data.segment: 999999999s is not allowed; it must be 100ms to 3600s"),
        ("data.level_range_db=inf", "data.level_range_db: inf is not allowed"),
        ("augment.snr_range_db=inf", "augment.snr_range_db: inf is not allowed"),
        ("data.test_speakers=[[a]]", "data.test_speakers: [['a']] is not allowed; it must be names"),
        ("data.test_speakers=5", "data.test_speakers: "),
        ("data.batch_size=1000000000000", "data.batch_size: 1000000000000 is not allowed"),
        ("data.num_speakers=5", "data.num_speakers: 5"),
        (
            "data.fewest_speakers=3",
            "data.fewest_speakers: 3 is not allowed; it must be 0 (always data.num_speakers) or",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_leaves_nothing(
    override: str, said: str, command: Command, small: list[str], tmp_path: Path
) -> None:
    code, _, printed = command(train.main, *small, *override.split())
    assert code == 2
    assert said in printed
    assert "Traceback" not in printed
    assert printed.count("error: ") == 1
    assert not list(tmp_path.glob("runs/*"))


CALL = """
import sys, convtasnet_lit.{door} as door
for arguments in {calls}:
    sys.argv = ["{door}", *arguments]
    try:
        door.main()
    except SystemExit as left:
        print(left.code, file=sys.stderr)
print([name for name in ("torch", "lightning", "wandb", "pandas", "matplotlib", "rich") if name in sys.modules])
"""


@pytest.mark.parametrize("door", COMMANDS)
def test_help_and_a_bad_setting_are_answered_before_torch_is_imported(door: str, tmp_path: Path) -> None:
    bad = {
        "separate": ["a.wav", "--device", "hpu"],
        "stream": ["--threads", "0"],
        "export": ["--format", "torch_export", "--streaming"],
        "models": ["x"],
        "publish": ["x"],
        "report": ["x", "--out"],
        "dashboard": ["x", "--out"],
        "evaluate": ["checkpoint=x", "examples=-1"],
        "prepare": ["data.sample_rate=x"],
    }.get(door, ["model.num_blocks=x"])
    calls = [bad, ["--help"], ["--nothing"]]
    command = [sys.executable, "-c", CALL.format(door=door, calls=calls)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    said = [line for line in done.stderr.splitlines() if line != "0"]  # Hydra's help leaves without an exit code
    assert [line.partition(":")[0] for line in said] == ["error", "2", "error", "2"]
    assert not list(tmp_path.glob("**/.hydra"))


def test_ctrl_c_while_torch_is_imported_ends_in_one_line(tmp_path: Path) -> None:
    stop = """
import sys
class Stop:
    def find_spec(self, name, *_):
        if name == "torch":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
"""
    for door, arguments in (("separate", ["--model", "x", "a.wav"]), ("train", [])):
        command = [sys.executable, "-c", stop + CALL.format(door=door, calls=[arguments])]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.stderr.splitlines() == ["stopped", "130"]


def test_one_program_has_all_commands(command: Command, tmp_path: Path) -> None:
    doors = {path.stem for path in Path(train.__file__).parent.glob("*.py") if "main = " in path.read_text()}
    assert doors < set(COMMANDS)
    code, printed, _ = command(convtasnet)
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()[2:]] == list(COMMANDS)
    assert all(len(line) <= 80 for line in printed.splitlines()[2:])
    code, printed, said = command(convtasnet, "seperate", "a.wav")
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith("error: command: seperate is not allowed; it must be one of separate, ")
    calls = (
        (["-m", "convtasnet_lit", "stream"], "python -m convtasnet_lit stream"),
        (
            ["-m", "convtasnet_lit.stream"],
            "python -m convtasnet_lit.stream",
        ),
    )
    for arguments, name in calls:
        done = subprocess.run([sys.executable, *arguments, "--help"], capture_output=True, text=True)
        assert done.stdout.startswith(f"usage: {name} [-h] ")


@pytest.mark.parametrize("folder", [".", "mine"])
def test_a_folder_that_was_there_stays(folder: str, command: Command, tmp_path: Path) -> None:
    Path("mine").mkdir()
    code, _, said = command(train.main, f"hydra.run.dir={folder}", "data.segment=4")
    assert code == 2, said
    assert Path("mine").is_dir()
    Path("runs/kept").mkdir(parents=True)
    assert command(train.main, "name=kept", "data.segment=4")[0] == 2
    assert Path("runs/kept").is_dir()
    assert command(train.main, "name=other", "data.segment=4")[0] == 2
    assert [path.name for path in Path("runs").iterdir()] == ["kept"]


def test_nobody_reads_the_output_any_more(tmp_path: Path) -> None:
    read, closed = os.pipe()
    os.close(read)
    full = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-m", "convtasnet_lit.train", "--help"]
    for output, expected in ((closed, (141, "")), (full, (2, "error: No space left on device\n"))):
        done = subprocess.run(command, cwd=tmp_path, stdout=output, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == expected
    os.close(closed)
    os.close(full)


@pytest.mark.parametrize(
    ("door", "arguments", "said"),
    [
        (evaluate.main, [], "holds no settings of a training; give a corpus such as data=voices"),
        (evaluate.main, ["checkpoint=/nowhere"], "/nowhere: there is no such file or folder"),
        (evaluate.main, ["checkpoint=text.txt"], "text.txt: refused"),
        (evaluate.main, ["checkpoint=x", "split=train"], "split: train is not allowed"),
        (separate.main, ["--model", "/nowhere", "a.wav"], "/nowhere: there is no such file or folder"),
    ],
)
def test_a_bad_checkpoint_is_one_line(
    door: Callable[[], None], arguments: list[str], said: str, command: Command
) -> None:
    Path("text.txt").write_text("no checkpoint")
    code, _, printed = command(door, *arguments)
    assert code == 2
    assert said in printed
    assert "Traceback" not in printed


def test_the_folder_of_a_run_is_its_overrides() -> None:
    assert run_folder("", "") == "default"
    assert run_folder("mine", "model-paper") == "mine"
    assert run_folder("", "data.root-/a/b c+model-paper") == "data.root-b-c+model-paper"
    long = [run_folder("", f"data.root-{'x' * 300}{i}") for i in range(2)]
    assert long[0] != long[1]
    assert max(map(len, long)) < 210
    assert len(run_folder("", "data.root-" + "语" * 300).encode()) < 256
    seeds = [run_folder("", f"data.root-{'x' * 300}+seed-{seed}+trainer.max_epochs-9") for seed in (1, 12)]
    assert [name.rpartition("+")[2] for name in seeds] == ["seed-1", "seed-12"]
    assert len({name[:-8] for name in seeds}) == 2  # their hashes differ, too
    for name in (".", ".."):
        with pytest.raises(InputError, match="name: "):
            run_folder(name, "")
