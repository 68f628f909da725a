"""Equal minutes: the clock rules, the steps are the package's own, and the table compares what was scored."""

import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks import contestants, equal_minutes, recipes, standings
from convtasnet_lit.comparison.arms import read_sweep
from convtasnet_lit.comparison.runs import EVALUATION
from convtasnet_lit.config import Config, Precision, ScheduleConfig, ScheduleName
from convtasnet_lit.data_config import AugmentConfig, DataConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.training.run import train
from convtasnet_lit.weights.pretrained import read_stored

STEPS = 4
MINUTES = STEPS / 60  # a step a second, see `clock`


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes at each step, from the start of each run to its end."""
    ticks = cycle([0, *range(STEPS + 1)])
    monkeypatch.setattr(equal_minutes, "process_time", lambda: next(ticks))


@pytest.fixture
def ours(config: Config) -> Config:
    """Our run as an epoch of so many steps, in bfloat16 and with a cosine.

    It has no warm-up, whose end steps and shares of time round in different ways.
    """
    trainer = replace(config.trainer, precision=Precision.bf16, accumulate_grad_batches=1, max_epochs=1)
    data = replace(config.data, batch_size=STEPS, train_mixtures=STEPS * STEPS)
    schedule = ScheduleConfig(ScheduleName.warmup_cosine, warmup_fraction=0.0)
    return replace(config, trainer=trainer, data=data, schedule=schedule)


@pytest.mark.parametrize("settings", recipes.SETTINGS)
def test_our_steps_are_those_of_the_packages_own_training(settings: str, ours: Config, tmp_path: Path) -> None:
    folder = equal_minutes.run(ours, "ours", settings, MINUTES, 7, tmp_path)
    if settings == "same-size":  # float32 at a constant rate: an epoch is too short for a halving
        ours = replace(ours, trainer=replace(ours.trainer, precision=Precision.fp32), schedule=ScheduleConfig())
    train(replace(ours, seed=7), tmp_path / "own")
    expected = read_stored(tmp_path / "own" / "checkpoints" / "last.ckpt").build().state_dict()
    trained = load_file(folder / "weights.safetensors")
    assert trained.keys() == expected.keys()
    for name, weight in trained.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-7, msg=name)


def test_all_are_scored_on_the_same_mixtures_and_compared_in_pairs(
    ours: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {}
    for system in recipes.SYSTEMS:
        settings = "recipe" if system == "ours" else "same-size"
        try:
            folders = [equal_minutes.run(ours, system, settings, MINUTES, seed, tmp_path) for seed in (0, 1)]
        except InputError:  # the peer is not installed
            continue
        runs[f"{system}, {settings}"] = pd.concat([pd.read_csv(f / EVALUATION / "per_utterance.csv") for f in folders])
    assert {"ours, recipe", "torchaudio, same-size"} <= set(runs)
    mixed = ["mixture", "group", "sha256_1", "sha256_2", "level_db_2"]
    means = {name: scores["si_sdri"].mean() for name, scores in runs.items()}
    (budget,), (part,) = tmp_path.glob("*min"), standings.table(tmp_path)
    assert {arm.name for arm in read_sweep([budget]).arms} == set(runs)  # as `report` calls them
    assert part.rows[0][""] == "ours, recipe" and {row[""] for row in part.rows} == set(runs)
    for row in part.rows:
        name = str(row[""])
        pd.testing.assert_frame_equal(runs[name][mixed], runs["ours, recipe"][mixed])
        assert str(row["SI-SDRi (dB)"]).split()[0] == f"{means[name]:.2f}"
        assert row["seconds of audio"] == STEPS * STEPS * 0.5
        if name != "ours, recipe":
            difference = means[name] - means["ours, recipe"]
            assert str(row["over ours, recipe (dB)"]).split()[0] == f"{difference:+.2f}"
    monkeypatch.setattr(sys, "argv", ["equal_minutes", "table", "--out", str(tmp_path)])
    equal_minutes.main()
    printed = capsys.readouterr().out
    assert all(f"\n| {name} |" in printed for name in runs)


def test_networks_hear_the_noise_and_are_not_asked_for_it(data: DataConfig) -> None:
    module = MixtureDataModule(data, AugmentConfig(noise_probability=1))
    heard, asked = [], []

    class Kept(torch.nn.Conv1d):
        def forward(self, mixture: Tensor) -> Tensor:
            heard.append(mixture)
            return super().forward(mixture[:, None])

    def loss(estimates: Tensor, sources: Tensor) -> Tensor:
        asked.append(sources)
        return (estimates - sources).square().mean()

    recipe = replace(recipes.recipe_of("ours", "same-size", Config()), batch=2)
    equal_minutes.train(Kept(1, 2, 1), loss, equal_minutes.batches(module, 2), recipe, 5.0, 1.0)
    expected = [module.training_mixtures()[0, number] for number in range(2)]
    torch.testing.assert_close(heard[0], torch.stack([item.mixture for item in expected]))
    torch.testing.assert_close(asked[0], torch.stack([item.sources for item in expected]))


def test_a_run_that_is_there_is_not_repeated(ours: Config, tmp_path: Path) -> None:
    folder = equal_minutes.run(ours, "ours", "recipe", MINUTES, 0, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert equal_minutes.run(ours, "ours", "recipe", MINUTES, 0, tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(InputError, match=r"ours-recipe-0: .*\[\], not .*data\.segment=1s.*; choose another --out"):
        equal_minutes.run(ours, "ours", "recipe", MINUTES, 0, tmp_path, ["data.segment=1s"])


@pytest.mark.parametrize("system", [name for name, system in recipes.SYSTEMS.items() if system.recipe])
def test_the_networks_of_the_recipes_can_be_built(system: str, ours: Config) -> None:
    recipe = recipes.recipe_of(system, "recipe", ours)
    try:
        network = contestants.build(recipes.SYSTEMS[system].network, recipe.shape)
    except ImportError:
        pytest.skip(f"{system} is not installed")
    assert network(torch.randn(1, 1000)).shape == (1, 2, 1000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--system", "ours", "--minutes", "0"], "--minutes: 0.0 is not allowed; it must be above 0"),
        (["train", "--system", "ours", "--seed", "-1"], "--seed: -1 is not allowed; it must be from 0 to 4294967295"),
        (["train", "--system", "ours", "data.segmnt=2s"], "data.segmnt: there is no such key"),
        (["table", "--out", "nowhere"], "--out: nowhere is not allowed; it must be a folder that `train` wrote to"),
    ],
)
def test_bad_values_are_refused_in_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["equal_minutes", *arguments])
    with pytest.raises(SystemExit):
        equal_minutes.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
