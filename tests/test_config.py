"""The numbers of a configuration: none may be infinite or NaN."""

from dataclasses import asdict
from typing import Any

import pytest

from convtasnet_lit.config import Config, PrepareConfig, plain, typed
from convtasnet_lit.data_config import DataConfig
from convtasnet_lit.errors import InputError

FLOATS = [
    (group, key)
    for group, settings in asdict(Config()).items()
    if isinstance(settings, dict)
    for key, value in settings.items()
    if isinstance(value, float)
]


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize(("group", "key"), FLOATS)
def test_a_number_that_is_not_finite_is_refused_by_its_name(group: str, key: str, bad: float) -> None:
    values: dict[str, Any] = plain(Config())
    values[group][key] = bad
    with pytest.raises(InputError, match=rf"^{group}\.{key}: {bad} is not allowed; it must be"):
        typed(Config, values)


def test_the_floats_are_all_there() -> None:
    assert ("optimizer", "lr") in FLOATS and ("data", "level_range_db") in FLOATS and len(FLOATS) >= 15


def test_what_is_evaluated_is_checked_too() -> None:
    data = plain(DataConfig()) | {"level_range_db": float("inf")}
    with pytest.raises(InputError, match=r"data\.level_range_db: inf"):
        typed(PrepareConfig, {"data": data})
