"""The workspace as code asks for metrics and media that a run really logs."""

import json
from pathlib import Path

import pytest

from convtasnet_lit.dashboards.media import KEYS


@pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # in wandb-workspaces
def test_the_specification_is_json_and_names_what_runs_log(tmp_path: Path) -> None:
    pytest.importorskip("wandb_workspaces")
    from convtasnet_lit.dashboards.workspace import make_workspace, write_spec

    write_spec(make_workspace("team", "project", "model.mask_activation"), tmp_path / "workspace.json")
    text = (tmp_path / "workspace.json").read_text()
    json.loads(text)
    logged = ("val/si_sdri", "train/loss", "val/loss", "lr", "train/gradient_norm", "train/mask_share_above_1")
    for key in (*logged, *(key.format("mixture 1") for key in KEYS)):
        assert f'"{key}"' in text
