"""The figures, each one column of a paper wide, which is also a telephone's width."""

import textwrap
from collections.abc import Callable
from functools import partial
from itertools import cycle

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from convtasnet_lit.comparison.answers import GROUPS, Answers
from convtasnet_lit.comparison.single import by_group
from convtasnet_lit.comparison.statistics import Estimate
from convtasnet_lit.comparison.style import INK, PAPER, STYLE

_BASELINE = "#7b838d"
_COLOURS = ("#2f74c0", "#d1642c", "#2c9a6b", "#a9569b", "#b5912b", "#4aa3b8", "#c0485a", "#7566c4")
_WIDTH = 3.5  # inches: a column of IEEE's two
_PARTS = 10  # of the mixtures, by how soft their softest speaker is


def draw(answers: Answers) -> dict[str, Figure]:
    """Draw what a sweep answers, a figure by name; what there is no data for is left out.

    Args:
        answers: What was found.
    """
    lone = answers.sweep.lone
    drawn: dict[str, Callable[[Answers, Figure], None]] = {"scores": _scores} if lone else {"arms": _arms}
    if any(one.found.seeds for one in answers.differences):
        drawn["differences"] = _differences
    if answers.sweep.number:
        drawn["number"] = _number
    if len(answers.groups) > 1 and not lone:
        drawn["groups"] = _groups
    if any("val/si_sdri" in run.history for arm in answers.sweep.arms for run in arm.runs):
        drawn["curves-by-epoch"] = partial(_curves, unit="epochs")
        drawn |= {} if lone else {"curves-by-hour": partial(_curves, unit="hours")}
    if lone and {"train/loss", "val/loss"} <= set(lone.history):
        drawn["loss"] = partial(_loss, history=lone.history)
    if any(pd.Series(arm.softest()).nunique() > 1 for arm in answers.sweep.scored):
        drawn["softest"] = _softest
    figures = {}
    with matplotlib.rc_context(STYLE):
        for name, fill in drawn.items():
            figures[name] = Figure(layout="constrained")
            fill(answers, figures[name])
    return figures


def _colours(answers: Answers) -> dict[str, str]:
    """Give each arm its colour, the baseline grey where something is compared with it."""
    if answers.sweep.lone:
        return {answers.sweep.baseline.name: _COLOURS[0]}
    others = zip(answers.sweep.arms[1:], cycle(_COLOURS), strict=False)
    return {answers.sweep.baseline.name: _BASELINE} | {arm.name: colour for arm, colour in others}


def _arms(answers: Answers, figure: Figure) -> None:
    _estimates(figure, answers.means, _colours(answers), "SI-SDR improvement (dB)")


def _scores(answers: Answers, figure: Figure) -> None:
    found = by_group(answers.sweep)
    _estimates(figure, found, dict.fromkeys(found, _COLOURS[0]), "SI-SDR improvement (dB)")


def _differences(answers: Answers, figure: Figure) -> None:
    found = {one.arm: one.found for one in answers.differences if one.found.seeds}
    axis = _estimates(figure, found, _colours(answers), "difference from the baseline (dB)")
    axis.axvline(0, color=INK, linewidth=0.8, zorder=1)


def _estimates(figure: Figure, found: dict[str, Estimate], colour: dict[str, str], title: str) -> Axes:
    lines = max(_wrapped(name).count("\n") for name in found)
    figure.set_size_inches(_WIDTH, 0.65 + (0.36 + 0.08 * lines) * len(found))
    axis = figure.subplots()
    for place, (name, one) in enumerate(found.items()):
        _mark(axis, one, -place, colour[name])
    axis.set(xlabel=title, ylim=(0.6 - len(found), 0.6))
    axis.set_yticks([-place for place in range(len(found))], [_wrapped(name) for name in found])
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    return axis


def _mark(axis: Axes, found: Estimate, height: float, colour: str) -> None:
    """Draw the interval as a line, the mean as a diamond, and every seed as a dot below them."""
    if np.isfinite(found.low):
        axis.plot([found.low, found.high], [height, height], color=colour, linewidth=1.6, solid_capstyle="butt")
    axis.plot(found.mean, height, "D", color=colour, markersize=4.5, markeredgecolor=PAPER, markeredgewidth=0.6)
    dots = [height - 0.24] * len(found.each)
    axis.plot(found.each, dots, "o", color=colour, markersize=3, alpha=0.75, markeredgewidth=0)


def _number(answers: Answers, figure: Figure) -> None:
    """Draw the arms by the number in which they differ, on a logarithmic axis where it grows tenfold."""
    figure.set_size_inches(_WIDTH, 2.7)
    axis, key = figure.subplots(), answers.sweep.number
    arms = sorted(answers.sweep.scored, key=lambda arm: float(arm.runs[0].settings[key]))
    numbers = [float(arm.runs[0].settings[key]) for arm in arms]
    found = [answers.means[arm.name] for arm in arms]
    beside = axis.transData + ScaledTranslation(0.07, 0, figure.dpi_scale_trans)  # the interval would hide the dots
    for number, one in zip(numbers, found, strict=True):
        axis.plot([number, number], [one.low, one.high], color=_COLOURS[0], linewidth=1.6, solid_capstyle="butt")
        seeds = [number] * len(one.each)
        axis.plot(seeds, one.each, "o", color=_COLOURS[0], markersize=3, alpha=0.75, mew=0, transform=beside)
    axis.plot(numbers, [one.mean for one in found], "D-", color=_COLOURS[0], markersize=4.5, linewidth=1, mec=PAPER)
    if min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
        axis.set_xscale("log")
        axis.minorticks_off()
    axis.set_xticks(numbers, [f"{number:g}" for number in numbers])
    axis.set(xlabel=key, ylabel="SI-SDR improvement (dB)")


def _groups(answers: Answers, figure: Figure) -> None:
    figure.set_size_inches(_WIDTH, 0.75 + 0.3 * sum(len(by_arm) + 0.6 for by_arm in answers.groups.values()))
    axis, colour, place = figure.subplots(), _colours(answers), 0.0
    for group, by_arm in answers.groups.items():
        axis.text(0.0, place + 0.1, GROUPS.get(group, group), transform=axis.get_yaxis_transform(), style="italic")
        for name, found in by_arm.items():
            place -= 1
            _mark(axis, found, place, colour[name])
            axis.text(-0.02, place, _wrapped(name), transform=axis.get_yaxis_transform(), ha="right", va="center")
        place -= 1.6
    axis.set(xlabel="SI-SDR improvement (dB)", ylim=(place + 1, 0.9), yticks=[])
    seeds = [one for by_arm in answers.groups.values() for found in by_arm.values() for one in found.each]
    margin = max(1.0, np.ptp(seeds))  # a pair of few speakers may have an interval of 40 dB
    axis.set_xlim(min(seeds) - margin, max(seeds) + margin)


def _curves(answers: Answers, figure: Figure, unit: str) -> None:
    """Draw the mean over seeds, a band from the lowest to the highest by epoch, and each seed as a hairline.

    Where the axis is hours, an epoch's mean stands at the median of the seeds' hours: a mean at equal hours would end
    with the first run to end, and one run that stood still would move it.
    """
    figure.set_size_inches(_WIDTH, 2.7)
    axis = figure.subplots()
    for arm, colour in zip(answers.sweep.arms, _colours(answers).values(), strict=True):
        histories = [run.history for run in arm.runs if "val/si_sdri" in run.history]
        curves = [history["val/si_sdri"].to_numpy(float) for history in histories]
        hours = [history["seconds"].cumsum().to_numpy() / 3600 for history in histories]
        times = hours if unit == "hours" else [history["epoch"].to_numpy(float) + 1 for history in histories]
        if not curves:
            continue
        for time, curve in zip(times, curves, strict=True):
            axis.plot(time, curve, color=colour, linewidth=0.5, alpha=0.6)
        epochs = min(map(len, curves))
        scores, middle = np.array([curve[:epochs] for curve in curves]), np.median([time[:epochs] for time in times], 0)
        if unit == "epochs":
            axis.fill_between(middle, scores.min(0), scores.max(0), color=colour, alpha=0.18, linewidth=0)
        axis.plot(middle, scores.mean(0), color=colour, linewidth=1.5, label=_wrapped(arm.name))
    axis.set(xlabel=unit, ylabel="validation SI-SDRi (dB)")
    axis.set_xlim(left=0)
    axis.locator_params(axis="x", nbins=6)
    _legend(figure, axis)


def _loss(_: Answers, figure: Figure, history: pd.DataFrame) -> None:
    """Draw the loss of training and validation, and a diamond at the lowest of the latter."""
    figure.set_size_inches(_WIDTH, 2.7)
    axis, epochs = figure.subplots(), history["epoch"].to_numpy() + 1
    for column, label, colour in (("train/loss", "training", _BASELINE), ("val/loss", "validation", _COLOURS[0])):
        axis.plot(epochs, history[column], color=colour, linewidth=1.5, label=label)
    losses = history["val/loss"].to_numpy(float)
    if np.isfinite(losses).any():
        best = np.nanargmin(losses)
        axis.plot(epochs[best], losses[best], "D", color=_COLOURS[0], markersize=4.5, markeredgecolor=PAPER)
    axis.set(xlabel="epochs", ylabel="loss (dB)")
    axis.set_xlim(left=0)
    axis.locator_params(axis="x", nbins=6)
    _legend(figure, axis)


def _softest(answers: Answers, figure: Figure) -> None:
    """Draw each mixture by its softest speaker's level, and of 100 or more the means in ten groups of equally many."""
    figure.set_size_inches(_WIDTH, 2.7)
    axis, colour = figure.subplots(), _colours(answers)
    for arm in answers.sweep.scored:
        level = arm.softest()
        level, improved = level[np.isfinite(level)], arm.scores().mean(0)[np.isfinite(level)]
        dots = axis.scatter(level, improved, 2.5, colour[arm.name], alpha=0.5, linewidth=0, rasterized=True)
        if len(level) < 10 * _PARTS:  # a mean of so few would be a zigzag
            dots.set(label=_wrapped(arm.name), sizes=[9])
            continue
        parts = np.array_split(np.argsort(level), _PARTS)
        means = np.array([[level[part].mean(), improved[part].mean()] for part in parts]).T
        axis.plot(*means, "o-", color=colour[arm.name], markersize=3, linewidth=1.2, label=_wrapped(arm.name))
    axis.set(xlabel="softest speaker over the others (dB)", ylabel="SI-SDR improvement (dB)")
    _legend(figure, axis)


def _legend(figure: Figure, axis: Axes) -> None:
    """Name the curves: in the frame where there are few, else below it."""
    count = len(axis.get_legend_handles_labels()[1])
    if count > 4:
        figure.set_size_inches(_WIDTH, 2.7 + 0.28 * -(-count // 2))
        figure.legend(loc="outside lower center", ncols=2)
    elif count > 1:
        axis.legend()


def _wrapped(name: str) -> str:
    return "\n".join(textwrap.wrap(name, 24, break_on_hyphens=False)) or name
