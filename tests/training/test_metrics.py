"""The metrics against mir_eval, torchmetrics and known signals."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from mir_eval.separation import bss_eval_sources
from torch._subclasses import FakeTensorMode
from torchmetrics.functional.audio import (
    permutation_invariant_training,
    scale_invariant_signal_distortion_ratio,
    signal_distortion_ratio,
)

from convtasnet_lit.errors import InputError
from convtasnet_lit.training.metrics import NAMES, SeparationMetrics, _in_float64, separation_scores


def speechlike(*shape: int) -> torch.Tensor:
    """Noise with a speech-like slope and pauses: white noise would not show a filter's effect."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(*shape, generator=generator)
    noise = noise.cumsum(-1) - 0.98 * noise.cumsum(-1).roll(1, -1)
    return noise * (torch.rand(*shape[:-1], shape[-1] // 800, generator=generator) > 0.3).repeat_interleave(800, -1)


@pytest.fixture
def separated() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    sources = speechlike(2, 2, 8000)
    mixture = sources.sum(1)
    return (0.5 * sources + 0.1 * sources.flip(1) + 0.02 * speechlike(2, 2, 8000)).flip(1), sources, mixture


def test_sdr_is_there_after_threads_were_set() -> None:
    code = (
        "import torch; from convtasnet_lit.training.metrics import separation_scores; torch.set_num_threads(2); "
        "s = torch.randn(1, 2, 4000); print(separation_scores(['sdr'], s, s, s.sum(1), 8000)['sdr'].item() > 50)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


def test_sdr_equals_mir_eval_and_torchmetrics(separated: tuple[torch.Tensor, ...]) -> None:
    estimates, sources, mixture = separated
    ours = separation_scores(["sdr"], estimates, sources, mixture, 8000)["sdr"]
    theirs, _ = permutation_invariant_training(estimates, sources, signal_distortion_ratio)
    torch.testing.assert_close(ours, theirs.float(), atol=1e-3, rtol=0)
    for b in range(2):
        with np.errstate(all="ignore"), pytest.warns(FutureWarning):
            expected, *_ = bss_eval_sources(sources[b].numpy(), estimates[b].numpy())
        assert ours[b].item() == pytest.approx(expected.mean(), abs=0.01)


def test_si_sdr_is_not_sdr(separated: tuple[torch.Tensor, ...]) -> None:
    _, sources, mixture = separated
    delayed = sources.roll(3, -1)  # a filter makes up for a delay, a gain does not
    scores = separation_scores(["si_sdr", "sdr"], delayed, sources, mixture, 8000)
    assert (scores["sdr"] > scores["si_sdr"] + 20).all()


def test_improvements_are_over_the_mixture(separated: tuple[torch.Tensor, ...]) -> None:
    estimates, sources, mixture = separated
    scores = separation_scores(["si_sdr", "si_sdri", "sdr", "sdri"], estimates, sources, mixture, 8000)
    mixtures = mixture.unsqueeze(1).expand_as(sources)
    before = scale_invariant_signal_distortion_ratio(mixtures, sources, zero_mean=True).mean(-1)
    torch.testing.assert_close(scores["si_sdri"], scores["si_sdr"] - before, atol=1e-3, rtol=0)
    before = signal_distortion_ratio(mixtures, sources).mean(-1).float()
    torch.testing.assert_close(scores["sdri"], scores["sdr"] - before, atol=1e-3, rtol=0)


def test_a_known_leak_has_the_known_figure() -> None:
    sources = torch.linalg.qr(torch.randn(8000, 2)).Q.T.unsqueeze(0)  # orthogonal, equal energy
    sources = sources - sources.mean(-1, keepdim=True)
    estimates = sources + 10 ** (-19.92 / 20) * sources.flip(1)
    assert separation_scores(["si_sdr"], estimates, sources, sources.sum(1), 8000)["si_sdr"].item() == pytest.approx(
        19.92, abs=0.05
    )


def test_pesq_and_stoi_rise_with_quality(separated: tuple[torch.Tensor, ...]) -> None:
    _, sources, mixture = separated
    names = ["pesq", "stoi"]
    good = separation_scores(names, sources + 0.01 * sources.flip(1), sources, mixture, 8000)
    bad = separation_scores(names, sources + 0.9 * sources.flip(1), sources, mixture, 8000)
    assert (good["stoi"] > bad["stoi"]).all()
    assert (good["pesq"] >= bad["pesq"]).all()


def with_absent(x: torch.Tensor, level: float = 0.0) -> torch.Tensor:
    """One more source: silence, or noise of a level."""
    noise = level * torch.randn(x.shape[0], 1, x.shape[-1], generator=torch.Generator().manual_seed(8))
    return torch.cat((x, noise), 1)


@pytest.mark.parametrize("leakage", [0.0, 1e-3])
def test_absent_sources_change_no_score_of_the_present_ones(
    leakage: float, separated: tuple[torch.Tensor, ...]
) -> None:
    estimates, sources, mixture = separated
    names = list(NAMES)
    expected = separation_scores(names, estimates, sources, mixture, 8000)
    found = separation_scores(names, with_absent(estimates, leakage), with_absent(sources), mixture, 8000)
    for name in names:
        torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=0)


def test_a_lone_speaker_has_scores_but_no_improvement(separated: tuple[torch.Tensor, ...]) -> None:
    estimates, sources, mixture = separated
    sources, mixture = sources.clone(), mixture.clone()
    sources[1, 1] = 0
    mixture[1] = sources[1, 0]
    names = ["si_sdr", "sdr", "si_sdri", "sdri"]
    scores = separation_scores(names, estimates, sources, mixture, 8000)
    assert all(scores[name].isfinite().all() for name in ("si_sdr", "sdr"))
    assert all(scores[name].isnan().tolist() == [False, True] for name in ("si_sdri", "sdri"))
    metrics = SeparationMetrics(names, 8000)
    metrics.update(estimates, sources, mixture)
    means = metrics.compute()
    assert means["si_sdri"] == scores["si_sdri"][0]  # over the mixtures that can be improved
    assert means["si_sdr"] == pytest.approx(scores["si_sdr"].mean().item(), abs=1e-5)


def test_silence_has_no_score() -> None:
    silence = torch.zeros(1, 2, 800)
    scores = separation_scores(["si_sdr", "sdr"], silence, silence, silence.sum(1), 8000)
    assert all(value.isnan().all() for value in scores.values())


def scored(estimates: torch.Tensor, sources: torch.Tensor) -> dict[str, float]:
    scores = separation_scores(NAMES, estimates, sources, sources.sum(1), 8000)
    return {name: value.item() for name, value in scores.items()}


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_estimates_that_are_silent_or_constant_have_the_lowest_scores(level: float) -> None:
    sources = speechlike(1, 2, 16000)
    dead = scored(torch.full_like(sources, level), sources)
    mixed = scored(sources.sum(1, keepdim=True).expand_as(sources), sources)
    assert dead["si_sdri"] == pytest.approx(-80 - mixed["si_sdr"])
    assert dead["si_sdr"] == pytest.approx(-80)
    assert -80 <= dead["sdr"] < (0 if level else -79.99)  # 512 taps make something of a constant
    assert dead["pesq"] == pytest.approx(1.0, abs=0.1)
    assert dead["stoi"] < (0.3 if level else 0.01)
    assert np.isfinite(list(dead.values())).all()


def test_one_silent_output_is_worth_less_than_noise() -> None:
    sources = speechlike(1, 2, 16000)
    silent, noisy = sources.clone(), sources.clone()
    silent[:, 1] = 0
    noisy[:, 1] = torch.randn(16000, generator=torch.Generator().manual_seed(2))
    lost, poor = scored(silent, sources), scored(noisy, sources)
    assert np.isfinite(list(lost.values())).all()
    assert lost["si_sdr"] == pytest.approx((80 - 80) / 2, abs=1e-4)
    assert all(lost[name] < poor[name] for name in ("si_sdr", "sdr", "si_sdri", "sdri"))


def test_perfect_estimates_have_finite_scores_of_80_db() -> None:
    sources = speechlike(1, 2, 16000)
    perfect = scored(sources.flip(1), sources)
    assert np.isfinite(list(perfect.values())).all()
    assert (perfect["si_sdr"], perfect["sdr"]) == (pytest.approx(80), pytest.approx(80))


@pytest.mark.parametrize("scale", [1e-6, 1e6, 1e18])
def test_no_scale_of_the_estimates_changes_a_score(scale: float, separated: tuple[torch.Tensor, ...]) -> None:
    estimates, sources, mixture = separated
    names = ["si_sdr", "si_sdri"]
    expected = separation_scores(names, estimates, sources, mixture, 8000)
    found = separation_scores(names, scale * estimates, sources, mixture, 8000)
    for name in names:
        torch.testing.assert_close(found[name], expected[name], atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [1e-25, 1e-8, 1e-3, 1e3, 1e18])
def test_no_scale_of_the_estimates_changes_pesq_or_sdr(scale: float) -> None:
    sources = 0.05 * speechlike(1, 2, 8000)
    estimates = sources + 0.3 * sources.flip(1)
    expected, found = scored(estimates, sources), scored(scale * estimates, sources)
    assert found["pesq"] == pytest.approx(expected["pesq"], abs=0.01)
    assert found["sdr"] == pytest.approx(expected["sdr"], abs=1e-3)


def test_what_is_too_short_for_pesq_or_stoi_has_no_score() -> None:
    sources = 0.05 * speechlike(1, 2, 1600)
    scores = separation_scores(["pesq", "stoi", "si_sdr"], sources, sources, sources.sum(1), 8000)
    assert [bool(score.isnan()) for score in scores.values()] == [True, True, False]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_estimate_that_is_not_finite_makes_every_mean_nan(bad: float, separated: tuple[torch.Tensor, ...]) -> None:
    estimates, sources, mixture = separated
    estimates = estimates.clone()
    estimates[1, 0, 5] = bad
    scores = separation_scores(NAMES, estimates, sources, mixture, 8000)
    assert all(value.isnan().tolist() == [False, True] for value in scores.values())
    metrics = SeparationMetrics(NAMES, 8000)
    metrics.update(estimates, sources, mixture)
    assert all(mean.isnan() for mean in metrics.compute().values())


def test_metrics_need_no_float64_of_their_device() -> None:
    metrics = SeparationMetrics(["si_sdr"], 8000)
    assert all(state.dtype == torch.float32 for state in (metrics.total, metrics.count))
    with FakeTensorMode():
        moved = _in_float64(torch.zeros(3, device="mps"))
    assert (moved.device.type, moved.dtype) == ("cpu", torch.float64)


@pytest.mark.parametrize("name", ["pesq", "stoi"])
def test_a_missing_package_is_named_in_one_line(
    name: str, separated: tuple[torch.Tensor, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, {"stoi": "pystoi"}.get(name, name), None)
    with pytest.raises(InputError, match=r"pip install 'convtasnet_lit\[metrics\]'"):
        separation_scores([name], *separated, 8000)


@pytest.mark.parametrize("names", [["sdri"], ["si_sdr", "sdr", "si_sdri"], ["stoi", "si_sdr"]])
def test_any_subset_in_any_order(names: list[str], separated: tuple[torch.Tensor, ...]) -> None:
    assert list(separation_scores(names, *separated, 8000)) == names


def test_the_mean_counts_mixtures_not_batches(separated: tuple[torch.Tensor, ...]) -> None:
    estimates, sources, mixture = separated
    metrics = SeparationMetrics(["si_sdr", "sdri"], 8000)
    metrics.update(estimates, sources, mixture)
    metrics.update(estimates[:1], sources[:1], mixture[:1])
    scores = separation_scores(["si_sdr", "sdri"], estimates, sources, mixture, 8000)
    for name, value in metrics.compute().items():
        assert value.item() == pytest.approx(((scores[name].sum() + scores[name][0]) / 3).item(), abs=1e-5)


def test_an_unknown_name_is_refused(separated: tuple[torch.Tensor, ...]) -> None:
    with pytest.raises(ValueError, match=f"{', '.join(NAMES)}, not snr"):
        separation_scores(["snr"], *separated, 8000)
