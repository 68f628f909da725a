"""The runs that a sweep stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from convtasnet_lit.config import Config, typed
from convtasnet_lit.errors import InputError

NOT_OF_A_RUN = ("sweep", "launcher", "hydra")  # groups that say how runs are started, and nothing of a run


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Args:
        overrides: What is typed after `python -m convtasnet_lit.train` to start it alone.
        folder: Where it writes.
        config: Its settings.
    """

    overrides: tuple[str, ...]
    folder: Path
    config: Config

    @property
    def is_done(self) -> bool:
        """Whether it was trained and evaluated."""
        return (self.folder / "evaluation-test" / "metrics.json").is_file()


def expand(overrides: Sequence[str], parameters: dict[str, str]) -> list[Job]:
    """List the runs of a sweep, in the order of its parameters; all of them are checked before the first one starts.

    Must be called while Hydra is initialized.

    Args:
        overrides: As typed; several values are separated by commas, or are `glob(*)`, `choice(...)`, `range(...)`.
        parameters: Of the sweep's file, by key, in the same form; what was typed replaces them.

    Raises:
        InputError: Two runs would write into the same folder.
        HydraException: An override cannot be read, or a run's configuration cannot be composed.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    lines = [f"{key}={value}" for key, value in parameters.items()] + list(overrides)
    choices: dict[str, list[str]] = {}
    for line in parser.parse_overrides(lines):
        key = line.get_key_element()
        if key.lstrip("+~").split(".")[0].split("/")[0] not in NOT_OF_A_RUN:
            swept = [f"{key}={value}" for value in line.sweep_string_iterator()] if line.is_sweep_override() else None
            choices[key] = swept or [str(line.input_line)]
    jobs = [_job(chosen) for chosen in product(*choices.values())]
    for job in jobs:
        if sum(other.folder == job.folder for other in jobs) > 1:
            raise InputError(f"{job.folder}: would be the folder of several runs of the sweep; leave name=... out")
    return jobs


def _job(overrides: tuple[str, ...]) -> Job:
    composed = compose("train", [*overrides, "hydra.mode=RUN"], return_hydra_config=True)
    folder = Path(str(OmegaConf.select(composed, "hydra.run.dir")))
    settings = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    return Job(overrides, folder, typed(Config, settings))
