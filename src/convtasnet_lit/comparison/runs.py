"""Runs, read from the folders that training and evaluation left behind."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from convtasnet_lit.errors import InputError

METRIC = "si_sdri"
EVALUATION = "evaluation-test"
_LIST_COLUMNS = ("mixture", "group", "samples", "speaker_1", "sha256_1", "level_db_1")
# settings that change no result, and those that tell seeds apart
_IGNORED: tuple[str, ...] = ("name", "seed", "resume", "metrics", "logger.", "data.store", "data.download")
_IGNORED += ("data.cache_gb", "data.num_workers", "trainer.progress_bar", "trainer.threads", "launcher.")


@dataclass(frozen=True, eq=False)
class Run:
    """One run's folder as training and evaluation left it.

    Args:
        folder: The folder of the run.
        seed: Its seed.
        ablation: The arm of `conf/ablation` it was started with.
        settings: By full key, without those that change no result.
        history: One row an epoch; empty if no epoch ended.
        evaluation: What `metrics.json` holds; empty if the run was not evaluated.
        scores: One row a test mixture; empty if the run was not evaluated.
        environment: What it was trained with and on, a dict for each part of a run that went on elsewhere.
    """

    folder: Path
    seed: int
    ablation: str
    settings: Mapping[str, Any]
    history: pd.DataFrame
    evaluation: Mapping[str, Any]
    scores: pd.DataFrame
    environment: Sequence[Mapping[str, Any]]

    @cached_property
    def test_list(self) -> str:
        """A hash of which utterances were mixed, at which levels, and what the mixtures were put into."""
        columns, met = self.scores.filter(regex="^(samples|sha256_|level_db_)"), self.conditions
        target = self.evaluation.get("target") if "room" in met else ""
        text = columns.to_csv() + (f"{met} {target}" if met else "")
        return sha256(text.encode()).hexdigest()[:12]

    @property
    def diverged(self) -> bool:
        """Whether it was evaluated, and no mixture got a finite score."""
        return bool(self.evaluation) and self.scores.empty

    @property
    def conditions(self) -> list[str]:
        """What the test mixtures were put into; empty for clean ones."""
        return [str(condition) for condition in self.evaluation.get("conditions") or ()]


def read_run(folder: Path) -> Run:
    """Read the folder of one run.

    Args:
        folder: It holds `.hydra/config.yaml`; history and evaluation may be missing.

    Raises:
        InputError: A file in it is damaged.
    """
    composed = folder / ".hydra" / "config.yaml"
    config = _flat(_read(composed, yaml.safe_load, {}))
    overrides = _read(folder / ".hydra" / "overrides.yaml", yaml.safe_load, [])
    chosen = dict(str(line).split("=", 1) for line in overrides if "=" in str(line))
    settings = {key: value for key, value in config.items() if not key.startswith(_IGNORED)}
    history = _read(folder / "history.csv", _curves, pd.DataFrame())
    evaluation = _read(folder / EVALUATION / "metrics.json", json.loads, {})
    scores = _read(folder / EVALUATION / "per_utterance.csv", _table, pd.DataFrame())
    environment = _read(folder / "environment.json", json.loads, [])
    _require(folder / "environment.json", all(isinstance(part, dict) for part in environment), "a part")
    _require(folder / EVALUATION / "metrics.json", type(evaluation.get("epoch", 0)) in (int, type(None)), "epoch")
    _require(folder / EVALUATION / "metrics.json", isinstance(evaluation.get("examples", []), list), "examples")
    if evaluation and not (folder / EVALUATION / "per_utterance.csv").is_file():
        raise InputError(f"{folder / EVALUATION / 'per_utterance.csv'}: is missing beside metrics.json; evaluate again")
    _require_columns(folder / "history.csv", history, {"epoch", "seconds"})
    _require_columns(folder / EVALUATION / "per_utterance.csv", scores, {*_LIST_COLUMNS, METRIC})
    if len(scores):
        scores = scores.set_index("mixture").replace([np.inf, -np.inf], np.nan)
        scores = scores if scores[METRIC].notna().any() else pd.DataFrame()
    seed, ablation = config.get("seed", 0), chosen.get("ablation", "baseline")
    _require(composed, type(seed) is int, f"seed, {seed}")
    return Run(folder, seed, ablation, settings, history, evaluation, scores, environment)


def run_folders(folders: Sequence[Path]) -> list[Path]:
    """List the runs among folders and those directly inside them, each once.

    Args:
        folders: Runs, or folders of runs.

    Raises:
        InputError: There is no run.
    """
    found: dict[Path, Path] = {}  # each once, however often it is named
    for folder in folders:
        inside = [folder, *sorted(folder.glob("*/"))]
        here = [path for path in inside if (path / ".hydra" / "config.yaml").is_file()]
        if not here:
            raise InputError(f"{folder}: neither a run nor a folder of runs: no .hydra/config.yaml")
        found |= {path.resolve(): path for path in here if path.resolve() not in found}
    return list(found.values())


def _read(path: Path, parse: Callable[[str], Any], missing: Any) -> Any:
    if not path.is_file():
        return missing
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read, perhaps cut short: {str(error).splitlines()[0]}") from error
    if not isinstance(content, type(missing)):
        raise InputError(f"{path}: not as training and evaluation write it")
    return content


def _require(path: Path, holds: bool, what: str) -> None:
    if not holds:
        raise InputError(f"{path}: {what}: not as training and evaluation write it")


def _require_columns(path: Path, table: pd.DataFrame, names: set[str]) -> None:
    if missing := names - set(table.columns) if len(table) else None:
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}; they are written by training and evaluation")


def _table(text: str) -> pd.DataFrame:
    names = [
        f"{column}_{source}" for column in ("speaker", "utterance", "sha256", "level_db") for source in range(1, 6)
    ]
    words = dict.fromkeys(["group", *names], str)  # a speaker is called 001, or NA
    table = pd.read_csv(StringIO(text), dtype=words, keep_default_na=False, na_values=["", "nan"])
    for name in (METRIC, *(column for column in names if column.startswith("level_db_"))):
        if name in table:
            _require_numbers(table, name)
    return table.fillna({name: "" for name in words if name in table})


def _curves(text: str) -> pd.DataFrame:
    table = pd.read_csv(StringIO(text))
    for name in table:
        _require_numbers(table, str(name))
    for name in {"epoch", "seconds"} & set(table):
        if not np.isfinite(table[name]).all():
            raise ValueError(f"{name}: not finite")
    return table.replace([np.inf, -np.inf], np.nan)


def _require_numbers(table: pd.DataFrame, name: str) -> None:
    try:
        pd.to_numeric(table[name])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
