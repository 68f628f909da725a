"""A W&B workspace as code: curves by arm, final scores, sounds, what the runs differ in."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from convtasnet_lit.config import Config, plain
from convtasnet_lit.dashboards.media import KEYS, MIXTURES
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.files import written_whole


def make_workspace(entity: str, project: str, groupby: str) -> Any:
    """Lay out the workspace of a project.

    Args:
        entity: The user or team.
        project: Its project.
        groupby: The setting that tells the arms apart, such as `model.mask_activation`.

    Raises:
        InputError: There is no such setting, or the extra `dashboard` is not installed.
    """
    settings = [str(key) for key in pd.json_normalize(plain(Config())).columns]
    near = get_close_matches(groupby, settings) or ["logger.arm"]
    require(groupby in settings, "groupby", groupby, f"a setting of training, such as {' or '.join(near)}")
    try:
        import wandb_workspaces.reports.v2.interface as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise InputError("dashboard: needs a package: pip install 'convtasnet_lit[dashboard]'") from error

    arm = panels.Config(f"config.{groupby}")

    def curves(title: str, *metrics: str) -> Any:
        return panels.LinePlot(
            title, x="epoch", y=list(metrics), groupby=arm, groupby_aggfunc="mean", groupby_rangefunc="minmax"
        )

    scores = panels.BarPlot(  # W&B knows no interval of a mean
        "SI-SDRi of the test (bars: +-1 standard error over the runs; intervals are in the report)",
        ["test/si_sdri"],
        groupby=arm,
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
    )
    ends = panels.BarPlot(
        "SI-SDRi of the test, run by run: both ends of the 95 % interval over its mixtures",
        ["test/si_sdri_low", "test/si_sdri_high"],
    )
    sounds = [
        panels.MediaBrowser(
            f"mixture {n}",
            media_keys=[key.format(f"mixture {n}") for key in KEYS],
        )
        for n in range(MIXTURES)
    ]
    sections = {
        "Scores": [curves("SI-SDRi of validation", "val/si_sdri"), scores, ends],
        "Training": [curves("loss", "train/loss", "val/loss"), curves("learning rate", "lr")],
        "Health": [
            curves("gradient norm before clipping", "train/gradient_norm"),
            curves("masks above 1", "train/mask_share_above_1"),
            curves("seconds of audio a second", "train/audio_seconds_per_second"),
            curves("most memory (GiB)", "train/peak_memory_gib"),
        ],
        "Sounds": sounds,
        "Runs": [panels.RunComparer(diff_only="split")],
    }
    laid_out = [workspaces.Section(name, panels=shown, is_open=True) for name, shown in sections.items()]
    return workspaces.Workspace(entity, project, "convtasnet_lit", laid_out)


def write_spec(workspace: Any, path: Path) -> None:
    """Write a workspace as JSON, which needs neither a key nor a network.

    Args:
        workspace: What `make_workspace` returned.
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    text = workspace._to_model().spec.model_dump_json(by_alias=True, indent=1)
    with written_whole(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
