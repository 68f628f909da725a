"""Runs are put together by what they are, and what cannot be compared is refused or said."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from convtasnet_lit.comparison.answers import answer, tables, time_to
from convtasnet_lit.comparison.arms import read_sweep
from convtasnet_lit.comparison.figures import draw
from convtasnet_lit.comparison.runs import read_run
from convtasnet_lit.comparison.statistics import holm
from convtasnet_lit.comparison.words import statements
from convtasnet_lit.errors import InputError
from tests.comparison.made import MIXTURES, SPEAKERS, write_run, write_sweep


def change_scores(run: Path, rows: list[int], value: object) -> None:
    path = run / "evaluation-test" / "per_utterance.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[rows, ["si_sdr", "si_sdri"]] = value
    table.to_csv(path, index=False)


def test_arms_are_runs_that_differ_in_their_seed_alone(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0, "relu": 0.5})
    write_run(tmp_path / "relu-9", 9, 0.5, (), {"model.mask_activation": "relu", "data.num_workers": 7, "name": "x"})
    sweep = read_sweep([tmp_path, tmp_path / "relu-0"])
    seeds = {arm.name: [run.seed for run in arm.runs] for arm in sweep.arms}
    assert seeds == {"relu": [0, 1, 2, 9], "sigmoid": [0, 1, 2]}
    assert sweep.differing == ["model.mask_activation"]
    assert not sweep.notes


def test_arms_are_called_by_their_ablation_where_that_tells_them_apart(tmp_path: Path) -> None:
    changed = {"model.mask_activation": "sigmoid", "data.normalize": False}
    write_run(tmp_path / "a", 0, 0.0, ["ablation=before"], changed)
    write_run(tmp_path / "b", 0)
    assert [arm.name for arm in read_sweep([tmp_path]).arms] == ["baseline", "before"]
    write_run(tmp_path / "c", 0, 0.0, (), {"optimizer.lr": 0.01})
    names = {arm.name for arm in read_sweep([tmp_path]).arms}
    assert "relu, normalize=True, lr=0.01" in names


def test_the_baseline_is_the_one_asked_for(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0, "relu": 0.5}, seeds=1)
    assert read_sweep([tmp_path / "sigmoid-0", tmp_path / "relu-0"]).baseline.name == "sigmoid"
    assert read_sweep([tmp_path], "sigmoid").baseline.name == "sigmoid"
    with pytest.raises(InputError, match="--baseline: tanh is not allowed; it must be one of the arms: relu, sigmoid"):
        read_sweep([tmp_path], "tanh")


def test_differences_are_paired_by_mixture_and_seed(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0, "relu": 0.5})
    write_run(tmp_path / "relu-7", 7, 5.0, (), {"model.mask_activation": "relu"})  # no such seed in sigmoid
    (found,) = answer(read_sweep([tmp_path], "sigmoid")).differences
    tables = {
        name: [pd.read_csv(tmp_path / f"{name}-{seed}/evaluation-test/per_utterance.csv") for seed in range(3)]
        for name in ("relu", "sigmoid")
    }
    each = [(a - b).mean() for a, b in zip(*[[t["si_sdri"] for t in tables[n]] for n in tables], strict=True)]
    assert found.found.each == pytest.approx(each)
    assert found.found.mean == pytest.approx(np.mean(each))
    assert found.found.low > 0.2


@pytest.mark.parametrize("missing", ["", "inf"])
def test_a_mixture_without_a_score_leaves_every_run_and_is_told(tmp_path: Path, missing: str) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0, "relu": 0.5})
    change_scores(tmp_path / "relu-1", [3, 4], missing)
    sweep = read_sweep([tmp_path])
    assert all(len(arm.mixtures) == MIXTURES - 2 and 3 not in arm.mixtures for arm in sweep.arms)
    (note,) = sweep.notes
    assert f"relu-1: 2 of {MIXTURES} mixtures have no score" in note


def test_a_run_without_any_score_is_left_out_and_told(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0, "relu": 0.5})
    change_scores(tmp_path / "relu-1", list(range(MIXTURES)), "")
    sweep = read_sweep([tmp_path], "sigmoid")
    assert len(sweep.arms[1].scored) == 2 and len(sweep.arms[1].mixtures) == MIXTURES
    assert ["relu-1: evaluated, but no mixture has a finite SI-SDRi" in note for note in sweep.notes] == [True]
    answers = answer(sweep)
    assert answers.differences[0].p_holm < 0.05  # the two that are left would bear a claim
    assert statements(answers)[0].startswith(
        "relu and sigmoid: no difference is claimed, as no score of relu-1 is finite"
    )
    assert tables(answers)["differences"]["p (Holm)"].isna().all()


def test_the_epochs_to_every_level_that_both_arms_always_reached_are_one_family(tmp_path: Path) -> None:
    reached = {"baseline": (4.5, 4.6, 4.7), "fast": (4.4, 4.6, 4.8), "weaker": (2.5, 4.5, 4.6)}  # dB after six epochs
    for name, ends in reached.items():
        for seed, end in enumerate(ends):
            run = write_run(tmp_path / f"{name}-{seed}", seed, 0.0, [f"ablation={name}"], {"optimizer.lr": len(name)})
            shape = 0.5 if name == "fast" else 1.0
            curve = 0.3 + (end - 0.3) * (np.arange(6) / 5) ** shape
            pd.read_csv(run / "history.csv").head(6).assign(**{"val/si_sdri": curve}).to_csv(
                run / "history.csv", index=False
            )
    answers = answer(read_sweep([tmp_path]))
    compared = [(one.arm, one.level) for one in answers.speed]
    assert answers.levels == [1, 2, 3, 4]
    assert compared == [*[("fast", level) for level in (1, 2, 3, 4)], ("weaker", 1), ("weaker", 2)]
    table = tables(answers)["speed"]
    assert table["p (Holm)"].tolist() == pytest.approx(holm([one.found.p for one in answers.speed]))
    first = [time_to(run, 1.0)[0] for arm in answers.sweep.arms[:2] for run in arm.runs]
    assert table["mean"][0] == pytest.approx(np.prod(np.divide(first[3:], first[:3])) ** (1 / 3))
    said = [line for line in statements(answers) if "epochs" in line.lower()]
    claims = (table["p (Holm)"] < 0.05).sum()
    assert 0 < claims < 6 and len(said) == claims + 1
    assert said[-1].endswith(f"no difference is claimed in {6 - claims} of 6 comparisons with baseline")


def test_arms_without_a_common_seed_are_told_and_drawn(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0}, seeds=2)
    write_run(tmp_path / "relu-2", 2, 0.5, (), {"model.mask_activation": "relu"})
    answers = answer(read_sweep([tmp_path], "sigmoid"))
    assert statements(answers) == ["relu and sigmoid: nothing can be told, as they have no seed in common"]
    assert "arms" in draw(answers) and "differences" not in draw(answers)


def test_how_soft_the_softest_speaker_is_comes_from_the_levels(tmp_path: Path) -> None:
    table = pd.read_csv(write_run(tmp_path / "a") / "evaluation-test" / "per_utterance.csv", dtype=str)
    table.loc[1, ["level_db_1", "level_db_2"]] = ["0.0", ""]
    table.loc[2, ["level_db_1", "level_db_2"]] = ["0.0", "2.0"]
    table["level_db_3"] = ""
    table.loc[3, ["level_db_1", "level_db_2", "level_db_3"]] = ["0.0", "0.0", "-3.0"]
    table.to_csv(tmp_path / "a" / "evaluation-test" / "per_utterance.csv", index=False)
    arm = read_sweep([tmp_path]).baseline
    assert arm.softest()[[1, 2, 3]] == pytest.approx([np.nan, -2.0, -3.0 - 10 * np.log10(2)], nan_ok=True)
    two = np.delete(arm.softest(), [1, 3])
    levels = table[["level_db_1", "level_db_2"]].drop(index=[1, 3]).astype(float).to_numpy()
    assert two == pytest.approx(-abs(np.diff(levels)[:, 0]))


@pytest.mark.parametrize("lines", [0, 1])
def test_a_line_of_tenths_needs_a_hundred_mixtures(tmp_path: Path, lines: int) -> None:
    run = write_run(tmp_path / "a")
    change_scores(run, [] if lines else [5], "")
    (axis,) = draw(answer(read_sweep([run])))["softest"].axes
    assert len(axis.lines) == lines


def test_curves_by_hour_go_on_where_one_run_stood_still(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"relu": 0.0})
    history = pd.read_csv(tmp_path / "relu-0" / "history.csv")
    history.loc[1, "seconds"] += 36_000
    history.to_csv(tmp_path / "relu-0" / "history.csv", index=False)
    answers = answer(read_sweep([tmp_path]))
    *seeds, mean = draw(answers)["curves-by-hour"].axes[0].lines
    assert mean.get_ydata()[-1] == pytest.approx(np.mean([seed.get_ydata()[-1] for seed in seeds]))
    assert mean.get_xdata()[-1] == pytest.approx(12 * 62 / 3600)  # the slower of the two that did not stand still


def test_missing_and_outdated_evaluations_and_single_seeds_are_told(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0)
    write_run(tmp_path / "b", 1)
    for file in (tmp_path / "b" / "evaluation-test").iterdir():
        file.unlink()
    history = pd.read_csv(tmp_path / "a" / "history.csv")
    history.loc[2, "val/loss"] = -99
    history.to_csv(tmp_path / "a" / "history.csv", index=False)
    notes = read_sweep([tmp_path]).notes
    assert len(notes) == 3
    assert re.search(r"a: epoch \d+ was evaluated, but 3 is the best", notes[0])
    assert "b: not evaluated; python -m convtasnet_lit.evaluate checkpoint=" in notes[1]
    assert notes[2].startswith("baseline: one seed; it has no interval")


def test_another_test_list_is_never_compared(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0})
    write_run(tmp_path / "relu-0", 0, 0.5, (), {"model.mask_activation": "relu"}, test_list=1)
    sweep = read_sweep([tmp_path], "sigmoid")
    answers = answer(sweep)
    assert not answers.differences and not answers.speed
    assert any(note.startswith("relu: scored on another test list") for note in sweep.notes)
    write_run(tmp_path / "sigmoid-8", 8, 0.5, (), {"model.mask_activation": "sigmoid"}, test_list=1)
    with pytest.raises(InputError, match=r"sigmoid-. and .*sigmoid-8: one arm on two test lists"):
        read_sweep([tmp_path])


def test_scores_under_conditions_are_never_compared_with_clean_ones_and_are_told(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0, "relu": 0.5})
    for seed in range(3):
        report = tmp_path / f"relu-{seed}" / "evaluation-test" / "metrics.json"
        report.write_text(json.dumps(json.loads(report.read_text()) | {"conditions": ["room"], "target": "dry"}))
    sweep = read_sweep([tmp_path], "sigmoid")
    assert not answer(sweep).differences
    assert any(note.startswith("relu: scored on another test list") for note in sweep.notes)
    assert sum("relu-" in note and note.endswith("its test mixtures were under room") for note in sweep.notes) == 3
    report.write_text(json.dumps(json.loads(report.read_text()) | {"target": "reverberant"}))
    with pytest.raises(InputError, match=r"relu-. and .*relu-2: one arm on two test lists"):
        read_sweep([tmp_path], "sigmoid")


def test_arms_of_one_seed_are_not_counted_among_the_comparisons(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"sigmoid": 0.0, "relu": 0.5})
    write_run(tmp_path / "softmax-0", 0, 0.2, (), {"model.mask_activation": "softmax"})
    found = answer(read_sweep([tmp_path], "sigmoid"))
    assert len(found.differences) == 2
    (relu,) = [line for line in statements(found) if line.startswith("relu") and "dB [" in line]
    assert "p = " in relu
    assert "as one of" not in relu  # its p is that of one comparison


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("history.csv", "epoch,seconds\n0,abc\n", "seconds: .*abc"),
        ("history.csv", "epoch,seconds,val/si_sdri\n0,1,5 dB\n", "val/si_sdri: .*5 dB"),
        ("history.csv", "epoch,seconds\n,1\n", "epoch: not finite"),
        (".hydra/config.yaml", "seed: null\n", "seed, None: not as"),
        ("environment.json", '["a"]', "a part: not as"),
        ("evaluation-test/metrics.json", '{"epoch": "x"}', "epoch: not as"),
        ("evaluation-test/metrics.json", '{"examples": null}', "examples: not as"),
    ],
)
def test_a_damaged_value_is_named(tmp_path: Path, file: str, text: str, named: str) -> None:
    run = write_run(tmp_path / "a", 0)
    (run / file).write_text(text)
    with pytest.raises(InputError, match=rf"{Path(file).name}: .*{named}"):
        read_sweep([run])


def test_scores_that_are_missing_are_not_taken_for_scores_that_are_not_finite(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", 0)
    (run / "evaluation-test" / "per_utterance.csv").unlink()
    with pytest.raises(InputError, match=r"per_utterance.csv: is missing beside metrics.json"):
        read_sweep([run])


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a", 0)
    with pytest.raises(InputError, match="nowhere: neither a run nor a folder of runs"):
        read_sweep([tmp_path / "nowhere"])
    write_run(tmp_path / "runs" / "b", 0)
    with pytest.raises(InputError, match=r"a and .*b: the same arm and seed|b and .*a: the same arm and seed"):
        read_sweep([tmp_path / "runs"])
    for column in ("si_sdri", "level_db_2"):
        table = pd.read_csv(run / "evaluation-test" / "per_utterance.csv", dtype=str)
        table.assign(**{column: ["oops", *table[column][1:]]}).to_csv(tmp_path / "damaged.csv", index=False)
        (run / "evaluation-test" / "per_utterance.csv").rename(tmp_path / "whole.csv")
        (tmp_path / "damaged.csv").rename(run / "evaluation-test" / "per_utterance.csv")
        with pytest.raises(InputError, match=rf"per_utterance.csv: cannot be read, .*: {column}: .*oops"):
            read_sweep([run])
        (tmp_path / "whole.csv").rename(run / "evaluation-test" / "per_utterance.csv")
    (run / "evaluation-test" / "metrics.json").write_text('{"checkpoint": ')
    with pytest.raises(InputError, match=r"metrics.json: cannot be read, perhaps cut short"):
        read_sweep([run])
    (run / "evaluation-test" / "metrics.json").write_text("[]")
    with pytest.raises(InputError, match=r"metrics.json: not as training and evaluation write it"):
        read_sweep([run])
    (run / "evaluation-test" / "metrics.json").write_text('{"epoch": null, "checkpoint": "best.ckpt"}')
    assert not [note for note in read_sweep([run]).notes if "evaluated" in note]
    (run / "evaluation-test" / "per_utterance.csv").write_text("mixture,group,si_sdr\n0,FM,1.0\n")
    with pytest.raises(
        InputError, match=r"per_utterance.csv: lacks level_db_1, samples, sha256_1, si_sdri, speaker_1;"
    ):
        read_sweep([run])
    for name in ("per_utterance.csv", "metrics.json"):
        (run / "evaluation-test" / name).unlink()
    with pytest.raises(InputError, match=r"no run of the baseline has scores; .*checkpoint=.*a$"):
        read_sweep([run])


def test_speakers_named_like_numbers_stay_names(tmp_path: Path) -> None:
    scores = read_run(write_run(tmp_path / "a")).scores
    assert set(scores["speaker_1"]) <= {f"{speaker:03d}" for speaker in range(SPEAKERS)}


def test_a_level_is_reached_between_the_epochs_around_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    table = {"epoch": [0, 1, 2, 3], "seconds": [10.0, 20.0, 30.0, 40.0], "val/si_sdri": [2.0, 4.0, 3.0, 8.0]}
    pd.DataFrame(table).to_csv(run / "history.csv", index=False)
    reached = [time_to(read_run(run), level) for level in (1.0, 3.0, 4.0, 5.5, 9.0)]
    expected = [(1, 10), (1.5, 20), (2, 30), (3.5, 80), (np.nan, np.nan)]
    assert np.array(reached) == pytest.approx(np.array(expected), nan_ok=True)
