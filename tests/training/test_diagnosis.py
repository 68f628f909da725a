"""The report's five checks: each passes on a sound set-up and fails on the fault it is there for."""

from dataclasses import replace

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from convtasnet_lit.config import Config, ScheduleConfig, ScheduleName
from convtasnet_lit.mixing.dataset import Mixture
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.training import diagnosis
from convtasnet_lit.training.diagnosis import (
    check_learning,
    check_masks,
    check_metrics,
    check_normalization,
    check_schedule,
    diagnose,
)


def network(mask: str = "relu", norm: str = "gLN", encoder: str = "linear") -> ConvTasNet:
    torch.manual_seed(0)
    return ConvTasNet(2, 16, 40, 8, 12, 8, 3, 2, 1, norm, encoder_activation=encoder, mask_activation=mask)


def test_a_sound_run_passes_all_five(config: Config) -> None:
    findings = list(diagnose(config, "cpu"))
    names = ["model structure", "data normalization", "metrics", "optimizer and schedule", "complete flow"]
    assert [finding.name for finding in findings] == names
    assert all(finding.passed for finding in findings), findings


def test_a_sound_run_on_mixed_numbers_of_speakers_passes_all_five(config: Config) -> None:
    mixed = replace(config, data=replace(config.data, num_speakers=3, fewest_speakers=1, batch_size=3))
    findings = list(diagnose(mixed, "cpu"))
    assert all(finding.passed for finding in findings), findings
    assert "nan" not in "".join(finding.figure for finding in findings)


@pytest.mark.parametrize("mask", ["sigmoid", "softmax"])
def test_a_mask_that_cannot_amplify_fails(mask: str) -> None:
    finding = check_masks(network(mask), torch.randn(1, 4000))
    assert not finding.passed
    assert "model.mask_activation=relu" in finding.advice


def test_loud_mixtures_fail_where_the_network_hears_the_level() -> None:
    hears = network(norm="BN")
    assert not check_normalization(torch.randn(4, 8000), hears).passed
    assert check_normalization(torch.randn(4, 8000) * 0.056234, hears).passed
    loud = check_normalization(torch.randn(4, 8000), network())
    assert loud.passed
    assert "ignores the level: its gLN divides it out" in loud.figure


def test_a_silent_batch_fails_the_metrics() -> None:
    assert not check_metrics(torch.zeros(1, 2, 8000), 8000).passed


def test_both_schedules_fall(config: Config) -> None:
    assert "0.0005 after 5 epochs at -10 or 0 or 1 dB" in check_schedule(network(), config).figure
    cosine = replace(config, schedule=ScheduleConfig(name=ScheduleName.warmup_cosine))
    assert check_schedule(network(), cosine).passed


def test_a_schedule_that_stands_still_at_negative_losses_fails(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    relative = lambda optimizer, *_: ReduceLROnPlateau(optimizer, "min", 0.5, 3)  # noqa: E731
    monkeypatch.setattr(diagnosis, "halving", relative)
    assert not check_schedule(network(), config).passed


def test_a_rate_that_teaches_nothing_fails(config: Config) -> None:
    batch = Mixture(torch.randn(2, 3, 4000) * 0.05)
    still = replace(config, optimizer=replace(config.optimizer, lr=1e-9))
    assert not check_learning(network(), batch, still).passed
