"""The LightningModule: validation equal on one process and on two, and checkpoints that load anywhere."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convtasnet_lit.config import Config, MetricName, ScheduleConfig, ScheduleName, plain
from convtasnet_lit.learning.module import SeparationModule, observations
from convtasnet_lit.learning.schedules import halving, warmup_cosine_factor
from convtasnet_lit.train import train

VALIDATE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import torch
from lightning import Trainer
from convtasnet_lit.config import Config, typed
from convtasnet_lit.learning.module import SeparationModule
from convtasnet_lit.learning.trainer import make_trainer
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from pathlib import Path
torch.set_num_threads(1)
config = typed(Config, json.loads(sys.argv[1]))
torch.manual_seed(0)
trainer = make_trainer(config, Path(sys.argv[2]))
module = SeparationModule(json.loads(sys.argv[1]))
data = MixtureDataModule(config.data)
if sys.argv[3] == "fit":
    trainer.fit(module, data)
values = trainer.validate(module, data, verbose=False)[0]
if trainer.is_global_zero:
    print("VALUES", json.dumps(values))
"""


def validated(config: Config, folder: Path, processes: int, stage: str = "validate") -> dict[str, float]:
    config = replace(config, trainer=replace(config.trainer, devices=processes, max_epochs=1))
    script = folder / "validate.py"
    folder.mkdir(exist_ok=True)
    script.write_text(VALIDATE)
    command = [sys.executable, str(script), json.dumps(plain(config)), str(folder), stage]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("VALUES"))
    values: dict[str, float] = json.loads(line.removeprefix("VALUES"))
    return values


def test_validation_is_the_same_on_one_process_and_on_two(config: Config, tmp_path: Path) -> None:
    names = [MetricName.si_sdr, MetricName.sdr, MetricName.si_sdri, MetricName.sdri]
    config = replace(config, metrics=names)  # five mixtures: the shares differ
    one, two = (validated(config, tmp_path / str(n), n) for n in (1, 2))
    assert one.keys() == two.keys() == {"val/loss", "val/si_sdr", "val/sdr", "val/si_sdri", "val/sdri"}
    assert one == pytest.approx(two, abs=1e-4)


def test_training_runs_on_two_processes_with_batch_norm(config: Config, tmp_path: Path) -> None:
    from convtasnet_lit.config import NormName

    config = replace(config, model=replace(config.model, norm=NormName.BN))
    assert validated(config, tmp_path, 2, "fit")["val/loss"] < 100


def test_a_checkpoint_holds_only_plain_values_and_loads(config: Config, tmp_path: Path) -> None:
    result = train(config, tmp_path)
    raw = torch.load(result.best, weights_only=True)
    assert raw["hyper_parameters"]["config"] == plain(config)
    assert raw["lr_schedulers"][0]["factor"] == 0.5
    loaded = SeparationModule.load_from_checkpoint(result.best, weights_only=True).eval()
    assert loaded.config == config
    assert loaded(torch.randn(1, 1234)).shape == (1, 2, 1234)


def test_the_optimizer_and_schedule_are_the_configured_ones(config: Config) -> None:
    configured = SeparationModule(plain(config)).configure_optimizers()
    group = configured["optimizer"].param_groups[0]
    assert (type(configured["optimizer"]).__name__, group["lr"], group["betas"]) == ("Adam", 1e-3, (0.9, 0.999))
    assert configured["lr_scheduler"]["scheduler"].patience == 3


def test_the_rate_is_halved_after_more_epochs_than_the_patience() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], 1e-3)
    schedule, rates = halving(optimizer, patience=3), []
    for _ in range(9):
        schedule.step(1.0)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1e-3] * 4 + [5e-4] * 4 + [2.5e-4]


def test_the_rate_warms_up_and_falls_to_nothing(config: Config, tmp_path: Path) -> None:
    cosine = ScheduleConfig(name=ScheduleName.warmup_cosine, warmup_fraction=0.25)
    train(replace(config, schedule=cosine), tmp_path)
    factors = [warmup_cosine_factor(step, 8, 0.25) for step in range(9)]
    assert factors[:2] == [0.5, 1.0]
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert factors[-1] == 0


def test_observations_are_those_of_the_signal() -> None:
    masks = torch.tensor([0.0, 0.5, 1.0, 3.0]).view(1, 1, 1, 4)
    seen = observations(torch.full((2, 100), 0.5), masks)
    assert {name: round(value.item(), 4) for name, value in seen.items()} == {
        "train/mask_max": 3.0,
        "train/mask_share_above_1": 0.25,
        "train/mixture_rms": 0.5,
    }
