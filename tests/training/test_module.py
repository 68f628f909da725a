"""The LightningModule: validation equal on one process and on two, and checkpoints that load anywhere."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from convtasnet_lit.config import (
    Config,
    Memory,
    MetricName,
    NormName,
    OptimizerConfig,
    OptimizerName,
    Precision,
    ScheduleConfig,
    ScheduleName,
    plain,
)
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training.losses import _orders, pit_loss
from convtasnet_lit.training.module import SeparationModule, make_optimizer, observations
from convtasnet_lit.training.run import train
from convtasnet_lit.training.schedules import halving, warmup_cosine_factor

VALIDATE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import torch
from lightning import Trainer
from convtasnet_lit.config import Config, typed
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.training.trainer import make_trainer
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


@pytest.mark.parametrize(
    ("norm", "memory", "accumulation"),
    [(NormName.BN, Memory.lean, 2), (NormName.gLN, Memory.lean, 1)],
)
def test_training_runs_on_two_processes(
    norm: NormName, memory: Memory, accumulation: int, config: Config, tmp_path: Path
) -> None:
    trainer = replace(config.trainer, memory=memory, accumulate_grad_batches=accumulation)
    config = replace(config, model=replace(config.model, norm=norm), trainer=trainer)
    assert validated(config, tmp_path, 2, "fit")["val/loss"] < 100


class NoDetour(TorchDispatchMode):
    """Fails where a step computes in float64 or leaves its device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        for tensor in results if isinstance(results, tuple | list) else [results]:
            if isinstance(tensor, torch.Tensor) and tensor.dim():
                assert tensor.dtype != torch.float64, function
                assert tensor.device.type == self.device, function
        return results


@pytest.mark.parametrize("memory", list(Memory))
@pytest.mark.parametrize(("device", "half"), [("cuda", False), ("cpu", False), ("cpu", True)])
@pytest.mark.parametrize("norm", list(NormName))
def test_a_step_never_waits_for_the_cpu_nor_computes_in_float64(
    norm: NormName, device: str, half: bool, memory: Memory
) -> None:
    """On fake tensors, which have no values for .item() to wait for; without a GPU they cannot go back on one."""
    num_speakers = 5
    _orders.cache_clear()  # on each device they are made once, for all steps
    with FakeTensorMode(), torch.device(device):
        network = ConvTasNet(num_speakers, 16, 16, 8, 16, 8, num_blocks=2, num_repeats=2, norm=norm.name)
        if not (norm is NormName.BN and memory is Memory.checkpoint):  # refused
            network.memory = memory.name
        optimizer, sources = make_optimizer(network, OptimizerConfig()), torch.randn(2, num_speakers, 800)
        _orders(num_speakers, sources.device)
        with NoDetour(device):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                estimates, masks = network.separate_with_masks(sources.sum(1))
                observations(sources.sum(1), masks.detach())
                loss = pit_loss(estimates, sources)
            if device == "cpu":
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
    _orders.cache_clear()
    assert loss.dtype == torch.float32


def test_a_compiled_run_has_the_same_loss(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_fast, calls = partial(torch.compile, backend="aot_eager"), []  # without minutes of C++
    monkeypatch.setattr(torch, "compile", lambda function: calls.append(function) or compile_fast(function))
    losses = []
    for compiled in (False, True):
        once = replace(config, trainer=replace(config.trainer, compile=compiled, max_epochs=1))
        losses.append(train(once, tmp_path / str(compiled)).validation_loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert len(calls) == 1


def test_a_checkpoint_holds_only_plain_values_and_loads(config: Config, tmp_path: Path) -> None:
    config = replace(config, trainer=replace(config.trainer, precision=Precision.fp32))  # what a CPU computes in
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


def test_muon_trains_the_pointwise_convolutions_and_adam_the_rest(config: Config) -> None:
    module = SeparationModule(plain(replace(config, optimizer=OptimizerConfig(name=OptimizerName.muon, lr=2e-3))))
    adam, muon = module.configure_optimizers()["optimizer"].param_groups
    names = {id(weight): name for name, weight in module.network.named_parameters()}
    assert len(adam["params"]) + len(muon["params"]) == len(names)
    assert adam["lr"] == muon["lr"] == 2e-3
    assert all(weight.ndim == 3 and weight.shape[2] == 1 for weight in muon["params"])
    assert not any("depthwise" in names[id(weight)] or "filters" in names[id(weight)] for weight in muon["params"])


def test_muon_learns_a_run(config: Config, tmp_path: Path) -> None:
    config = replace(config, optimizer=OptimizerConfig(name=OptimizerName.muon))
    whole = train(config, tmp_path / "whole")
    train(replace(config, trainer=replace(config.trainer, max_epochs=1)), tmp_path / "cut")
    resumed = train(replace(config, resume=True), tmp_path / "cut")
    assert resumed.validation_loss == whole.validation_loss


def test_the_rate_is_halved_after_more_epochs_than_the_patience() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], 1e-3)
    schedule, rates = halving(optimizer, patience=3), []
    for _ in range(9):
        schedule.step(1.0)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1e-3] * 4 + [5e-4] * 4 + [2.5e-4]


def rates_of(losses: Iterable[float]) -> list[float]:
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], 1e-3)
    schedule, rates = halving(optimizer, patience=3), []
    for loss in losses:
        schedule.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("level", [-30.0, -10.0, 0.0, 1.0, 10.0])
def test_the_rate_falls_the_same_way_at_any_loss(level: float) -> None:
    assert rates_of([level] * 60)[-1] == 1e-3 * 0.5**14
    assert rates_of(level - 0.002 * epoch for epoch in range(60))[-1] < 1e-5  # less than 0.01 dB in four epochs
    assert set(rates_of(level - 0.02 * epoch for epoch in range(60))) == {1e-3}
    noise = torch.randn(60, generator=torch.Generator().manual_seed(0)).mul(0.003)
    assert rates_of((level + noise).tolist())[-1] < 1e-5


def test_a_validation_that_is_not_finite_is_one_without_progress() -> None:
    assert rates_of([-10.0] + [float("nan")] * 4)[-1] == 5e-4


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
