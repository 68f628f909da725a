"""SI-SDR and permutation-invariant training.

SI-SDR: Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 5, with zero-mean signals.
PIT: Yu et al., "Permutation invariant training of deep models for speaker-independent multi-talker speech
separation", ICASSP 2017.
"""

from functools import cache
from itertools import permutations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

EPS = 1e-8
SILENT_ENERGY_RATIO = 1e-8  # a source 80 dB under its mixture is silent
SILENCE_FLOOR = 1e-3  # leakage 30 dB under the mixture is as good as silence: no gradient is spent below it
SNR_FLOOR = 1e-3  # of the counting loss, and of SI-SDR in mixtures with a silent source: 30 dB
COUNTING_SILENCE_FLOOR = 1e-2  # 20 dB; at 30 dB ReLU masks of all outputs but one had become zero after one epoch
EXHAUSTIVE_UP_TO = 5  # sources; 5! = 120 permutations are one gather, and a GPU need not wait for the CPU


def si_sdr(estimates: Tensor, sources: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of zero-mean signals.

    Args:
        estimates: (..., samples).
        sources: (..., samples), none of them silent; see `si_sdr_or_leakage`.

    Returns:
        Decibels, (...), in float32 or better, also under autocast; -80 for a silent or constant estimate.

    Example:
        >>> source = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> round(si_sdr(3 * source + torch.tensor([0.3, 0.3, -0.3, -0.3]), source).item(), 3)
        20.0
    """
    return _si_sdr(_zero_mean(estimates), _zero_mean(sources))


def si_sdr_or_leakage(estimates: Tensor, sources: Tensor) -> Tensor:
    """SI-SDR where a source sounds; where it is silent, how far its estimate lies under the mixture.

    A silent source has no SI-SDR: the usual formula gives a constant without a gradient, or NaN. Here its estimate is
    asked to be silent too: the value is 10 log10(|mixture|^2 / (|estimate|^2 + 0.001 |mixture|^2)), which is 30 dB for
    a silent estimate, 0 dB for one as loud as the mixture, and always has a gradient towards silence above the floor.
    The mixture here is that of the speakers: noise is not counted, because its level says nothing of a leak.

    The SI-SDR of the other sources of such a mixture ends softly at 30 dB: the error counts as 0.001 of the scaled
    source's energy more than it has. A lone speaker is the mixture itself, and would otherwise be worth ever more, with
    a gradient ever larger. Mixtures in which all sources sound have the SI-SDR itself.

    Args:
        estimates: (batch, sources, samples), in the sources' order.
        sources: (batch, sources, samples); their sum is the speakers' mixture.

    Returns:
        Decibels, (batch, sources).
    """
    return _si_sdr_or_leakage(_zero_mean(estimates), _zero_mean(sources))


def pairwise_si_sdr(estimates: Tensor, sources: Tensor) -> Tensor:
    """SI-SDR of every estimate against every source, and every estimate's leakage where a source is silent.

    It comes from one matrix of inner products and serves to choose the permutation that makes the loss lowest; its
    values lose precision above 50 dB, so the loss is not read from it.

    Args:
        estimates: (batch, sources, samples).
        sources: (batch, sources, samples).

    Returns:
        Decibels, (batch, source, estimate).
    """
    return _pairwise_si_sdr(_zero_mean(estimates), _zero_mean(sources))


def is_silent(sources: Tensor) -> Tensor:
    """Tell which sources are silent: 80 dB or more under their mixture, or absent.

    Args:
        sources: (batch, sources, samples); their sum is the speakers' mixture.

    Returns:
        Booleans, (batch, sources).

    Example:
        >>> is_silent(torch.tensor([[[0.1, -0.1], [0.0, 0.0]]]))
        tensor([[False,  True]])
    """
    sources = _zero_mean(sources)
    return _silent(_energy(sources), _mixture_energy(sources))


def best_permutation(scores: Tensor) -> Tensor:
    """Assign each source the estimate that makes the mean score highest.

    Args:
        scores: (batch, source, estimate), higher is better.

    Returns:
        For each source the index of its estimate, (batch, source).

    Example:
        >>> best_permutation(torch.tensor([[[0.0, 9.0], [8.0, 1.0]]]))
        tensor([[1, 0]])
    """
    scores = scores.nan_to_num()  # an overflow of fp16 is the gradient scaler's to skip, and not to stop at here
    count = scores.shape[-1]
    if count > EXHAUSTIVE_UP_TO:
        rows = [linear_sum_assignment(matrix, maximize=True)[1] for matrix in scores.cpu().numpy()]
        return torch.stack([torch.from_numpy(row) for row in rows]).to(scores.device)
    orders = _orders(count, scores.device)  # (orders, source)
    by_order = scores[:, torch.arange(count, device=scores.device), orders].sum(-1)  # (batch, orders)
    return orders[by_order.argmax(-1)]


def in_source_order(estimates: Tensor, sources: Tensor) -> Tensor:
    """Put the estimates in the order of the sources they fit best.

    Args:
        estimates: (batch, sources, samples).
        sources: (batch, sources, samples).

    Returns:
        The same estimates, (batch, sources, samples), differentiable.
    """
    with torch.no_grad():
        order = best_permutation(pairwise_si_sdr(estimates, sources))
    return _in_order(estimates, order)


def pit_loss(estimates: Tensor, sources: Tensor) -> Tensor:
    """Negative SI-SDR of the best permutation, averaged over batch and sources.

    Args:
        estimates: (batch, sources, samples).
        sources: (batch, sources, samples).

    Returns:
        Decibels, a scalar.
    """
    estimates, sources = _zero_mean(estimates), _zero_mean(sources)
    with torch.no_grad():
        order = best_permutation(_pairwise_si_sdr(estimates, sources))
    return -_si_sdr_or_leakage(_in_order(estimates, order), sources).mean()


def counting_pit_loss(estimates: Tensor, sources: Tensor) -> Tensor:
    """Negative SNR of the best permutation, up to 30 dB: for mixtures of different numbers of speakers.

    SI-SDR leaves the scale open: an output that is often not needed can always be so soft that it passes for silent,
    at no cost where a speaker is in it, and then the outputs' energy tells nothing. SNR asks for the source itself.
    It is capped at 30 dB, because a lone speaker, who is the mixture, would otherwise be worth ever more, and its
    gradient ever larger. A silent source's value is the leakage of its estimate, as in `si_sdr_or_leakage`, but is
    capped at 20 dB.
    Source: Wisdom et al., "What's all the FUSS about free universal sound separation data?", ICASSP 2021.

    Args:
        estimates: (batch, sources, samples).
        sources: (batch, sources, samples), some of them perhaps silent.

    Returns:
        Decibels, a scalar.

    Example:
        >>> lone = torch.tensor([[[0.3, -0.3], [0.0, 0.0]]])
        >>> round(counting_pit_loss(lone.flip(1), lone).item(), 3)
        -25.0
    """
    estimates, sources = _zero_mean(estimates), _zero_mean(sources)
    with torch.no_grad():
        pairs = [_snr(estimates[:, [i]], sources) for i in range(estimates.shape[1])]  # (batch, sources) each
        order = best_permutation(torch.stack(pairs, -1))
    return -_snr(_in_order(estimates, order), sources).mean()


# The same for signals whose mean is zero already: taking it off again would be a third of the loss's time.


def _si_sdr(estimates: Tensor, sources: Tensor, floor: Tensor | float = 0.0) -> Tensor:
    """SI-SDR, its error raised by a share of the scaled source's energy."""
    source_energy = _energy(sources)
    scale = (estimates * sources).sum(-1) / (source_energy + EPS)
    noise = estimates - scale.unsqueeze(-1) * sources
    target = scale.square() * source_energy
    return _decibels(target, _energy(noise) + floor * target)


def _snr(estimates: Tensor, sources: Tensor) -> Tensor:
    """SNR up to 30 dB, and how far an estimate lies under the mixture, up to 20 dB, where its source is silent."""
    energy, mixture = _energy(sources), _mixture_energy(sources)
    silent = _silent(energy, mixture)
    reference = torch.where(silent, mixture, energy)
    floor = torch.where(silent, COUNTING_SILENCE_FLOOR, SNR_FLOOR) * reference
    return 10 * torch.log10(reference / (_energy(estimates - sources) + floor))


def _si_sdr_or_leakage(estimates: Tensor, sources: Tensor) -> Tensor:
    mixture = _mixture_energy(sources)
    silent, leakage = _silent(_energy(sources), mixture), _leakage(_energy(estimates), mixture)
    return torch.where(silent, leakage, _si_sdr(estimates, sources, _floor(silent)))


def _pairwise_si_sdr(estimates: Tensor, sources: Tensor) -> Tensor:
    source_energy, estimate_energy = _energy(sources).unsqueeze(2), _energy(estimates).unsqueeze(1)
    with torch.autocast(estimates.device.type, enabled=False):
        inner = sources @ estimates.mT  # (batch, source, estimate)
    target = inner.square() / (source_energy + EPS)
    noise = (estimate_energy - target).clamp(min=0)
    mixture = _mixture_energy(sources).unsqueeze(2)
    silent = _silent(source_energy, mixture)
    ratio = _decibels(target, noise + _floor(silent) * target)
    return torch.where(silent, _leakage(estimate_energy, mixture), ratio)


def _decibels(target: Tensor, noise: Tensor) -> Tensor:
    """A ratio of energies, -80 dB where there is no target: a silent estimate must not pass for one of 0 dB."""
    return 10 * torch.log10(target / (noise + EPS) + SILENT_ENERGY_RATIO)


def _mixture_energy(sources: Tensor) -> Tensor:
    return _energy(sources.sum(1)).unsqueeze(1) + EPS  # (batch, 1)


def _silent(source_energy: Tensor, mixture_energy: Tensor) -> Tensor:
    return source_energy < SILENT_ENERGY_RATIO * mixture_energy


def _floor(silent: Tensor) -> Tensor:
    """The share of a source's energy that its error has at least: none where all sources of its mixture sound."""
    return SNR_FLOOR * silent.any(1, keepdim=True)


def _leakage(estimate_energy: Tensor, mixture_energy: Tensor) -> Tensor:
    return 10 * torch.log10(mixture_energy / (estimate_energy + SILENCE_FLOOR * mixture_energy))


def _in_order(estimates: Tensor, order: Tensor) -> Tensor:
    return estimates.gather(1, order.unsqueeze(-1).expand_as(estimates))


@cache
def _orders(count: int, device: torch.device) -> Tensor:
    """All permutations, (orders, source), sent to a device once."""
    return torch.tensor(list(permutations(range(count))), device=device)


def _zero_mean(x: Tensor) -> Tensor:
    x = x if x.dtype == torch.float64 else x.float()  # half precision cannot hold an energy
    return x - x.mean(-1, keepdim=True)


def _energy(x: Tensor) -> Tensor:
    return x.square().sum(-1)
