"""What all Hydra doors share: compose, check, run, and say what is wrong in one line."""

import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from convtasnet_lit.command_line import BAD_INPUT, program, reported
from convtasnet_lit.config import Config, EvaluateConfig, PrepareConfig, typed
from convtasnet_lit.errors import InputError, require

T = TypeVar("T")

_PACKAGED = Path(__file__).parent / "conf"  # there in a wheel
CONF_DIR = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "conf"
RUNS = Path("runs")  # as in conf/train.yaml

_LONGEST = 200  # bytes of a folder's name: a file system allows 255, and tools add to it
_FULL_ERROR = "HYDRA_FULL_ERROR"
_reported = nullcontext if _FULL_ERROR in os.environ else reported


def hydra_door(name: str, schema: type[T], run: Callable[[T, Path], None]) -> Callable[[], None]:
    """Make the `main` of a door.

    A door imports what takes long (torch, Lightning, W&B) in `run`, so that help and a bad setting are answered first.

    Args:
        name: Its primary configuration in `conf/`.
        schema: The dataclass that configuration fills.
        run: What to do with it, given the folder of the run.

    Returns:
        A function for `if __name__ == "__main__"` and console scripts. It leaves with exit code 2 where the input is
        at fault; `HYDRA_FULL_ERROR=1` shows the whole traceback instead.
    """

    def main() -> None:
        before = {path.absolute() for path in RUNS.glob("*")}
        failed: list[Path] = []

        @hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=name)
        def job(values: DictConfig) -> None:
            folder = Path(HydraConfig.get().runtime.output_dir)
            try:
                with _full_error(_reported is nullcontext), _lightnings_messages(), _reported(), explained():
                    run(typed(schema, values), folder)
            except SystemExit as left:
                if left.code != BAD_INPUT:
                    raise
                failed.append(folder)  # the other jobs of a sweep go on
            finally:
                if folder.parent == RUNS.absolute() and folder not in before:
                    _remove_unused(folder)

        sys.argv[0] = program(name)
        with _full_error(True), _reported(), explained():  # Hydra raises, instead of printing several lines itself
            unknown = get_args_parser().parse_known_args()[1]
            require(not unknown, "option", " ".join(unknown), f"one that `{sys.argv[0]} --help` lists, or KEY=VALUE")
            job()
        if failed:
            sys.exit(BAD_INPUT)

    return main


@contextmanager
def _lightnings_messages() -> Iterator[None]:
    """Print Lightning's messages once, on standard error, though Hydra sets up logging before it is imported."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [logging.StreamHandler()], False
    try:
        yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def _full_error(wanted: bool) -> Iterator[None]:
    """Set or clear Hydra's `HYDRA_FULL_ERROR` for a while; the processes that training starts inherit it."""
    before = os.environ.pop(_FULL_ERROR, None)
    if wanted:
        os.environ[_FULL_ERROR] = "1"
    try:
        yield
    finally:
        os.environ.pop(_FULL_ERROR, None)
        if before is not None:
            os.environ[_FULL_ERROR] = before


@contextmanager
def explained() -> Iterator[None]:
    """Turn what Hydra and OmegaConf say into one line: the key, the value, what is allowed."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(one_line(error)) from error


def one_line(error: Exception) -> str:
    """Say what is wrong in one line: the key, the value, what is allowed.

    Args:
        error: An error of Hydra or OmegaConf.

    Example:
        >>> one_line(HydraException("There is no 'papr'. Config search path: ..."))
        "There is no 'papr'."
    """
    causes = list(_causes(error))
    ours = [cause for cause in causes if isinstance(cause, InputError)]  # raised by `run_folder`
    theirs = [cause for cause in causes if isinstance(cause, OmegaConfBaseException)]
    if ours or not theirs:
        return " ".join(str(ours[0] if ours else error).split("Config search path")[0].split())
    cause = theirs[0]
    key = cause.full_key or cause.key
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return f"{key}: there is no such key; here there are {', '.join(_keys(cause.parent_node))}"
    if isinstance(cause, MissingMandatoryValue):
        return f"{key}: must be given, as {key}=..."
    return f"{key}: {str(cause.msg or cause).splitlines()[0]}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__  # OmegaConf clears the former


def given_settings(overrides: Iterable[str]) -> set[str]:
    """Return what a command line names.

    Args:
        overrides: As typed.

    Example:
        >>> sorted(given_settings(["model=tiny", "+data.sample_rate=8000"]))
        ['data.sample_rate', 'model']
    """
    return {override.lstrip("+~").partition("=")[0] for override in overrides}


def run_folder(name: str, overrides: str) -> str:
    """Name the folder of a run: as asked, else after its overrides, so that the same command finds it again.

    Of a path only the last part is kept. A name that no file system would take is cut, and ends with a hash of the
    whole and the seed, which is what the runs of a sweep are told apart by.

    Args:
        name: `name=...`, or empty.
        overrides: Hydra's `override_dirname`, as `KEY-VALUE+KEY-VALUE`.

    Raises:
        InputError: The name is that of no folder of its own.

    Example:
        >>> run_folder("", "data.root-/corpora/a+model-paper")
        'data.root-a+model-paper'
    """
    folder = re.sub(r"-[^+]*/", "-", name or overrides)
    folder = re.sub(r"[^\w.+-]+", "-", folder) or "default"
    require(folder not in (".", ".."), "name", folder, "the name of a folder")
    raw = os.fsencode(folder)
    if len(raw) <= _LONGEST:
        return folder
    seed = re.search(r"\+seed-\d+", f"+{folder}")
    end = f"-{sha256(raw).hexdigest()[:12]}{seed[0] if seed else ''}"
    return raw[: _LONGEST - len(end)].decode(errors="ignore") + end


def _keys(node: Any) -> list[str]:
    return [str(key) for key in node if key != "hydra"] if OmegaConf.is_dict(node) else []


def _remove_unused(folder: Path) -> None:
    """Remove the folder of a run that never began, which holds only what Hydra wrote."""
    if {path.name for path in folder.iterdir()} == {".hydra", "train.log"}:
        shutil.rmtree(folder)


def _register() -> None:
    OmegaConf.register_new_resolver("run_folder", run_folder)
    store = ConfigStore.instance()
    for name, schema in (("train", Config), ("prepare", PrepareConfig), ("evaluate", EvaluateConfig)):
        store.store(f"{name}_schema", node=schema)


_register()
