"""Compare runs with intervals, on one page: `python -m convtasnet_lit.report RUNS... --out report`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from convtasnet_lit.command_line import Parser, reported
from convtasnet_lit.errors import InputError


def report(runs: Sequence[Path], out: Path, baseline: str = "") -> list[str]:
    """Compare runs, or show one, and write what was found.

    Args:
        runs: Folders of runs, or folders that hold some.
        out: Where the page, figures and tables go; files of these names are replaced, others stay.
        baseline: The arm to compare with; by default the one called baseline, else that of the first run.

    Returns:
        What can be said, and what must be known of the runs, one line each.

    Raises:
        InputError: The runs cannot be compared, or the folder cannot be written.
    """
    from convtasnet_lit.comparison.answers import answer
    from convtasnet_lit.comparison.arms import read_sweep
    from convtasnet_lit.comparison.page import files
    from convtasnet_lit.comparison.single import sentences
    from convtasnet_lit.comparison.words import caution, statements
    from convtasnet_lit.files import written_whole

    answers = answer(read_sweep(runs, baseline))
    made = files(answers)
    try:
        for name, content in made.items():
            with written_whole(out / name) as partial:
                partial.write_bytes(content)
    except OSError as error:
        raise InputError(f"--out: {out} cannot be written: {error.strerror}") from error
    sweep = answers.sweep
    found = sentences(sweep) if sweep.lone else statements(answers)
    said = [*found, caution(answers), *(f"note: {note}" for note in sweep.notes)]
    return [line for line in said if line]


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser("report", description="Compare runs with intervals, on one page.")
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or folders that hold some")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder to write to; default report")
    parser.add_argument(
        "--baseline", default="", help="the arm to compare with; default baseline, else the first run's"
    )
    return parser


def main() -> None:
    """Write one report and say what it says."""
    with reported():
        options = arguments().parse_args()
        print("\n".join(report(options.runs, options.out, options.baseline)))
        print(f"{options.out}/report.html, figures/ and tables/")


if __name__ == "__main__":
    main()
