"""Means and intervals against known distributions; tables and pictures are drawn."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from convtasnet_lit.evaluation.pictures import spectrogram_figure
from convtasnet_lit.evaluation.scores import describe, interval, summarize, summarize_counts
from convtasnet_lit.evaluation.tables import counting_table, score_table
from convtasnet_lit.training.curves import draw_curves


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = interval(values) or (0.0, 0.0)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert interval(values) == interval(values)


def test_few_and_equal_values() -> None:
    assert describe(np.array([3.0])) == {"mean": 3.0, "median": 3.0, "ci95": None}
    assert interval(np.full(9, 2.0)) == [2.0, 2.0]


def test_groups_are_apart() -> None:
    scores = pd.DataFrame({"group": ["FF", "FM", "FM"], "finite": True, "si_sdri": [1.0, 3.0, 5.0]})
    summary = summarize(scores, ["si_sdri"])
    assert [summary[g]["mixtures"] for g in ("all", "FF", "FM")] == [3, 1, 2]
    assert [summary[g]["si_sdri"]["mean"] for g in ("all", "FF", "FM")] == [3.0, 1.0, 4.0]
    assert "FM" in printed(score_table({"scores": summary, "corpus": "demo", "split": "test"}))


def printed(table: Table) -> str:
    text = StringIO()
    Console(width=120, file=text).print(table)
    return text.getvalue()


def test_mixtures_without_a_score_leave_the_mean_alone() -> None:
    groups = {"group": ["F", "FM", "FM"], "finite": True}
    scores = pd.DataFrame(groups | {"si_sdr": [9.0, 1.0, 2.0], "si_sdri": [np.nan, 3.0, 5.0]})
    summary = summarize(scores, ["si_sdr", "si_sdri"])
    assert summary["all"]["mixtures"] == 3
    assert summary["all"]["si_sdri"] == summary["FM"]["si_sdri"] == describe(np.array([3.0, 5.0]))
    assert set(summary["F"]) == {"mixtures", "si_sdr"}
    assert "9.00" in printed(score_table({"scores": summary, "corpus": "demo", "split": "test"}))


def test_a_score_that_is_nan_shows_in_the_mean_and_leaves_valid_json() -> None:
    groups = {"group": ["F", "FF", "FF", "FM"], "finite": [True, True, False, True]}
    scores = pd.DataFrame(groups | {"si_sdr": [9.0, 1.0, np.nan, 3.0], "si_sdri": [np.nan, 2.0, np.nan, 4.0]})
    summary = summarize(scores, ["si_sdr", "si_sdri"])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    for group, name in ((group, name) for group in ("all", "FF") for name in ("si_sdr", "si_sdri")):
        assert summary[group][name] == {"mean": None, "median": None, "ci95": None}
    assert (summary["FM"]["si_sdri"]["mean"], set(summary["F"])) == (4.0, {"mixtures", "si_sdr"})
    shown = printed(score_table({"scores": summary, "corpus": "demo", "split": "test"}))
    assert shown.count("NaN") == 4


def test_counts_are_summarized_by_the_true_number() -> None:
    speakers = np.repeat([1, 2, 3], 100)
    wrong = np.random.default_rng(0).random(300) < 0.2
    counts = summarize_counts(pd.DataFrame({"speakers": speakers, "heard": np.where(wrong, 2, speakers)}))
    right = 1 - (wrong & (speakers != 2)).mean()
    assert counts["accuracy"] == pytest.approx(right)
    low, high = counts["ci95"]
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(right * (1 - right) / 300), rel=0.1)
    assert {number: sum(row.values()) for number, row in counts["confusion"].items()} == dict.fromkeys("123", 100)
    assert counts["confusion"]["2"] == {"1": 0, "2": 100, "3": 0}
    assert f"{right:.0%}" in printed(counting_table(counts))


def test_curves_and_spectrograms_are_pictures(tmp_path: Path) -> None:
    history = {"epoch": [0, 1], "train/loss": [-1, -2], "val/loss": [-1, -3], "lr": [1e-3, 0.0]}
    pd.DataFrame(history).to_csv(tmp_path / "history.csv")
    draw_curves(tmp_path / "history.csv", tmp_path / "curves.png")
    silent_then_loud = np.concatenate((np.zeros(4000), np.random.default_rng(0).normal(size=4000)))
    figure = spectrogram_figure({"mixture": silent_then_loud, "silence": np.zeros(8000)}, 8000)
    figure.savefig(tmp_path / "s.png", dpi=120)
    for name in ("curves.png", "s.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
