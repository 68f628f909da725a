"""The report as files: one page that needs nothing else, and its figures and tables to be used elsewhere."""

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from convtasnet_lit import __version__
from convtasnet_lit.comparison import single
from convtasnet_lit.comparison.answers import Answers, tables
from convtasnet_lit.comparison.arms import Sweep
from convtasnet_lit.comparison.figures import draw
from convtasnet_lit.comparison.listening import examples, ranked
from convtasnet_lit.comparison.runs import Run
from convtasnet_lit.comparison.style import inlined, saved
from convtasnet_lit.comparison.words import caution, readable, statements

TITLES = {
    "arms": "SI-SDR improvement of each arm on the test speakers, with its 95 % interval",
    "differences": "Differences from the baseline on the same mixtures and seeds",
    "groups": "SI-SDR improvement by who speaks",
    "levels": "Training until the validation SI-SDRi first reaches a level",
    "speed": "Epochs until the validation SI-SDRi first reaches a level, as a share of the baseline's",
    "settings": "What the configurations differ in",
    "runs": "The runs",
    "mixtures": "The mixtures that were separated worst and best; SI-SDRi in dB, a mean over seeds",
    "origin": "Where the figures come from",
}
MEANS = {"differences": "difference (dB)", "speed": "times the epochs"}  # of a table, else SI-SDRi
CAPTIONS = {
    "arms": "SI-SDR improvement on the test speakers. Diamond: mean. Line: 95 % interval. Dots: seeds.",
    "differences": "Difference from the baseline, paired by mixture and seed. Line: 95 % interval. Dots: seeds.",
    "number": "SI-SDR improvement by the setting in which the arms differ. Line: 95 % interval. Dots: seeds.",
    "groups": "The same by who speaks; intervals that leave the frame are in the table.",
    "curves-by-epoch": "Learning curves: mean over seeds, band from the lowest to the highest seed, each seed thin. "
    "Means and bands end with the arm's shortest run.",
    "curves-by-hour": "The same means, each epoch's at the median of its seeds' hours on the machine of each run. "
    "Time in which a run was paused counts.",
    "softest": "Improvement (mean of the speakers) by the softest speaker's level over the others, which in a clean "
    "mixture is about the SI-SDR that this speaker starts from. Points: mixtures, mean over seeds. Line, of 100 "
    "mixtures or more: means of tenths.",
}
RECORDED = {  # in each part of `environment.json`
    "store of the corpus": ("data", "store"),
    "hash of the training and validation utterances": ("data", "training and validation"),
    "validation list": ("data", "validation list"),
    "commit of the training": ("commit",),
    "Python": ("python",),
    "torch": ("packages", "torch"),
    "processor": ("processor",),
    "its cores": ("cores",),
    "threads of torch": ("threads",),
    "trained on": ("device",),
}


def files(answers: Answers) -> dict[str, bytes]:
    """Make everything a report consists of.

    Args:
        answers: What was found.

    Returns:
        Contents by path: `report.html`, `figures/NAME.svg` and `.pdf`, `tables/NAME.csv`, `.md` and `.tex`.

    Raises:
        InputError: An example's audio is damaged.
    """
    found = _tables(answers)
    figures = draw(answers)
    made = {f"figures/{name}.{kind}": saved(figures[name], kind) for name in figures for kind in ("svg", "pdf")}
    for name, table in found.items():
        shown, title = _shown(name, table), _titles(answers)[name]
        made[f"tables/{name}.csv"] = table.to_csv(index=False).encode()
        made[f"tables/{name}.md"] = _markdown(shown, title).encode()
        made[f"tables/{name}.tex"] = _latex(shown, title, name).encode()
    inline = {name: inlined(made[f"figures/{name}.svg"], name) for name in figures}
    made["report.html"] = _page(answers, found, inline).encode()
    return made


def page(answers: Answers) -> str:
    """Make the page alone.

    Args:
        answers: What was found.

    Raises:
        InputError: An example's audio is damaged.
    """
    figures = {name: inlined(saved(figure, "svg"), name) for name, figure in draw(answers).items()}
    return _page(answers, _tables(answers), figures)


def _tables(answers: Answers) -> dict[str, pd.DataFrame]:
    further = {"mixtures": ranked(answers.sweep), "origin": _origin(answers.sweep)}
    if answers.sweep.lone:
        runs = tables(answers)["runs"].drop(columns="arm")
        return {**single.tables(answers), "runs": runs, **further}
    return tables(answers) | further


def _shown(name: str, table: pd.DataFrame) -> pd.DataFrame:
    return readable(table, MEANS.get(name, "SI-SDRi (dB)"), signed=name == "differences")


def _titles(answers: Answers) -> dict[str, str]:
    return TITLES | single.TITLES if answers.sweep.lone else TITLES


def _markdown(table: pd.DataFrame, title: str) -> str:
    rows: list[Iterable[object]] = [
        list(table),
        ["---"] * len(table.columns),
        *table.itertuples(index=False, name=None),
    ]
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"{title}:", "", *lines, ""])


def _latex(table: pd.DataFrame, title: str, name: str) -> str:
    """Write a table for booktabs, to be cited as `tab:NAME`."""
    title = title.replace("%", r"\%")
    return str(table.to_latex(index=False, escape=True, caption=title, label=f"tab:{name}"))


def _origin(sweep: Sweep) -> pd.DataFrame:
    """List what the runs say of data, code and machines, and what they do not say."""
    runs = [run for arm in sweep.arms for run in arm.runs]
    facts: dict[str, list[str]] = {
        "corpus": [f"{run.settings.get('data.corpus')} at {run.settings.get('data.sample_rate')} Hz" for run in runs],
        "hash of the test list's recordings, levels and conditions": [
            run.test_list if len(run.scores) else "" for run in runs
        ],
        "list written by evaluation": [str(run.evaluation.get("mixture_list", "")) for run in runs],
    }
    facts |= {fact: [_of_parts(run, *keys) for run in runs] for fact, keys in RECORDED.items()}
    rows = [{"fact": fact, "value": _joined(values)} for fact, values in facts.items()]
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "matplotlib"))
    here = f"convtasnet_lit {__version__}, Python {platform.python_version()}, {versions}"
    return pd.DataFrame([*rows, {"fact": "this report", "value": here}])


def _of_parts(run: Run, *keys: str) -> str:
    """What a run recorded under nested keys; where it went on elsewhere, all values in their order."""
    told = [(_recorded(part, keys) or "not recorded", part.get("from_epoch")) for part in run.environment]
    changes = [next(equal) for _, equal in groupby(told, lambda each: each[0])]  # the first of equal neighbours
    if [value for value, _ in changes] == ["not recorded"]:
        return ""
    later = [f" then {value} (from epoch {epoch})" for value, epoch in changes[1:]]
    return "".join([value for value, _ in changes[:1]] + later)


def _recorded(part: Any, keys: Sequence[str]) -> str:
    for key in keys:
        part = part.get(key, "") if isinstance(part, dict) else ""
    return str(part)


def _joined(values: list[str]) -> str:
    missing = sum(not value for value in values)
    told = ", ".join(dict.fromkeys(value for value in values if value))
    if not told:
        return "not recorded by any run"
    return f"{told} (not recorded by {missing} of {len(values)} runs)" if missing else told


def _page(answers: Answers, found: dict[str, pd.DataFrame], figures: dict[str, str]) -> str:
    here, sweep = FileSystemLoader(Path(__file__).parent), answers.sweep
    template = Environment(loader=here, autoescape=True, undefined=StrictUndefined).get_template("page.html")
    return template.render(
        title=f"Run {sweep.lone.folder.resolve().name}" if sweep.lone else f"Comparison with {sweep.baseline.name}",
        lone=sweep.lone is not None,
        baseline=sweep.baseline.name,
        statements=single.sentences(sweep) if sweep.lone else statements(answers),
        caution=caution(answers),
        notes=sweep.notes,
        figures=figures,
        captions=CAPTIONS | single.CAPTIONS if sweep.lone else CAPTIONS,
        tables={name: _shown(name, table) for name, table in found.items()},
        titles=_titles(answers),
        examples=examples(sweep),
        config=yaml.safe_dump(dict(sweep.baseline.runs[0].settings), sort_keys=False),
    )
