"""What all Hydra doors share: compose, check, run, and say what is wrong in one line."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from convtasnet_lit.config import CONF_DIR, typed
from convtasnet_lit.errors import InputError

T = TypeVar("T")


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

    @hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=name)
    def compose(values: DictConfig) -> None:
        run(typed(schema, values), Path(HydraConfig.get().runtime.output_dir))

    def main() -> None:
        if "HYDRA_FULL_ERROR" in os.environ:
            compose()
            return
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, instead of printing several lines itself
        try:
            compose()
        except (InputError, MisconfigurationException, HydraException, OmegaConfBaseException) as error:
            leave(one_line(error))
        except KeyboardInterrupt:
            leave("stopped", code=130)

    return main


def leave(message: str, code: int = 2) -> NoReturn:
    """Print a message on standard error and exit."""
    print(f"error: {message}" if code == 2 else message, file=sys.stderr)
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
        return " ".join(str(error).split())
    key = cause.full_key or cause.key
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        return f"{key}: there is no such key; here there are: {', '.join(_keys(cause.parent_node))}"
    return f"{key}: {str(cause.msg or cause).splitlines()[0]}"


def _keys(node: Any) -> list[str]:
    return [str(key) for key in node] if OmegaConf.is_dict(node) else []
