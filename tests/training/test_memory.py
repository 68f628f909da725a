"""The memory planner: its count is that of real steps, allocates nothing, and its batch is the largest that fits."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from convtasnet_lit.config import Accelerator, Config, Memory, Precision, TrainerConfig, plain
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.errors import InputError
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training import budget
from convtasnet_lit.training.budget import GIB, Room, report_memory, room_here, room_of_profile, settled, step_of
from convtasnet_lit.training.losses import counting_pit_loss, pit_loss
from convtasnet_lit.training.memory import Step, largest_batch, plan
from convtasnet_lit.training.run import train
from convtasnet_lit.training.trainer import pick_precision
from convtasnet_lit.weights.checkpoint import checkpoint_config, read_checkpoint
from tests.test_conf import composed

SMALL: dict[str, Any] = {"num_filters": 64, "bottleneck_channels": 32, "hidden_channels": 48, "skip_channels": 24}
SMALL |= {"num_blocks": 3, "num_repeats": 1}
CAUSAL = {**SMALL, "norm": "cLN", "causal": True}


def small_step(**changes: Any) -> Step:
    return replace(Step(SMALL, 2, samples=4000, precision="fp32", memory="lean"), **changes)


@contextmanager
def kept_bytes(network: ConvTasNet) -> Iterator[list[int]]:
    """Count on real tensors what the hooks are given, without weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}
    total: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield total
    total.append(sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights))


@pytest.mark.parametrize("memory", ["lean", "plain", "checkpoint"])
@pytest.mark.parametrize(
    ("model", "num_speakers", "precision"),
    [
        (SMALL, 2, "fp32"),
        (SMALL, 5, "fp32"),
        (SMALL, 3, "bf16"),
        ({**SMALL, "mask_activation": "softmax", "encoder_activation": "relu"}, 2, "fp32"),
        (CAUSAL, 2, "fp32"),
        (CAUSAL, 2, "bf16"),
        ({**SMALL, "norm": "BN"}, 2, "fp32"),
        ({"num_blocks": 2, "num_repeats": 1}, 2, "fp32"),  # the paper's widths
    ],
)
def test_what_is_saved_is_what_hooks_count_in_a_real_step(
    model: dict[str, Any], num_speakers: int, precision: str, memory: str
) -> None:
    if precision == "bf16" and memory == "plain" and model is SMALL:
        model = CAUSAL  # gLN is computed in float32 under autocast on GPUs, and in half precision here
    network, sources = ConvTasNet(num_speakers, **model), torch.randn(2, num_speakers, 4000)
    if memory == "checkpoint" and model.get("norm") == "BN":
        pytest.skip("refused")
    network.memory = memory
    with kept_bytes(network) as found, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        pit_loss(network(sources.sum(1)), sources)
    planned = plan(Step(model, num_speakers, 4000, precision, memory), batch=2)
    assert planned.saved == pytest.approx(found[0], rel=0.01)


def test_gln_keeps_float32_in_half_precision_as_gpus_do() -> None:
    half, causal = (plan(small_step(model=m, precision="fp16", memory="plain"), 2).saved for m in (SMALL, CAUSAL))
    whole = plan(small_step(memory="plain"), 2).saved
    assert 0.6 * whole < half < 0.9 * whole
    assert plan(small_step(precision="fp16"), 2).saved < 0.6 * plan(small_step(), 2).saved
    assert causal > half


def test_weights_gradients_and_adam_are_those_of_the_network() -> None:
    planned = plan(small_step(model={**SMALL, "norm": "BN"}), 1)
    network = ConvTasNet(2, **SMALL, norm="BN")
    count = 4 * sum(parameter.numel() for parameter in network.parameters())
    assert (planned.gradients, planned.optimizer) == (count, 2 * count)
    assert planned.weights == count + sum(b.numel() * b.element_size() for b in network.buffers())


def test_nothing_is_allocated_and_no_random_number_drawn() -> None:
    state = torch.get_rng_state()
    planned = plan(Step({"num_blocks": 2}, 2, 60 * 16_000, "fp32", "plain"), batch=4096)
    assert planned.total > 1e13  # 10 TB
    assert torch.equal(torch.get_rng_state(), state)
    assert type(ConvTasNet(2, **SMALL)(torch.randn(1, 500)).detach()) is Tensor


def test_a_run_that_counts_speakers_keeps_about_as_much() -> None:
    tiny = {"num_filters": 128, "kernel_size": 40, "bottleneck_channels": 64, "hidden_channels": 128}
    tiny |= {"skip_channels": 64, "num_blocks": 6, "num_repeats": 2}  # where the loss is the largest part
    network, sources = ConvTasNet(3, **tiny), torch.randn(2, 3, 8000)
    with kept_bytes(network) as found:
        counting_pit_loss(network(sources.sum(1)), sources)
    assert plan(Step(tiny, 3, 8000, "fp32", "lean"), batch=2).saved == pytest.approx(found[0], rel=0.1)


@pytest.mark.parametrize("memory", ["lean", "plain", "checkpoint"])
def test_it_grows_with_batch_and_length(memory: str) -> None:
    totals = [plan(small_step(memory=memory), batch).total for batch in (1, 2, 3)]
    assert totals == sorted(set(totals))
    lengths = [plan(small_step(memory=memory, samples=samples), 1).total for samples in (2000, 4000, 8000)]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("memory", ["lean", "plain", "checkpoint"])
def test_the_largest_batch_fits_and_one_more_does_not(memory: str, precision: str) -> None:
    step, room = small_step(memory=memory, precision=precision), 1e9
    largest = largest_batch(step, room)
    assert plan(step, largest).total <= 1.01 * room  # it is found on a line: see there
    assert plan(step, largest + 1).total > 0.99 * room
    assert plan(step, largest).total == pytest.approx(room, rel=0.02)
    assert largest_batch(step, plan(step, 1).total) == 1
    assert largest_batch(step, plan(step, 1).total - 1) == 0


def room_for(config: Config, batch: int) -> Room:
    """A GPU on which this batch just fits."""
    needed = plan(step_of(config, Precision.fp32), batch).total
    return Room("this GPU", math.ceil(needed / (1 - budget.RESERVED)), Precision.fp32, gpu=True)


@pytest.fixture
def auto(config: Config) -> Config:
    return replace(config, data=replace(config.data, batch_size="auto"))


@pytest.mark.parametrize(("fitting", "batch"), [(1, 1), (3, 2), (4, 4), (7, 4), (100, 8)])
def test_auto_takes_the_largest_divisor_that_fits(fitting: int, batch: int, auto: Config) -> None:
    found = settled(auto, room_for(auto, fitting))
    assert (found.data.batch_size, found.trainer.accumulate_grad_batches) == (batch, 8 // batch)
    assert settled(found, room_for(auto, 1)) is found  # a number stays


def test_auto_shares_the_effective_batch_among_devices(auto: Config) -> None:
    trainer = replace(auto.trainer, devices=6, effective_batch_size=24)
    found = settled(replace(auto, trainer=trainer), room_for(auto, 3))
    assert (found.data.batch_size, found.trainer.accumulate_grad_batches) == (2, 2)
    with pytest.raises(InputError, match=r"trainer\.num_nodes: 2 .* 1 with data\.batch_size=auto"):
        settled(replace(auto, trainer=replace(auto.trainer, num_nodes=2)), room_for(auto, 8))
    with pytest.raises(InputError, match=r"trainer\.effective_batch_size: 8 .* a multiple of the 3 processes"):
        settled(replace(auto, trainer=replace(auto.trainer, devices=3)), room_for(auto, 8))


def test_auto_where_nothing_fits_says_what_to_try(auto: Config) -> None:
    with pytest.raises(InputError, match=r"data\.batch_size: auto finds none.*trainer\.memory=checkpoint") as caught:
        settled(auto, replace(room_for(auto, 1), size=1e5))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"data\.batch_size: auto is not allowed; it must be a number here"):
        _ = auto.data.mixtures_per_batch


class Card:
    total_memory = 6 * GIB


def test_a_gpu_is_asked_itself_and_a_profile_counts_only_for_the_plan(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, trainer=TrainerConfig(gpu_gb=24, accelerator=Accelerator.gpu, devices=2))
    assert (room_of_profile(config).size, room_of_profile(config).gpu) == (24 * GIB, True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Card)
    assert (room_here(config).size, room_here(config).precision) == (6 * GIB, Precision.fp16)
    on_cpu = replace(config, trainer=replace(config.trainer, accelerator=Accelerator.cpu, gpu_gb=0))
    assert (room_here(on_cpu).precision, room_here(on_cpu).gpu) == (Precision.fp32, False)
    assert room_of_profile(on_cpu).size == room_here(on_cpu).size


def test_a_cpu_computes_in_bfloat16_only_if_both_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = TrainerConfig(accelerator=Accelerator.cpu, precision=Precision.bf16)
    assert pick_precision(asked) is Precision.bf16
    assert pick_precision(replace(asked, accelerator=Accelerator.auto)) is Precision.fp32
    assert pick_precision(replace(asked, precision=Precision.fp16)) is Precision.fp32


def test_only_a_gpu_that_is_too_small_is_warned_of(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    fits = room_for(config, 2)
    small = room_for(config, 1)
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        for room in (fits, small, replace(small, gpu=False)):
            report_memory(config, room)
    lines = [record.getMessage().split(":")[0] for record in caplog.records]
    assert lines == ["memory", "memory", "warning", "memory"]


def test_a_run_with_auto_is_stored_with_numbers_and_resumed_on_another_card(
    auto: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convtasnet_lit.training.run.room_here", lambda config: room_for(config, 4))
    train(auto, tmp_path)
    last = tmp_path / "checkpoints" / "last.ckpt"
    stored = checkpoint_config(read_checkpoint(last), last)
    assert (stored["data"]["batch_size"], stored["trainer"]["accumulate_grad_batches"]) == (4, 2)
    monkeypatch.setattr("convtasnet_lit.training.run.room_here", lambda config: room_for(config, 1))
    longer = replace(auto.trainer, max_epochs=3, memory=Memory.checkpoint, gpu_gb=8.0)
    train(replace(auto, trainer=longer, resume=True), tmp_path)
    assert len(pd.read_csv(tmp_path / "history.csv")) == 3
    assert plain(auto)["data"]["batch_size"] == "auto"
    sixteen = replace(auto, trainer=replace(auto.trainer, effective_batch_size=2), resume=True)
    with pytest.raises(InputError, match=r"data\.batch_size: 1, but .* was trained with 4"):
        train(sixteen, tmp_path)


@pytest.mark.parametrize(("model", "segment"), [("tiny", "1s"), ("paper", "4s")])
def test_the_table_in_the_docs_is_what_is_planned(model: str, segment: str) -> None:
    config = composed(f"model={model}", f"segment={segment}", "gpu=8gb")
    room = room_of_profile(config)
    step = step_of(config, room.precision)
    needed, largest = plan(step, config.data.mixtures_per_batch).total, largest_batch(step, room.usable)
    assert needed < room.usable
    row = f"| `{model}` | {segment} | {needed / GIB:.2f}, {largest} |"
    assert row in (CONF_DIR.parent / "docs" / "memory.md").read_text(encoding="utf-8")
