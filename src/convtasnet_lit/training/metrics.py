"""What a separation is worth: SI-SDR, SDR, their improvements over the mixture, PESQ and STOI.

SI-SDR and SDR are two measures. SI-SDR (Le Roux et al., 2019) allows the source one gain; SDR (BSS-eval, Vincent et
al., 2006) allows it a filter of 512 taps, and is computed in float64, where its linear system is stable.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.audio import signal_distortion_ratio

from convtasnet_lit.errors import InputError
from convtasnet_lit.training.losses import in_source_order, is_silent, si_sdr

NAMES = ("si_sdr", "sdr", "si_sdri", "sdri", "pesq", "stoi")


def separation_scores(
    names: Sequence[str], estimates: Tensor, sources: Tensor, mixture: Tensor, sample_rate: int
) -> dict[str, Tensor]:
    """Score separated mixtures, each estimate against the source it fits best; silent sources have no score.

    Args:
        names: Any of `si_sdr`, `sdr`, `si_sdri`, `sdri`, `pesq`, `stoi`.
        estimates: (batch, sources, samples).
        sources: (batch, sources, samples).
        mixture: (batch, samples).
        sample_rate: Hz; PESQ knows 8000 and 16000.

    Returns:
        For each name the mean over a mixture's sources that sound, (batch,); decibels, except PESQ (MOS) and STOI (0
        to 1). NaN where there is none: a mixture of one speaker, which is that source, cannot be improved.

    Raises:
        InputError: A metric's package is missing, or PESQ does not know the rate.
        ValueError: An unknown name.
    """
    unknown = set(names) - set(NAMES)
    if unknown:
        raise ValueError(f"metrics must be of {', '.join(NAMES)}, not {', '.join(sorted(unknown))}")
    present = ~is_silent(sources)  # (batch, sources)
    several = present.sum(1, keepdim=True).expand_as(present)[present] > 1
    pair = in_source_order(estimates, sources)[present], sources[present]  # (present, samples) each
    before = mixture.unsqueeze(1).expand_as(sources)[present], sources[present]
    scores: dict[str, Tensor] = {}
    if {"si_sdr", "si_sdri"} & set(names):
        scores["si_sdr"] = si_sdr(*pair)
        scores["si_sdri"] = (scores["si_sdr"] - si_sdr(*before)).where(several, torch.nan)
    if {"sdr", "sdri"} & set(names):
        scores["sdr"] = _sdr(*pair)
    if "sdri" in names:
        scores["sdri"] = (scores["sdr"] - _sdr(*before)).where(several, torch.nan)
    if "pesq" in names:
        scores["pesq"] = _pesq(*pair, sample_rate)
    if "stoi" in names:
        scores["stoi"] = _stoi(*pair, sample_rate)
    counts = present.sum(1).tolist()
    return {name: torch.stack([part.mean() for part in torch.split(scores[name], counts)]) for name in names}


class SeparationMetrics(Metric):
    """Means of separation scores over the mixtures that have them, each counted once, over all processes.

    Args:
        names: Any of `si_sdr`, `sdr`, `si_sdri`, `sdri`, `pesq`, `stoi`.
        sample_rate: Hz.

    Example:
        >>> metrics = SeparationMetrics(["si_sdr", "si_sdri"], 8000)
        >>> sources = torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(0))
        >>> metrics.update(sources + 0.1 * sources.flip(1), sources, sources.sum(1))
        >>> {name: round(value.item()) for name, value in metrics.compute().items()}
        {'si_sdr': 20, 'si_sdri': 20}
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, names: Sequence[str], sample_rate: int) -> None:
        super().__init__()
        self.names, self.sample_rate = list(names), sample_rate
        self.add_state("total", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, estimates: Tensor, sources: Tensor, mixture: Tensor) -> None:
        """Add a batch: (batch, sources, samples) twice and (batch, samples)."""
        scores = separation_scores(self.names, estimates, sources, mixture, self.sample_rate)
        values = torch.stack([scores[name].double() for name in self.names])
        self.total += values.nansum(1)
        self.count += (~values.isnan()).sum(1)

    def compute(self) -> dict[str, Tensor]:
        """Return the means, by name."""
        return dict(zip(self.names, (self.total / self.count).float(), strict=True))


def _sdr(estimates: Tensor, sources: Tensor) -> Tensor:
    """BSS-eval SDR, (present, samples) twice -> (present,)."""
    # one by one: after torch.set_num_threads(2) a batch hangs on CPUs, see github.com/pytorch/pytorch/issues/141358
    # torchmetrics computes in float64 whatever it is given
    pairs = zip(estimates.double(), sources.double(), strict=True)
    values = [float(signal_distortion_ratio(*pair, load_diag=1e-10)) for pair in pairs]
    return torch.tensor(values, device=sources.device)


def _pesq(estimates: Tensor, sources: Tensor, sample_rate: int) -> Tensor:
    if sample_rate not in (8000, 16000):
        raise InputError(f"metrics: pesq needs data.sample_rate 8000 or 16000, not {sample_rate}")
    try:
        from pesq import PesqError, pesq
    except ImportError as error:
        raise InputError("metrics: pesq needs a package: pip install 'convtasnet_lit[metrics]'") from error
    mode = "wb" if sample_rate == 16000 else "nb"
    pairs = zip(sources.cpu().numpy(), estimates.cpu().numpy(), strict=True)
    values = [pesq(sample_rate, source, estimate, mode, on_error=PesqError.RETURN_VALUES) for source, estimate in pairs]
    lowest = 1.0  # of the scale; an error, given as -1, means that no speech was found in the estimate
    return torch.tensor(values, device=sources.device).clamp(min=lowest)


def _stoi(estimates: Tensor, sources: Tensor, sample_rate: int) -> Tensor:
    try:
        from pystoi import stoi
    except ImportError as error:
        raise InputError("metrics: stoi needs a package: pip install 'convtasnet_lit[metrics]'") from error
    pairs = zip(sources.cpu().numpy(), estimates.cpu().numpy(), strict=True)
    values = [float(stoi(source, estimate, sample_rate)) for source, estimate in pairs]
    return torch.tensor(values, device=sources.device)
