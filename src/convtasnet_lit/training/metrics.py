"""What a separation is worth: SI-SDR, SDR, their improvements over the mixture, PESQ and STOI.

SI-SDR and SDR are two measures. SI-SDR (Le Roux et al., 2019) allows the source one gain; SDR (BSS-eval, Vincent et
al., 2006) allows it a filter of 512 taps. Both are computed in float64, where the filter's linear system is stable and
an estimate may have any scale.

Both lie between -80 and 80 dB. A silent estimate holds nothing of the source: its ratio is 0, which is minus infinity
in decibels. It is worth -80 dB here, because a source 80 dB under its mixture counts as silent, and because nothing
that sounds scores as low: ten seconds of noise at 16 kHz have an SI-SDR of about -52 dB. A constant estimate has the
SI-SDR of a silent one. Without the upper end, a lone speaker who is given back unchanged would be worth infinitely
much. PESQ has a scale with a lower end, 1.0, which is what a silent estimate is worth; its STOI is 0.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize
from torchmetrics import Metric
from torchmetrics.functional.audio import signal_distortion_ratio

from convtasnet_lit.errors import InputError
from convtasnet_lit.training.losses import SILENT_ENERGY_RATIO, in_source_order, is_silent

LIMIT_DB = -10 * math.log10(SILENT_ENERGY_RATIO)  # 80
LOWEST_PESQ = 1.0
_NOTHING = 1e-100  # under every norm that float32 can hold

NAMES = ("si_sdr", "sdr", "si_sdri", "sdri", "pesq", "stoi")
_IMPROVED = {"si_sdri": "si_sdr", "sdri": "sdr"}


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
        For each name the mean over a mixture's sources that sound, (batch,); decibels from -80 to 80, except PESQ (MOS)
        and STOI (0 to 1). NaN where an estimate is not finite, and where there is no score: a mixture of one speaker,
        which is that source, cannot be improved, PESQ needs 0.25 s, and STOI about 0.4 s in which the source sounds.

    Raises:
        InputError: A metric's package is missing, or PESQ does not know the rate.
        ValueError: An unknown name.
    """
    unknown = set(names) - set(NAMES)
    if unknown:
        raise ValueError(f"metrics must be of {', '.join(NAMES)}, not {', '.join(sorted(unknown))}")
    estimates, sources, mixture = (_in_float64(signal) for signal in (estimates, sources, mixture))
    present = ~is_silent(sources)  # (batch, sources)
    several = (present.sum(1, keepdim=True) > 1).expand_as(present)[present]  # (present,)
    separated, clean = in_source_order(estimates, sources)[present], sources[present]  # (present, samples) each
    separated = normalize(separated, dim=-1, eps=_NOTHING)  # SDR and PESQ would take a soft estimate for a silent one
    mixed = mixture.unsqueeze(1).expand_as(sources)[present]
    measures = {_IMPROVED.get(name, name) for name in names}
    try:
        scores = {name: _MEASURES[name](separated, clean, sample_rate) for name in measures}
    except ModuleNotFoundError as error:
        raise InputError("metrics: pesq and stoi need packages: pip install 'convtasnet_lit[metrics]'") from error
    for name in set(names) & set(_IMPROVED):
        gained = scores[_IMPROVED[name]] - _MEASURES[_IMPROVED[name]](mixed, clean, sample_rate)
        scores[name] = gained.where(several, torch.nan)
    counts = present.sum(1).tolist()
    return {name: torch.stack([part.mean() for part in torch.split(scores[name], counts)]).float() for name in names}


class SeparationMetrics(Metric):
    """Means of separation scores over the mixtures that have them, each counted once, over all processes.

    One mixture whose estimates are not finite makes all means NaN.

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
        # float32, because MPS has no float64; a hundred thousand scores lose less than 0.01 dB of their mean
        self.add_state("total", torch.zeros(len(self.names)), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(self.names)), dist_reduce_fx="sum")

    def update(self, estimates: Tensor, sources: Tensor, mixture: Tensor) -> None:
        """Add a batch: (batch, sources, samples) twice and (batch, samples)."""
        scores = separation_scores(self.names, estimates, sources, mixture, self.sample_rate)
        values = torch.stack([scores[name] for name in self.names]).to(self.total.device)  # (names, batch)
        unscored = values.isnan() & estimates.isfinite().all(-1).all(-1)
        self.total += values.where(~unscored, 0).sum(1)
        self.count += (~unscored).sum(1)

    def compute(self) -> dict[str, Tensor]:
        """Return the means, by name."""
        return dict(zip(self.names, self.total / self.count, strict=True))


def _in_float64(signal: Tensor) -> Tensor:
    """In float64, on its own device if that has it: MPS does not."""
    return signal.cpu().double() if signal.device.type == "mps" else signal.double()


# Each takes estimates and sources, (present, samples) twice, and the sample rate, and returns (present,).


def _si_sdr(estimates: Tensor, sources: Tensor, _: int) -> Tensor:
    """From the share of an estimate's energy that is the source's, which no scale changes."""
    estimates, sources = (signal - signal.mean(-1, keepdim=True) for signal in (estimates, sources))
    share = cosine_similarity(estimates, sources, dim=-1).square()
    return 10 / math.log(10) * torch.logit(share, eps=SILENT_ENERGY_RATIO)  # log10(share / (1 - share))


def _sdr(estimates: Tensor, sources: Tensor, _: int) -> Tensor:
    values = _each(partial(signal_distortion_ratio, load_diag=1e-10), estimates, sources)
    return values.clamp(-LIMIT_DB, LIMIT_DB)


def _pesq(estimates: Tensor, sources: Tensor, sample_rate: int) -> Tensor:
    from pesq import BufferTooShortError, PesqError
    from torchmetrics.functional.audio import perceptual_evaluation_speech_quality  # there with the package alone

    if sample_rate not in (8000, 16000):
        raise InputError(f"metrics: pesq needs data.sample_rate 8000 or 16000, not {sample_rate}")
    mode = "wb" if sample_rate == 16000 else "nb"

    def measure(estimate: Tensor, source: Tensor) -> Tensor | float:
        if not estimate.any():
            return LOWEST_PESQ
        try:
            return perceptual_evaluation_speech_quality(estimate, source, sample_rate, mode)
        except BufferTooShortError:
            return math.nan
        except PesqError:  # no utterance was found
            return LOWEST_PESQ

    return _each(measure, estimates, sources)


def _stoi(estimates: Tensor, sources: Tensor, sample_rate: int) -> Tensor:
    from torchmetrics.functional.audio import short_time_objective_intelligibility  # there with the package alone

    def measure(estimate: Tensor, source: Tensor) -> Tensor | float:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Not enough STFT frames")
            try:
                return short_time_objective_intelligibility(estimate, source, sample_rate)
            except RuntimeWarning:
                return math.nan

    return _each(measure, estimates, sources)


def _each(measure: Callable[[Tensor, Tensor], Tensor | float], estimates: Tensor, sources: Tensor) -> Tensor:
    """Measure one by one; PESQ fails on NaN, and of STOI it makes 0.

    SDR has to be so, too: after torch.set_num_threads(2) a batch of it hangs on CPUs, see
    github.com/pytorch/pytorch/issues/141358
    """
    pairs = zip(estimates, sources, strict=True)
    values = [float(measure(*pair)) if pair[0].isfinite().all() else math.nan for pair in pairs]
    return torch.tensor(values, dtype=sources.dtype, device=sources.device)


_MEASURES = {"si_sdr": _si_sdr, "sdr": _sdr, "pesq": _pesq, "stoi": _stoi}
