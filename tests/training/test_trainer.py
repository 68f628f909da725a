"""What a run is told before it begins: slow arithmetic, and whether a key of W&B is there."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convtasnet_lit.config import Config, Precision
from convtasnet_lit.training.trainer import _logged_in, make_trainer


@pytest.mark.parametrize("precision", [Precision.bf16, Precision.fp32])
def test_slow_bfloat16_is_announced_before_the_first_step(
    precision: Precision,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    make_trainer(replace(config, trainer=replace(config.trainer, precision=precision)), tmp_path)
    said = "this processor has no bfloat16 instructions" in capsys.readouterr().err
    assert said == (precision is Precision.bf16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("machine api.wandb.ai\n  login user\n  password secret\n", True),
        ("machine example.org login user password secret\n# not api.wandb.ai\n", False),
        ("no netrc at all {", False),
        (None, False),
    ],
)
def test_a_key_of_wandb_is_looked_for_in_netrc(
    text: str | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if text is not None:
        (tmp_path / "netrc").write_text(text)
    assert _logged_in() == expected
