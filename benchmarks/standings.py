"""What the runs of `equal_minutes` say, with intervals over seeds and voices."""

from dataclasses import replace
from pathlib import Path

from benchmarks.timing import Part, Row
from convtasnet_lit.comparison.answers import Answers, answer
from convtasnet_lit.comparison.arms import Arm, Sweep, read_sweep
from convtasnet_lit.comparison.words import printed, statements
from convtasnet_lit.errors import require

BASELINE = "ours, recipe"  # what the others are compared with, if it is there


def table(out: Path) -> list[Part]:
    """Compare the runs of each number of minutes.

    Args:
        out: Folder of the results.

    Raises:
        InputError: There is no run, or one is damaged.
    """
    sweeps = [read_sweep([folder]) for folder in out.glob("*min")]
    require(len(sweeps) > 0, "--out", out, "a folder that `train` wrote to")
    return [_part(sweep) for sweep in sorted(sweeps, key=_minutes)]


def _minutes(sweep: Sweep) -> float:
    return float(sweep.arms[0].runs[0].settings["minutes"])


def _part(sweep: Sweep) -> Part:
    arms = [replace(arm, name=_name(arm)) for arm in sweep.arms]
    arms.sort(key=lambda arm: (arm.name != BASELINE, arm.runs[0].settings["settings"]))
    answers = answer(Sweep(tuple(arms), ()))
    said = "\n".join(f"- {line}" for line in (*statements(answers), *sweep.notes))
    return Part(f"{_minutes(sweep):g} minutes of one core", said, [_row(arm, answers) for arm in answers.sweep.scored])


def _name(arm: Arm) -> str:
    settings = arm.runs[0].settings
    return f"{settings['system']}, {settings['settings']}"


def _row(arm: Arm, answers: Answers) -> Row:
    evaluations = [run.evaluation for run in arm.scored]
    differences = {one.arm: printed(one.found, signed=True) for one in answers.differences}
    return {
        "": arm.name,
        "parameters (M)": evaluations[0]["parameters"] / 1e6,
        "seconds of audio": sum(each["audio_seconds"] for each in evaluations) / len(evaluations),
        "seeds": str(len(evaluations)),
        "SI-SDRi (dB)": printed(answers.means[arm.name]),
        **{group: printed(found[arm.name]) for group, found in answers.groups.items() if arm.name in found},
        f"over {answers.sweep.baseline.name} (dB)": differences.get(arm.name, ""),
    }
