"""What was found, as JSON, as tables for a terminal and as Markdown."""

import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from rich.console import Group, RenderableType
from rich.table import Table

from benchmarks.timing import Part, Row
from convtasnet_lit.devices import processor_name

PACKAGES = ("convtasnet_lit", "torch", "torchaudio", "asteroid", "speechbrain", "torchmetrics")


def machine() -> dict[str, str]:
    """Say what the figures were measured on: processor, system, versions."""
    return {
        "processor": f"{processor_name()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


def tables(parts: Iterable[Part]) -> Group:
    """Show the parts in a terminal.

    Args:
        parts: What was measured.

    Returns:
        Something for `rich.print`.
    """
    shown: list[RenderableType] = []
    for part in parts:
        columns = _columns(part.rows)
        table = Table(title=part.title, title_justify="left", caption=part.note, caption_justify="left")
        for column in columns:
            table.add_column(column, justify="right" if column else "left")
        for row in part.rows:
            table.add_row(*(_cell(row.get(column, "")) for column in columns))
        shown.append(table)
    return Group(*shown)


def markdown(machine: Mapping[str, str], command: str, parts: Iterable[Part]) -> str:
    """Write the parts as a page's sections, with the command and the machine above.

    Args:
        machine: See `machine`.
        command: That measured them.
        parts: What was measured.
    """
    lines = [f"`{command}`", "", *(f"- {value}" for value in machine.values())]
    for part in parts:
        columns = _columns(part.rows)
        cells = [columns, ["---"] + ["---:"] * (len(columns) - 1)]
        cells += [[_cell(row.get(column, "")) for column in columns] for row in part.rows]
        lines += ["", f"### {part.title}", "", *(f"| {' | '.join(row)} |" for row in cells), "", part.note]
    return "\n".join(lines)


def _columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _cell(value: float | str) -> str:
    """Three digits are more than a timing holds.

    Example:
        >>> _cell(0.12345), _cell(1234.5), _cell("not installed")
        ('0.123', '1,234', 'not installed')
    """
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
