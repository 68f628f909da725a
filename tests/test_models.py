"""The networks in the package: each opens, and what is said of it is what its card says."""

import re
import sys
from pathlib import Path

import pytest

from convtasnet_lit import models
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.weights.pretrained import load_pretrained
from convtasnet_lit.weights.shipped import DEFAULT, FOLDER, shipped_names

README, CHINESE = (
    (Path(__file__).parents[1] / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")
)


@pytest.mark.parametrize("name", shipped_names())
def test_what_is_said_of_a_network_is_true_of_it(name: str) -> None:
    said, trained = models.described(name), load_pretrained(name)
    assert said["parameters"] == f"{sum(weights.numel() for weights in trained.network.parameters()):,}"
    assert (said["speakers"], said["rate"]) == (str(trained.network.num_sources), f"{trained.sample_rate} Hz")
    card = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert f"# {name}\n" in card
    (header,) = re.findall(r"^\| mixtures of \| (.*) \|$", card, re.MULTILINE)
    for group in ("all", "FF", "FM", "MM"):
        (figures,) = re.findall(rf"^\| {group} \| (.*) \|$", card, re.MULTILINE)
        improved = dict(zip(header.split(" | "), figures.split(" | "), strict=True))["SI-SDRi (dB)"]
        assert f"{group} {improved}" in said["SI-SDRi, dB"]
    assert "not said" not in said.values()


def test_the_command_lists_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["models"])
    models.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == shipped_names()
    assert [line for line in lines if "(default)" in line] == [f"{DEFAULT} (default)"]
    assert max(len(line) for line in lines if "/" not in line) <= 120


def test_a_card_without_scores_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/config.json").write_text((FOLDER / DEFAULT / "config.json").read_text())
    (tmp_path / "bare/README.md").write_text("---\nlicense: mit\n---\n\n# bare\n")
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    monkeypatch.setattr("convtasnet_lit.weights.shipped.FOLDER", tmp_path)
    said = models.described("bare")
    assert (said["SI-SDRi, dB"], said["parameters"], said["heard"]) == ("not measured", "not said", "not said")
    assert said["licence"] == "mit"


def test_the_readme_opens_with_the_figures_of_the_default_network() -> None:
    said = models.described(DEFAULT)["SI-SDRi, dB"]
    whole, interval = re.findall(r"all ([\d.]+) \(([\d.]+ to [\d.]+)\)", said)[0]
    top = " ".join(README.split("## ")[0].split())
    assert f"improves the SI-SDR by {whole} dB (95 % interval {interval})" in top
    two_women, both, two_men = (re.findall(rf"{pair} ([\d.]+)", said)[0] for pair in ("FF", "FM", "MM"))
    assert f"by {two_women} dB for two women, {both} dB for a woman and a man, {two_men} dB for two men" in top
    chinese = "".join(CHINESE.splitlines())
    assert f"提高 {whole} dB（95 % 置信区间 {interval.replace('to', '至')}）" in chinese
    assert f"两位女性{two_women} dB，一女一男 {both} dB，两位男性 {two_men} dB" in chinese


def test_python_takes_the_default_network_too() -> None:
    separator = Separator.from_pretrained(device="cpu")
    assert (separator.sample_rate, separator.network.num_sources) == (8000, 2)
