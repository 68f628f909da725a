"""List the networks in the package and what their cards say of them: `convtasnet models`."""

import argparse
import re
from textwrap import fill
from typing import Any

from convtasnet_lit.command_line import Parser, reported
from convtasnet_lit.weights.shipped import DEFAULT, FOLDER, count_of_speakers, shipped_names, shipped_settings

LINES: dict[str, Any] = {"width": 120, "break_on_hyphens": False, "break_long_words": False}  # paths stay whole


def described(name: str) -> dict[str, str]:
    """Return what is known of a network in the package, from its settings and its card.

    Args:
        name: Its name.

    Example:
        >>> described(DEFAULT)["rate"]
        '8000 Hz'
    """
    settings, path = shipped_settings(name), FOLDER / name / "README.md"
    _, head, text = path.read_text(encoding="utf-8").split("---\n", 2)
    sections = dict(re.findall(r"^## (.*)\n\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    parameters = re.search(r"^\| parameters \| (.*) \|$", text, re.MULTILINE)
    licence = re.search(r"^license: (.*)", head)
    return {
        "speakers": count_of_speakers(settings["fewest_speakers"], settings["num_sources"]).removesuffix(" speakers"),
        "rate": f"{settings['sample_rate']} Hz",
        "can stream": "yes" if settings["network"]["causal"] else "no",
        "parameters": parameters[1] if parameters else "not said",
        "SI-SDRi, dB": _improvements(sections.get("Results", "")),
        "licence": licence[1] if licence else "not said",
        "heard": " ".join(sections.get("Data", "not said").split("\n\n")[0].split()),
        "card": str(path),
    }


def _improvements(results: str) -> str:
    """The column of SI-SDRi, as `all 5.45 (5.07 to 5.83), FF 3.96 (3.24 to 4.71)`."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in results.splitlines() if line[:1] == "|"]
    if not rows or "SI-SDRi (dB)" not in rows[0]:
        return "not measured"
    column = rows[0].index("SI-SDRi (dB)")
    return ", ".join(f"{row[0]} {row[column]}" for row in rows[2:])


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    return Parser("models", description="List the networks in the package. `--model NAME` of other commands takes one.")


def main() -> None:
    """Print a paragraph a network."""
    with reported():
        arguments().parse_args()
        for name in shipped_names():
            print(f"{name}{' (default)' if name == DEFAULT else ''}")
            for key, value in described(name).items():
                print(fill(f"  {key:<12} {value}", subsequent_indent=" " * 15, **LINES))


if __name__ == "__main__":
    main()
