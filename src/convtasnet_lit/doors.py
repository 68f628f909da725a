"""What all Hydra doors share: compose, check, run, and say what is wrong in one line."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from convtasnet_lit.config import Config, EvaluateConfig, PrepareConfig, typed
from convtasnet_lit.errors import InputError

T = TypeVar("T")

_PACKAGED = Path(__file__).parent / "conf"  # there in a wheel
CONF_DIR = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "conf"

BAD_INPUT = 2
_USERS_FAULT = (InputError, MisconfigurationException, HydraException, OmegaConfBaseException, OSError)


def hydra_door(name: str, schema: type[T], run: Callable[[T, Path], None]) -> Callable[[], None]:
    """Make the `main` of a door.

    Args:
        name: Its primary configuration in `conf/`.
        schema: The dataclass that configuration fills.
        run: What to do with it, given the folder of the run.

    Returns:
        A function for `if __name__ == "__main__"` and console scripts. It leaves with exit code 2 where the input is
        at fault; `HYDRA_FULL_ERROR=1` shows the whole traceback instead.
    """
    traceback = "HYDRA_FULL_ERROR" in os.environ
    failed: list[str] = []

    @hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=name)
    def job(values: DictConfig) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            run(typed(schema, values), folder)
        except _USERS_FAULT as error:
            if traceback:
                raise
            failed.append(say(one_line(error)))  # the other jobs of a sweep go on
        finally:
            _remove_empty_run(folder)

    def main() -> None:
        failed.clear()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, instead of printing several lines itself
        try:
            job()
        except _USERS_FAULT as error:
            if traceback:
                raise
            failed.append(say(one_line(error)))
        except KeyboardInterrupt:
            leave("stopped", code=130)
        if failed:
            raise SystemExit(BAD_INPUT)

    return main


def say(message: str) -> str:
    """Print an error on standard error and return it."""
    print(f"error: {message}", file=sys.stderr)
    return message


def leave(message: str, code: int) -> NoReturn:
    """Print a message on standard error and exit."""
    print(message, file=sys.stderr)
    raise SystemExit(code)


def one_line(error: Exception) -> str:
    """Say what is wrong in one line: the key, the value, what is allowed.

    Example:
        >>> one_line(InputError("data.segment: '4x' is not a duration"))
        "data.segment: '4x' is not a duration"
    """
    if isinstance(error, InputError):
        return str(error)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if cause is None:
        return " ".join(str(error).split("Config search path")[0].split())
    key = cause.full_key or cause.key
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return f"{key}: there is no such key; here there are {', '.join(_keys(cause.parent_node))}"
    if isinstance(cause, MissingMandatoryValue):
        return f"{key}: must be given, as {key}=..."
    return f"{key}: {str(cause.msg or cause).splitlines()[0]}"


def run_folder(name: str, overrides: str) -> str:
    """Name the folder of a run: as asked, else after its overrides, so that the same command finds it again.

    Of a path only the last part is kept.

    Args:
        name: `name=...`, or empty.
        overrides: Hydra's `override_dirname`, as `KEY-VALUE+KEY-VALUE`.

    Example:
        >>> run_folder("", "data.root-/corpora/a+model-paper")
        'data.root-a+model-paper'
    """
    folder = re.sub(r"-[^+]*/", "-", name or overrides)
    folder = re.sub(r"[^\w.+-]+", "-", folder) or "default"
    # a file system allows 255 bytes
    return folder if len(folder) <= 200 else f"{folder[:180]}-{sha256(folder.encode()).hexdigest()[:12]}"


def _keys(node: Any) -> list[str]:
    return [str(key) for key in node if key != "hydra"] if OmegaConf.is_dict(node) else []


def _remove_empty_run(folder: Path) -> None:
    """Remove what Hydra wrote for a run that never began."""
    if {path.name for path in folder.iterdir()} == {".hydra", "train.log"}:
        shutil.rmtree(folder)


def _register() -> None:
    OmegaConf.register_new_resolver("run_folder", run_folder)
    store = ConfigStore.instance()
    for name, schema in (("train", Config), ("prepare", PrepareConfig), ("evaluate", EvaluateConfig)):
        store.store(f"{name}_schema", node=schema)


_register()
