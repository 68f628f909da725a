"""The runs that a command stands for, if it stands for several."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, compress, product
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from convtasnet_lit.config import Config, LauncherConfig, LauncherName, plain, typed
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.errors import InputError, require

MARK = "sweep.done"  # in the folder of a run that a sweep trained and evaluated to the end
_HYDRAS_OWN = ("help", "hydra_help", "cfg", "info", "shell_completion", "config_dir", "config_name", "config_path")
_NOT_OF_A_RUN = ("sweep", "launcher", "hydra", "resume")  # what says how runs are started
_NOT_OF_THE_RESULT = ("name", "resume", "logger", "launcher")


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Args:
        overrides: What is typed after `python -m convtasnet_lit.train` to start it alone.
        folder: The folder of the run.
        config: Its settings.
        label: Those overrides in which the runs differ.
    """

    overrides: tuple[str, ...]
    folder: Path
    config: Config
    label: str = ""

    @property
    def is_done(self) -> bool:
        """Whether a sweep trained and evaluated it to the end with these settings, and nothing was trained since."""
        last, metrics = self.folder / "checkpoints" / "last.ckpt", self.folder / "evaluation-test" / "metrics.json"
        if not all(path.is_file() for path in (self.mark, last, metrics)):
            return False
        same = self.mark.read_text(encoding="utf-8").strip() == self.digest
        return same and self.mark.stat().st_mtime >= last.stat().st_mtime

    @property
    def mark(self) -> Path:
        """A file that holds the digest: an evaluation alone can be one of a run that was stopped halfway."""
        return self.folder / MARK

    @property
    def digest(self) -> str:
        """A hash of the settings but for those of how it is started and logged; folders count by their whole path."""
        config = plain(replace(self.config, data=self.config.data.at_absolute_paths()))
        settings = {key: value for key, value in config.items() if key not in _NOT_OF_THE_RESULT}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Sweep:
    """Several runs of one command.

    Args:
        name: The file of `conf/sweep`, or `sweep`.
        jobs: The runs, in the order of the parameters.
        launcher: How they are started.
    """

    name: str
    jobs: list[Job]
    launcher: LauncherConfig

    def started(self, job: Job) -> list[str]:
        """Return what is typed after a run's overrides to start it, or go on with it, as one of the sweep."""
        own, added = job.config.logger, ["resume=true", f"trainer.threads={self.launcher.threads}"]
        added += [] if own.group else [f"logger.group={quoted(self.name)}"]
        return added + ([] if own.label or not job.label else [f"logger.label={quoted(job.label)}"])


def asked_sweep() -> Sweep | None:
    """Read the command line of training; where it asks for one run, for help, or for Hydra's own launcher, return None.

    Every run is composed and checked before the first one starts.

    Raises:
        InputError: A run's settings are refused, or two runs would write into the same folder.
        HydraException: An override cannot be read, or a configuration cannot be composed.
    """
    options, unknown = get_args_parser().parse_known_args()
    asked = vars(options)
    if unknown or any(asked[name] for name in _HYDRAS_OWN):
        return None
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        lines = parser.parse_overrides(options.overrides)
        for line in lines:
            several = line.is_sweep_override() and line.get_key_element().split(".")[0] in _NOT_OF_A_RUN
            require(not several, line.get_key_element(), line.input_line, "one value: it says how runs are started")
        fixed = [str(line.input_line) for line in lines if not line.is_sweep_override()]
        composed = compose("train", fixed, return_hydra_config=True)
        launcher = typed(LauncherConfig, composed.launcher)
        several = options.multirun or composed.hydra.mode is RunMode.MULTIRUN
        if launcher.name is LauncherName.joblib or not several:
            return None
        parameters = composed.hydra.sweeper.params or {}
        swept = parser.parse_overrides([f"{key}={value}" for key, value in parameters.items()])
        name = composed.hydra.runtime.choices.get("sweep", "none")
        jobs = _jobs([*swept, *lines])
        for threads in (job.config.trainer.threads for job in jobs):
            allowed = f"left out: launcher.threads, here {launcher.threads}, sets it for each run of a sweep"
            require(threads in (0, launcher.threads), "trainer.threads", threads, allowed)
        return Sweep("sweep" if name == "none" else name, jobs, launcher)


def _jobs(lines: Sequence[Override]) -> list[Job]:
    """Every combination of the values; a later line of a key replaces an earlier one."""
    choices: dict[str, list[str]] = {}
    for line in lines:
        key = line.get_key_element()
        if key.lstrip("+~").split(".")[0].split("/")[0] in _NOT_OF_A_RUN:
            continue
        swept = line.is_sweep_override()
        choices[key] = [f"{key}={value}" for value in line.sweep_string_iterator()] if swept else [str(line.input_line)]
    differing = [len(values) > 1 for values in choices.values()]
    jobs = [_job(overrides, " ".join(compress(overrides, differing))) for overrides in product(*choices.values())]
    for one, other in combinations(jobs, 2):
        if one.folder == other.folder:
            named = "; leave name=... out" if one.config.name else ""
            both = f"{one.label} and {other.label}"
            raise InputError(f"{one.folder}: would be the folder of two runs of the sweep, {both}{named}")
    return jobs


def _job(overrides: tuple[str, ...], label: str) -> Job:
    composed = compose("train", list(overrides), return_hydra_config=True)
    return Job(overrides, Path(str(OmegaConf.select(composed, "hydra.run.dir"))), _settings(composed), label)


def _settings(composed: DictConfig) -> Config:
    return typed(Config, OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]))


def quoted(text: object) -> str:
    r"""Write a text as the value of a Hydra override.

    Example:
        >>> print(quoted("it's one"))
        'it\'s one'
    """
    return "'" + str(text).replace("\\", "\\\\").replace("'", "\\'") + "'"
