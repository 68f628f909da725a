"""Lay out a W&B workspace for a sweep: `python -m convtasnet_lit.dashboard --entity TEAM`."""

import argparse
import os
from pathlib import Path

from convtasnet_lit.command_line import Parser, reported
from convtasnet_lit.errors import InputError


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser("dashboard", description="Lay out a W&B workspace: curves by arm, final scores, sounds.")
    parser.add_argument(
        "groupby",
        nargs="?",
        default="logger.arm",
        help="the setting that tells the arms apart, such as model.mask_activation; default %(default)s, which is "
        "all that a run was given but its seed",
    )
    parser.add_argument("--project", default="convtasnet_lit", help="default %(default)s")
    parser.add_argument("--entity", default="", help="the user or team; default that of the key")
    parser.add_argument(
        "--out", type=Path, default=Path("workspace.json"), help="written without a key; default %(default)s"
    )
    return parser


def main() -> None:
    """Save the workspace where there is a key for W&B, else write its specification to disk."""
    with reported():
        options = arguments().parse_args()
        from convtasnet_lit.dashboards.workspace import make_workspace, write_spec

        workspace = make_workspace(options.entity or "entity", options.project, options.groupby)
        if "WANDB_API_KEY" in os.environ:
            workspace.entity = options.entity or None
            workspace.save()
            print(workspace.url)
        else:
            try:
                write_spec(workspace, options.out)
            except OSError as error:
                raise InputError(f"--out: {options.out} cannot be written: {error.strerror}") from error
            print(f"{options.out}: no WANDB_API_KEY is set, so the workspace was written here")


if __name__ == "__main__":
    main()
