"""The losses against torchmetrics, a numpy formula and properties of the signals."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from torchmetrics.functional.audio import (
    permutation_invariant_training,
    scale_invariant_signal_distortion_ratio,
    signal_noise_ratio,
)

from convtasnet_lit.training.losses import (
    best_permutation,
    counting_pit_loss,
    in_source_order,
    pairwise_si_sdr,
    pit_loss,
    si_sdr,
    si_sdr_or_leakage,
)


def noisy(db: float, samples: int = 8000, sources: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates at about the given SI-SDR, and their sources."""
    generator = torch.Generator().manual_seed(3)
    clean = torch.randn(4, sources, samples, generator=generator) * 0.05
    noise = torch.randn(4, sources, samples, generator=generator) * 0.05 * 10 ** (-db / 20)
    return clean + noise, clean


def numpy_si_sdr(estimate: np.ndarray, source: np.ndarray) -> float:
    estimate, source = (x.astype(np.float64) - x.astype(np.float64).mean() for x in (estimate, source))
    target = (estimate @ source) / (source @ source) * source
    return float(10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target))))


@pytest.mark.parametrize("db", [-20.0, 0.0, 15.0, 40.0])
def test_si_sdr_equals_torchmetrics_and_the_formula(db: float) -> None:
    estimates, sources = noisy(db)
    estimates = 0.3 * estimates + 0.02  # neither scale nor offset counts
    ours = si_sdr(estimates, sources)
    # in float64, because its own epsilon of 1.2e-7 costs 0.003 dB at 40 dB in float32
    theirs = scale_invariant_signal_distortion_ratio(estimates.double(), sources.double(), zero_mean=True)
    torch.testing.assert_close(ours, theirs.float(), atol=1e-3, rtol=0)
    expected = numpy_si_sdr(estimates[1, 0].numpy(), sources[1, 0].numpy())
    assert ours[1, 0].item() == pytest.approx(expected, abs=1e-3)


def test_the_matrix_holds_every_pair() -> None:
    estimates, sources = noisy(10.0, sources=3)
    matrix = pairwise_si_sdr(estimates, sources)
    for source in range(3):
        for estimate in range(3):
            expected = si_sdr(estimates[:, estimate], sources[:, source])
            torch.testing.assert_close(matrix[:, source, estimate], expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7])
def test_the_permutation_is_the_best_of_all(count: int) -> None:
    scores = torch.randn(6, count, count, generator=torch.Generator().manual_seed(count))
    chosen = best_permutation(scores)
    for matrix, order in zip(scores, chosen, strict=True):
        means = [matrix[range(count), list(p)].mean() for p in permutations(range(count))]
        assert matrix[range(count), order].mean() == max(means)


@pytest.mark.parametrize("sources", [2, 3, 5])
def test_pit_equals_torchmetrics(sources: int) -> None:
    estimates, clean = noisy(5.0, sources=sources)
    mixed_up = estimates[:, torch.randperm(sources)]
    theirs, _ = permutation_invariant_training(mixed_up, clean, scale_invariant_signal_distortion_ratio, zero_mean=True)
    assert pit_loss(mixed_up, clean).item() == pytest.approx(-theirs.mean().item(), abs=1e-3)


@pytest.mark.parametrize("count", [2, 5])
def test_an_overflow_does_not_stop_the_matching(count: int) -> None:
    scores = torch.randn(2, count, count)
    scores[0, 0, 0], scores[0, 1, 0] = float("nan"), float("inf")
    assert (best_permutation(scores).sort().values == torch.arange(count)).all()


def test_the_order_of_the_estimates_does_not_matter() -> None:
    estimates, sources = noisy(3.0)
    assert pit_loss(estimates.flip(1), sources) == pit_loss(estimates, sources)
    assert torch.equal(in_source_order(estimates.flip(1), sources), estimates)


def test_a_silent_source_has_a_finite_value_and_a_gradient_towards_silence() -> None:
    estimates, sources = noisy(10.0)
    sources[:, 1] = 0
    estimates = estimates.clone().requires_grad_()
    loss = pit_loss(estimates, sources)
    loss.backward()
    assert loss.isfinite()
    assert estimates.grad is not None and estimates.grad.isfinite().all()
    quieter = estimates.detach().clone()
    quieter[:, 1] *= 0.5
    assert pit_loss(quieter, sources) < loss
    assert (estimates.grad[:, 1] * estimates[:, 1]).sum() > 0  # going down the gradient makes it quieter


def test_a_silent_estimate_of_a_silent_source_is_worth_30_db() -> None:
    _, sources = noisy(10.0)
    sources[:, 1] = 0
    values = si_sdr_or_leakage(torch.stack((sources[:, 0], torch.zeros_like(sources[:, 1])), 1), sources)
    torch.testing.assert_close(values[:, 1], torch.full((4,), 30.0), atol=1e-3, rtol=0)
    loud = si_sdr_or_leakage(torch.stack((sources[:, 0], sources[:, 0]), 1), sources)
    torch.testing.assert_close(loud[:, 1], torch.zeros(4), atol=0.01, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1.0])
def test_all_silent_and_all_zero_stay_finite(scale: float) -> None:
    estimates = (torch.randn(2, 2, 400) * scale).requires_grad_()
    loss = pit_loss(estimates, torch.zeros(2, 2, 400))
    loss.backward()
    assert loss.isfinite()
    assert estimates.grad is not None and estimates.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0])
def test_the_permutation_has_the_lowest_loss_where_sources_are_silent(scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    sources = torch.randn(1, 3, 800, generator=generator)
    sources[:, 1:] = 0
    estimates = torch.randn(1, 3, 800, generator=generator) * torch.tensor([[[1e-3], [0.1], [scale]]])
    estimates[:, 2] += scale * sources[:, 0]  # right but for its scale, and soft enough to pass for silent
    orders = [estimates[:, list(order)] for order in permutations(range(3))]
    lowest = min(-si_sdr_or_leakage(ordered, sources).mean().item() for ordered in orders)
    assert pit_loss(estimates, sources).item() == pytest.approx(lowest, abs=1e-3)


def test_the_counting_loss_is_the_snr_where_all_sound() -> None:
    estimates, sources = noisy(10.0, sources=3)
    estimates, sources = estimates.double(), sources.double()
    expected = -signal_noise_ratio(estimates, sources, zero_mean=True).mean().item()
    assert counting_pit_loss(estimates.flip(1), sources).item() == pytest.approx(expected, abs=0.05)  # it ends at 30 dB
    assert counting_pit_loss(sources.flip(1), sources).item() == pytest.approx(-30.0, abs=1e-3)


def test_the_counting_loss_asks_for_the_scale_and_for_silence() -> None:
    _, sources = noisy(10.0)
    sources[:2, 1] = 0  # half of the batch
    right = counting_pit_loss(sources, sources)
    assert right.item() == pytest.approx(-(6 * 30 + 2 * 20) / 8, abs=1e-3)  # two of eight sources are silent
    assert counting_pit_loss(0.5 * sources, sources) > right + 3
    assert counting_pit_loss(sources + 0.1 * sources.flip(1), sources) > right + 3


def test_a_lone_speaker_who_is_nearly_right_pulls_no_more() -> None:
    _, sources = noisy(0.0)
    sources[:, 1] = 0

    def pull(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], db: float) -> float:
        noise = torch.randn(sources.shape, generator=torch.Generator().manual_seed(4)) * 0.05 * 10 ** (-db / 20)
        estimates = (sources + noise).requires_grad_()
        return torch.autograd.grad(loss(estimates, sources), estimates)[0].square().sum().sqrt().item()

    for loss in (counting_pit_loss, pit_loss):
        assert pull(loss, 70.0) < 0.1 * pull(loss, 30.0)
    sources[:, 1] = sources[:, 0].flip(-1)
    assert pull(pit_loss, 70.0) > 10 * pull(pit_loss, 30.0)  # where all sound, SI-SDR has no end


def test_beside_a_silent_source_the_others_are_worth_30_db_at_most_at_any_scale() -> None:
    _, sources = noisy(0.0, sources=3)
    sources[:2, 2] = 0
    silent = torch.zeros_like(sources[:, 0])
    for scale in (0.1, 1.0, 30.0):
        estimates = torch.stack((scale * sources[:, 0], scale * sources[:, 1], silent), 1)
        values = si_sdr_or_leakage(estimates, sources)
        torch.testing.assert_close(values[:2], torch.full((2, 3), 30.0), atol=1e-3, rtol=0)
        assert (values[2:, :2] > 60).all()  # in these all sound


def test_far_from_the_end_a_lone_speaker_has_his_si_sdr() -> None:
    estimates, sources = noisy(10.0)
    sources[:, 1] = 0
    values = si_sdr_or_leakage(estimates, sources)[:, 0]
    torch.testing.assert_close(values, si_sdr(estimates, sources)[:, 0], atol=0.05, rtol=0)


@pytest.mark.parametrize("db", [10.0, 60.0])
def test_where_all_sound_the_loss_is_si_sdr_to_the_last_bit(db: float) -> None:
    estimates, sources = noisy(db)
    zero_mean = sources - sources.mean(-1, keepdim=True)

    def plain(estimates: torch.Tensor) -> torch.Tensor:
        centred, energy = estimates - estimates.mean(-1, keepdim=True), zero_mean.square().sum(-1)
        scale = (centred * zero_mean).sum(-1) / (energy + 1e-8)
        noise = (centred - scale.unsqueeze(-1) * zero_mean).square().sum(-1)
        return -(10 * torch.log10(scale.square() * energy / (noise + 1e-8) + 1e-8)).mean()

    losses, gradients = [], []
    for loss in (plain, lambda estimates: pit_loss(estimates, sources)):
        leaf = estimates.clone().requires_grad_()
        losses.append(loss(leaf))
        gradients.append(torch.autograd.grad(losses[-1], leaf)[0])
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(gradients[0], gradients[1])


def test_a_silent_estimate_is_worse_than_any_other() -> None:
    estimates, sources = noisy(-20.0)
    assert pit_loss(torch.zeros_like(sources), sources).item() == pytest.approx(80, abs=0.1)
    assert pit_loss(torch.full_like(sources, 0.3), sources) > pit_loss(estimates, sources)


def test_autocast_keeps_the_loss_in_float32() -> None:
    estimates, sources = noisy(30.0)
    with torch.autocast("cpu", torch.bfloat16):
        inside = pit_loss(estimates, sources)
    assert inside.dtype == torch.float32
    assert inside == pit_loss(estimates, sources)
