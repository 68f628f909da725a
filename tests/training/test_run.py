"""Training: what is written, and that a run stopped anywhere ends with the same weights."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from lightning import Trainer

from convtasnet_lit.config import Accelerator, Config, Memory, Precision, ScheduleConfig, ScheduleName, plain
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.data_config import AugmentConfig, Condition, Target
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import held
from convtasnet_lit.training import module
from convtasnet_lit.training.callbacks import Interrupted, SaveOnInterrupt
from convtasnet_lit.training.keeping import BEFORE_LAST, LAST
from convtasnet_lit.training.resume import _FREE, _ROUNDING, flat
from convtasnet_lit.training.run import train
from convtasnet_lit.weights.checkpoint import read_checkpoint, write_checkpoint


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")["state_dict"]
    return state


def assert_equal_runs(one: Path, other: Path, but: str = "") -> None:
    """Same weights to the last bit, same history but for times and memory and, where given, columns that begin so."""
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name
    machine = ["seconds", "train/audio_seconds_per_second", "train/peak_memory_gib"]
    histories = [pd.read_csv(folder / "history.csv").drop(columns=machine) for folder in (one, other)]
    kept = [column for column in histories[0] if not (but and column.startswith(but))]
    pd.testing.assert_frame_equal(histories[0][kept], histories[1][kept])


SCHEDULES = {
    "halving": ScheduleConfig(patience=0),  # halves after each epoch that is not better
    "warmup_cosine": ScheduleConfig(name=ScheduleName.warmup_cosine, warmup_fraction=0.3),
}


@pytest.fixture(params=list(SCHEDULES))
def scheduled(config: Config, request: pytest.FixtureRequest) -> Config:
    trainer = replace(config.trainer, max_epochs=4)
    return replace(config, schedule=SCHEDULES[request.param], trainer=trainer)


@pytest.fixture
def whole(scheduled: Config, tmp_path: Path) -> Path:
    train(scheduled, tmp_path / "whole")
    return tmp_path / "whole"


def test_a_run_leaves_checkpoints_history_and_curves(config: Config, tmp_path: Path) -> None:
    result = train(config, tmp_path)
    assert result.best == tmp_path / "checkpoints" / "best.ckpt"
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [0, 1]
    assert result.validation_loss == pytest.approx(history["val/loss"].min())
    logged = {"lr", "train/gradient_norm", "train/mask_max", "train/mask_share_above_1", "train/mixture_rms"}
    assert logged | {"train/loss", "val/si_sdr", "val/si_sdri", "train/audio_seconds_per_second"} <= set(history)
    assert history["train/mixture_rms"].to_numpy() == pytest.approx(0.0562, abs=1e-3)
    peaks = history["train/peak_memory_gib"]
    assert peaks.is_monotonic_increasing and 0.1 < peaks[0] < 100  # torch alone takes some hundred MiB
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob("*.partial"))


def test_a_run_in_bfloat16_learns_what_one_in_float32_does(config: Config, tmp_path: Path) -> None:
    losses = []
    for precision in (Precision.fp32, Precision.bf16):
        trainer = replace(config.trainer, accelerator=Accelerator.cpu, precision=precision)
        train(replace(config, trainer=trainer), tmp_path / precision.name)
        losses.append(pd.read_csv(tmp_path / precision.name / "history.csv")["train/loss"].to_numpy())
    assert (losses[0] != losses[1]).any()
    np.testing.assert_allclose(losses[1], losses[0], atol=0.3)  # dB


def test_the_same_seed_gives_the_same_weights(scheduled: Config, whole: Path, tmp_path: Path) -> None:
    workers = replace(scheduled, data=replace(scheduled.data, num_workers=2))
    train(workers, tmp_path / "again")
    assert_equal_runs(whole, tmp_path / "again")


def test_the_largest_mask_of_an_epoch_is_the_largest_of_its_batches(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = module.observations, []

    def observe(mixture: torch.Tensor, masks: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(original(mixture, masks)["train/mask_max"].item())
        return original(mixture, masks)

    monkeypatch.setattr(module, "observations", observe)
    monkeypatch.setattr(module, "LOG_EVERY_BATCHES", 2)
    train(replace(config, trainer=replace(config.trainer, max_epochs=1)), tmp_path)
    assert len(set(seen)) == 4
    assert pd.read_csv(tmp_path / "history.csv")["train/mask_max"].tolist() == pytest.approx([max(seen)])


class KilledError(Exception):
    pass


BATCHES = 8  # of an epoch, in accumulations of two
CHAINS = {  # where a run is killed again and again: (epoch, batch), and what the kill leaves
    "saved": [(0, 3, "saved"), (0, 5, "saved"), (1, 3, "saved"), (3, 3, "saved")],
    "lost": [(0, 3, "lost"), (1, 4, "lost"), (2, 7, "validation"), (3, 3, "saved"), (3, 5, "lost")],
}


def kill(patched: pytest.MonkeyPatch, epoch: int, batch: int, how: str) -> None:
    """Kill the next training after some batch of some epoch, by Ctrl-C, which saves, or as a power cut does."""
    original = SaveOnInterrupt.on_train_batch_end

    def batch_end(self: SaveOnInterrupt, trainer: Trainer, module: object, out: object, b: object, i: int) -> None:
        at = (trainer.current_epoch, i + 1) == (epoch, batch)
        if at and how == "saved":
            os.kill(os.getpid(), signal.SIGINT)
        if at and how == "lost":
            raise KilledError
        original(self, trainer, module, out, b, i)  # type: ignore[arg-type]

    def validation_batch_end(self: SaveOnInterrupt, trainer: Trainer, *_: object) -> None:
        if trainer.current_epoch == epoch and how == "validation":
            raise KilledError

    patched.setattr(SaveOnInterrupt, "on_train_batch_end", batch_end)
    patched.setattr(SaveOnInterrupt, "on_validation_batch_end", validation_batch_end)


@pytest.mark.parametrize(("chain", "workers"), [("saved", 0), ("saved", 1), ("lost", 2)])
def test_a_run_killed_in_the_middle_of_epochs_ends_with_the_same_weights(
    chain: str, workers: int, scheduled: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(scheduled, resume=True, data=replace(scheduled.data, num_workers=workers))
    folder = tmp_path / "killed"
    for epoch, batch, how in CHAINS[chain]:
        with monkeypatch.context() as patched:
            kill(patched, epoch, batch, how)
            with pytest.raises((KilledError, Interrupted)):
                train(config, folder)
    train(config, folder)
    assert_equal_runs(whole, folder, but="train/")  # means over what was left of an epoch


@pytest.mark.parametrize("target", list(Target))
def test_a_realistic_run_killed_in_an_epoch_ends_with_the_same_weights(
    target: Target, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augment = AugmentConfig(**{f"{condition.name}_probability": 0.5 for condition in Condition})  # type: ignore[arg-type]
    data = replace(config.data, num_speakers=3, fewest_speakers=1, validation_fraction=0.4, target=target)
    realistic = replace(config, data=data, augment=augment)
    train(realistic, tmp_path / "whole")
    killed = replace(realistic, resume=True, data=replace(data, num_workers=2))
    with monkeypatch.context() as patched:
        kill(patched, 1, 3, "saved")
        with pytest.raises(Interrupted):
            train(killed, tmp_path / "killed")
    train(killed, tmp_path / "killed")
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed", but="train/")
    assert np.isfinite(pd.read_csv(tmp_path / "whole" / "history.csv")["train/loss"]).all()


def test_an_averaged_run_killed_in_an_epoch_ends_with_the_same_weights_and_the_same_average(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    averaged = replace(config, resume=True, trainer=replace(config.trainer, max_epochs=3, ema_decay=0.9))
    train(averaged, tmp_path / "whole")
    for epoch, batch, how in [(0, 3, "saved"), (1, 4, "lost"), (1, 5, "saved"), (2, 7, "validation")]:
        with monkeypatch.context() as patched:
            kill(patched, epoch, batch, how)
            with pytest.raises((KilledError, Interrupted)):
                train(averaged, tmp_path / "killed")
    train(averaged, tmp_path / "killed")
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed", but="train/")
    for name in ("best", "last"):
        one, other = (read_checkpoint(tmp_path / run / "checkpoints" / f"{name}.ckpt") for run in ("whole", "killed"))
        for key in ("state_dict", "current_model_state", "averaging_state"):
            assert one[key].keys() == other[key].keys()
            assert all(torch.equal(value, other[key][name]) for name, value in one[key].items()), key


def test_a_run_stopped_between_epochs_ends_with_the_same_weights(
    scheduled: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: SaveOnInterrupt, trainer: Trainer, module: object) -> None:
        if trainer.current_epoch == 2:
            raise KilledError

    config = replace(scheduled, data=replace(scheduled.data, num_workers=1))
    with monkeypatch.context() as patched:
        patched.setattr(SaveOnInterrupt, "on_train_epoch_start", stop)
        with pytest.raises(KilledError):
            train(config, tmp_path / "stopped")
    train(replace(config, resume=True), tmp_path / "stopped")
    assert_equal_runs(whole, tmp_path / "stopped")


def test_ctrl_c_finishes_the_accumulation_and_saves(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(monkeypatch, 1, 3, "saved")
    with pytest.raises(Interrupted):
        train(config, tmp_path)
    last = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert (last["epoch"], last["global_step"]) == (1, BATCHES // 2 + 2)
    assert last["MixtureDataModule"]["batches_done"] == 4


TWO = """
import json, sys
from pathlib import Path
import pytest, torch
from convtasnet_lit.config import Config, typed
from convtasnet_lit.training.run import train
from convtasnet_lit.training.callbacks import SaveOnInterrupt
from dataclasses import replace
torch.set_num_threads(1)
original = SaveOnInterrupt.on_train_batch_end

class Killed(Exception):
    pass

def kill_at(epoch, batch, saves):
    def batch_end(self, trainer, module, out, b, i):
        if (trainer.current_epoch, i + 1) == (epoch, batch):
            if saves:
                trainer.save_checkpoint(self.path)
            raise Killed
    SaveOnInterrupt.on_train_batch_end = batch_end

for number, values in enumerate(json.loads(sys.argv[1])):
    config = replace(typed(Config, values), resume=True)
    folder = Path(sys.argv[2], str(number))
    train(replace(config, data=replace(config.data, num_workers=0)), folder / "whole")
    for epoch, batch, saves in [(0, 2, True), (1, 2, False), (3, 2, True), (3, 4, False)]:
        kill_at(epoch, batch, saves)
        with pytest.raises(Killed):
            train(config, folder / "killed")
    SaveOnInterrupt.on_train_batch_end = original
    train(config, folder / "killed")
"""


def on_two_processes(script: str, *arguments: str) -> list[int]:
    """Run a script as Lightning's two processes, and return how they ended."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", script, *arguments]
    group = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    group |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    both = [subprocess.Popen(command, env=group | {"RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]
    try:
        return [process.wait(400) for process in both]
    finally:
        for process in both:
            process.kill()


TERMINATED = """
import json, os, signal, sys
from pathlib import Path
import torch
from lightning import Callback
from convtasnet_lit.config import Config, typed
from convtasnet_lit.training.run import train

class Terminate(Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.current_epoch == 1:
            Path(sys.argv[2], f"threads-{trainer.global_rank}").write_text(str(torch.get_num_threads()))
            if trainer.global_rank == 0:
                os.kill(os.getpid(), signal.SIGTERM)

train(typed(Config, json.loads(sys.argv[1])), Path(sys.argv[2]), [Terminate()])
"""


def test_sigterm_ends_both_processes_which_have_the_threads_asked_for(config: Config, tmp_path: Path) -> None:
    several = replace(config, trainer=replace(config.trainer, devices=2, threads=3))
    first, second = on_two_processes(TERMINATED, json.dumps(plain(several)), str(tmp_path))
    assert first == -signal.SIGTERM
    assert second != 0
    assert [(tmp_path / f"threads-{rank}").read_text() for rank in (0, 1)] == ["3", "3"]
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["epoch"] == 0


def test_runs_on_two_processes_killed_in_the_middle_of_epochs_end_with_the_same_weights(
    config: Config, tmp_path: Path
) -> None:
    trainer = replace(config.trainer, max_epochs=4, devices=2)
    runs = [
        plain(replace(config, schedule=schedule, trainer=trainer, data=replace(config.data, num_workers=workers)))
        for schedule, workers in zip(SCHEDULES.values(), (2, 1), strict=True)
    ]
    assert on_two_processes(TWO, json.dumps(runs), str(tmp_path)) == [0, 0]
    for number in range(len(runs)):
        assert_equal_runs(tmp_path / str(number) / "whole", tmp_path / str(number) / "killed", but="train/")


SCRIPT = """
import json, sys
from pathlib import Path
from convtasnet_lit.config import Config, typed
from convtasnet_lit.training.run import train
from convtasnet_lit.training import module
train(typed(Config, json.loads(sys.argv[1])), Path(sys.argv[2]))
"""


def test_sigkill_and_resume_end_with_the_same_weights(config: Config, tmp_path: Path) -> None:
    longer = replace(config, trainer=replace(config.trainer, max_epochs=12), resume=True)
    train(longer, tmp_path / "whole")
    longer = replace(longer, data=replace(longer.data, num_workers=1))
    command = [sys.executable, "-c", SCRIPT, json.dumps(plain(longer)), str(tmp_path / "killed")]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as here; another number would round otherwise
    for epochs in (2, 6):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=one_thread)
        history = tmp_path / "killed" / "history.csv"
        while process.poll() is None and (not history.exists() or len(history.read_text().splitlines()) <= epochs):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=one_thread)
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]  # no lock, nothing half-written


def test_a_folder_that_holds_a_run_is_not_overwritten(config: Config, tmp_path: Path) -> None:
    train(config, tmp_path)
    with pytest.raises(InputError, match="resume=true"):
        train(config, tmp_path)
    other = replace(config, resume=True, model=replace(config.model, hidden_channels=20))
    with pytest.raises(InputError, match=r"model\.hidden_channels: 20, but .* was trained with 12"):
        train(other, tmp_path)
    with pytest.raises(InputError, match=r"optimizer\.lr: 0\.5, but"):
        train(replace(config, resume=True, optimizer=replace(config.optimizer, lr=0.5)), tmp_path)
    result = train(replace(config, resume=True), tmp_path)  # already complete: nothing is trained
    assert result.epochs == 2


def test_a_run_that_stopped_early_stays_stopped(config: Config, tmp_path: Path) -> None:
    stands_still = replace(config.optimizer, lr=1e-8)
    trainer = replace(config.trainer, max_epochs=9, early_stopping_patience=1)
    config = replace(config, optimizer=stands_still, trainer=trainer, resume=True)
    first = train(config, tmp_path)
    stopped = weights(tmp_path)
    again = train(config, tmp_path)
    assert (first.epochs, again.epochs, again.validation_loss) == (2, 2, first.validation_loss)
    assert all(torch.equal(value, stopped[name]) for name, value in weights(tmp_path).items())


def test_the_cosines_length_is_not_changed_on_the_way(config: Config, tmp_path: Path) -> None:
    cosine = replace(config, schedule=SCHEDULES["warmup_cosine"], resume=True)
    train(cosine, tmp_path)
    longer = replace(config.trainer, max_epochs=3)
    with pytest.raises(InputError, match=r"trainer\.max_epochs: 3, but .* was trained with 2"):
        train(replace(cosine, trainer=longer), tmp_path)


def test_what_only_rounds_otherwise_is_said_and_what_trains_otherwise_is_refused(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    train(config, tmp_path)
    trainer = replace(config.trainer, max_epochs=3)
    for refused in ({"early_stopping_patience": 7}, {"gradient_clip_norm": 1.0}, {"precision": Precision.bf16}):
        with pytest.raises(InputError, match=rf"trainer\.{next(iter(refused))}: "):
            train(replace(config, resume=True, trainer=replace(trainer, **refused)), tmp_path)
    assert "rounding" not in caplog.text
    train(replace(config, resume=True, trainer=replace(trainer, memory=Memory.plain)), tmp_path)
    assert "trainer.memory: plain, but" in caplog.text
    assert "differ by rounding" in caplog.text


def test_every_setting_is_free_or_rounds_or_is_compared() -> None:
    settings = set(flat(plain(Config())))
    assert settings >= _FREE | _ROUNDING
    assert not _FREE & _ROUNDING


def test_a_run_goes_on_from_the_store_alone_but_not_with_other_recordings(
    config: Config, corpus: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    data = replace(config.data, root=str(root), store=str(tmp_path / "store"))
    longer = replace(config, data=data, trainer=replace(config.trainer, max_epochs=4))
    train(longer, tmp_path / "whole")
    train(replace(longer, trainer=config.trainer), tmp_path / "run")
    other = next((root / "train").rglob("*.wav"))
    other_root = Path(shutil.copytree(root, tmp_path / "other"))
    (other_root / other.relative_to(root)).unlink()
    changed = replace(longer, resume=True, data=replace(data, root=str(other_root)))
    with pytest.raises(InputError, match=r"data\.root: .*other does not hold the training and validation utterances"):
        train(changed, tmp_path / "run")
    shutil.rmtree(root)
    shutil.rmtree(other_root)
    store = next(path for path in (tmp_path / "store").glob("aishell3-*") if len(Store.open(path).index) == 56)
    moved = store.rename(tmp_path / "elsewhere")
    train(replace(longer, resume=True, data=replace(data, root=str(moved))), tmp_path / "run")
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")


def test_a_run_goes_on_where_its_noise_was_moved_to_but_not_with_other_noise(config: Config, tmp_path: Path) -> None:
    noisy = replace(config, augment=replace(config.augment, noise_probability=1.0))
    for seed, (name, length) in enumerate({"here": 8000, "other": 8000, "longer": 9000}.items()):
        (tmp_path / name).mkdir()
        for number in range(3):
            samples = np.random.default_rng([number, seed]).normal(0, 0.1, length)
            soundfile.write(tmp_path / name / f"{number}.wav", samples, 8000)

    def longer(place: str) -> Config:
        data = replace(config.data, noise_root=place and str(tmp_path / place), store=str(tmp_path / "store"))
        return replace(noisy, resume=True, data=data, trainer=replace(config.trainer, max_epochs=3))

    train(replace(longer("here"), resume=False, trainer=config.trainer), tmp_path / "run")
    (tmp_path / "here").rename(tmp_path / "there")
    for place, said in (
        ("", "does not hold the"),
        ("longer", "does not hold the"),
        ("other", "is not what .* was made of"),
    ):
        with pytest.raises(InputError, match=rf"data\.noise_root: .*{said}"):
            train(longer(place), tmp_path / "run")
    train(longer("there"), tmp_path / "run")
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 3


def test_the_best_checkpoint_is_the_one_with_the_lowest_validation_loss(config: Config, tmp_path: Path) -> None:
    train(replace(config, optimizer=replace(config.optimizer, lr=0.3)), tmp_path)  # wild: validation goes up and down
    history = pd.read_csv(tmp_path / "history.csv")
    best = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    assert best["epoch"] == history["val/loss"].idxmin()


def test_a_moved_run_keeps_its_best_checkpoint(config: Config, tmp_path: Path) -> None:
    first = train(config, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    longer = replace(config, resume=True, trainer=replace(config.trainer, max_epochs=3))
    result = train(longer, tmp_path / "there")
    history = pd.read_csv(tmp_path / "there" / "history.csv")
    assert result.best == tmp_path / "there" / "checkpoints" / "best.ckpt"
    assert result.validation_loss == pytest.approx(history["val/loss"].min())
    assert result.validation_loss <= first.validation_loss
    assert read_checkpoint(result.best)["epoch"] == history["val/loss"].idxmin()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def flip(path: Path) -> None:
    """Change one bit of a weight."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
        content = archive.read(largest)
    whole = bytearray(path.read_bytes())
    whole[whole.index(content) + len(content) // 2] ^= 1
    path.write_bytes(whole)


def strip(path: Path) -> None:
    write_checkpoint({key: value for key, value in read_checkpoint(path).items() if key != "loops"}, path)


def shrink(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    checkpoint["state_dict"] = {name: value[:1] for name, value in checkpoint["state_dict"].items()}
    write_checkpoint(checkpoint, path)


@pytest.mark.parametrize("damage", [cut, flip, strip, shrink])
def test_of_a_damaged_last_checkpoint_the_one_before_is_taken_and_that_is_said(
    damage: Callable[[Path], None], config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    longer = replace(config, resume=True, trainer=replace(config.trainer, max_epochs=3))
    train(longer, tmp_path / "whole")
    train(config, tmp_path / "run")
    last, before = (tmp_path / "run" / "checkpoints" / name for name in (LAST, BEFORE_LAST))
    damage(last)
    train(longer, tmp_path / "run")
    assert f"{last}: " in caplog.text and "going on from the checkpoint before it" in caplog.text
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")
    damage(last)
    before.unlink()
    with pytest.raises(InputError, match=r"last\.ckpt: "):
        train(longer, tmp_path / "run")


def test_where_the_best_checkpoint_is_gone_and_nothing_is_left_to_train_that_is_said(
    config: Config, tmp_path: Path
) -> None:
    best = train(config, tmp_path).best
    best.unlink()
    with pytest.raises(InputError, match=r"best\.ckpt: the best checkpoint is gone, and nothing is left to train"):
        train(replace(config, resume=True), tmp_path)


def test_a_second_process_in_a_runs_folder_is_refused(config: Config, tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        command = [sys.executable, "-c", SCRIPT, json.dumps(plain(config)), str(tmp_path / "run")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert "run: another process is at work in it; wait for it, or choose another" in done.stderr
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert not list((tmp_path / "run").iterdir())
