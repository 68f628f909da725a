"""The workspace as code asks for metrics and media that a run really logs."""

import json
import re
import sys
from pathlib import Path

import pytest

from convtasnet_lit import dashboard
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


@pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.mask_activaton"], "groupby: model.mask_activaton is not allowed; .* such as model.mask_activation"),
        (["nonsense.key"], "groupby: nonsense.key is not allowed; it must be a setting of training, such as"),
        (["--out", "file/workspace.json"], "--out: file/workspace.json cannot be written: "),
    ],
)
def test_what_cannot_be_laid_out_is_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("wandb_workspaces")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(sys, "argv", ["dashboard", *arguments])
    Path("file").touch()
    with pytest.raises(SystemExit, match="2"):
        dashboard.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"error: {said}", line)
    assert [path.name for path in Path().iterdir()] == ["file"]
