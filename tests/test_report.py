"""The report's door: its files, their figures, and the page in a browser."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml

from convtasnet_lit import report
from convtasnet_lit.comparison.arms import read_sweep
from convtasnet_lit.comparison.listening import examples
from convtasnet_lit.comparison.single import sentences
from convtasnet_lit.config import Accelerator, Config, EvaluateConfig, MaskActivation, plain
from convtasnet_lit.evaluation.evaluating import evaluate
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from tests.browser import CHROMIUM, opened
from tests.comparison.made import write_run, write_sweep
from tests.runs import write_run as write_trained


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A report of three arms and three seeds, and what it said."""
    folder = tmp_path_factory.mktemp("report")
    runs = write_sweep(folder / "runs", {"sigmoid": 0.0, "relu": 0.5, "<softmax> & $5$_%": -0.05}, examples=3)
    return report.report([runs], folder / "out", "sigmoid"), folder / "out"


def test_the_words_are_those_of_the_figures(made: tuple[list[str], Path]) -> None:
    said, out = made
    table = pd.read_csv(out / "tables" / "differences.csv").set_index("arm")
    low, high = table.loc["relu", ["low", "high"]]
    assert re.fullmatch(
        r"relu over sigmoid: \+0\.5\d dB \[0\.\d\d, 0\.\d\d\], 3 seeds, p = 0\.0\d+ as one of 2", said[1]
    )
    assert 0 < low < 0.5 < high and f"{table.loc['relu', 'mean']:+.2f} dB" in said[1]
    assert said[0].startswith("<softmax> & $5$_% and sigmoid: no difference can be told")
    assert any("cannot go below p = 0.25" in line for line in said)


def test_tables_and_figures_can_be_used_elsewhere(made: tuple[list[str], Path]) -> None:
    out = made[1]
    names = {path.stem for path in (out / "tables").iterdir()}
    assert names == {"arms", "differences", "groups", "levels", "speed", "settings", "runs", "mixtures", "origin"}
    for name in names:
        assert len(pd.read_csv(out / "tables" / f"{name}.csv"))
        lines = (out / "tables" / f"{name}.md").read_text().splitlines()[2:]
        assert len({line.count(" | ") for line in lines}) == 1
        text = (out / "tables" / f"{name}.tex").read_text()
        assert re.search(r"(?<!\\)[%$#_]", text.replace(f"\\label{{tab:{name}}}", "")) is None
    figures = {path.stem for path in (out / "figures").iterdir()}
    assert figures == {"arms", "differences", "groups", "curves-by-epoch", "curves-by-hour", "softest"}
    for name in figures:
        assert ElementTree.parse(out / "figures" / f"{name}.svg").getroot().tag.endswith("svg")
        assert (out / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    runs = pd.read_csv(out / "tables" / "runs.csv")
    scores = out.parent / "runs" / runs["folder"][0] / "evaluation-test" / "per_utterance.csv"
    assert runs["SI-SDRi (dB)"][0] == pytest.approx(pd.read_csv(scores)["si_sdri"].mean())


def test_the_page_needs_nothing_else_and_says_what_is_not_known(made: tuple[list[str], Path]) -> None:
    page = (made[1] / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert sources and all(source.startswith(("data:", "#")) for source in sources)
    assert "<softmax>" not in page and "&lt;softmax&gt; &amp; $5$_%" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert "not recorded by any run" in page


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False)])
def test_in_a_browser_players_play_and_nothing_is_fetched(
    made: tuple[list[str], Path], tmp_path: Path, width: int, dark: bool
) -> None:
    with opened(tmp_path) as page:
        page.open((made[1] / "report.html").as_uri(), width, dark)
        assert page.ask("document.documentElement.scrollWidth") <= width
        play = "a.muted = true; await a.play(); const seen = [a.duration, a.paused, a.error]; a.pause(); return seen"
        players = page.ask(f"Promise.all([...document.querySelectorAll('audio')].map(async a => {{ {play} }}))")
        assert len(players) == 3 * (3 + 3 * 2)
        assert all(player == [2, False, None] for player in players)
        pictures = page.ask("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert pictures
        # what is read on a telephone: no text of a figure below 8 pixels, ink that stands out from the paper
        smallest = "Math.min(...[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height))"
        assert page.ask(smallest) >= 8
        ink, paper = (page.ask(f"getComputedStyle(document.body).{key}") for key in ("color", "backgroundColor"))
        bright = [sum(map(int, re.findall(r"\d+", colour))) for colour in (ink, paper)]
        assert (bright[0] - bright[1] > 400) if dark else (bright[1] - bright[0] > 400)
        asked = {event["request"]["url"].partition(":")[0] for event in page.named("Network.requestWillBeSent")}
        assert asked <= {"file", "data"}
        assert not page.named("Log.entryAdded") and not page.named("Runtime.exceptionThrown")


def test_the_door_says_one_line_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as left:
        report.main()
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: ") and not (tmp_path / "out").exists()


def test_arms_that_differ_in_a_number_are_drawn_by_it(tmp_path: Path) -> None:
    for number, gain in ((40, 2.0), (5, 0.0), (640, 3.0)):
        for seed in range(2):
            write_run(tmp_path / f"{number}-{seed}", seed, gain, (), {"data.train_speakers": number})
    report.report([tmp_path / "40-0", tmp_path / "40-1", tmp_path / "5-0", tmp_path / "5-1"], tmp_path / "two")
    assert not (tmp_path / "two" / "figures" / "number.svg").exists()
    report.report([tmp_path], tmp_path / "out", "train_speakers=40")
    arms = pd.read_csv(tmp_path / "out" / "tables" / "arms.csv")["arm"]
    assert arms.tolist() == [f"train_speakers={number}" for number in (40, 5, 640)]  # the baseline, then by number
    svg = (tmp_path / "out" / "figures" / "number.svg").read_text()
    at = {number: float(x) for x, number in re.findall(r'x="([\d.]+)"[^>]*>(5|40|640)</text>', svg)}
    assert (at["40"] - at["5"]) / (at["640"] - at["40"]) == pytest.approx(
        3 / 4, rel=0.01
    )  # octaves: the axis is logarithmic
    assert "train_speakers" in svg and 'id="number-' in (tmp_path / "out" / "report.html").read_text()


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    runs = write_sweep(tmp_path / "runs", {"relu": 0.0}, seeds=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    report.report([runs / "relu-0"], tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert "there is nothing to hear" in (tmp_path / "out" / "report.html").read_text()


def test_a_lone_run_has_a_page_of_its_own_that_compares_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "relu-0", examples=6)
    low, high = json.loads((run / "evaluation-test" / "metrics.json").read_text())["scores"]["all"]["si_sdri"]["ci95"]
    said = report.report([run], tmp_path / "out")
    assert re.fullmatch(r"SI-SDRi: \d\.\d\d dB \[\S+, \S+\] over 100 mixtures of 16 test speakers", said[0])
    assert float(said[0].split("[")[1].split(",")[0]) == pytest.approx(low, abs=0.01)
    assert said[1:] == ["Trained for 12 epochs in 12 minutes; the network of epoch 12 was evaluated"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Run relu-0</h1>" in page and not re.search(
        "baseline|over seeds|Comparison|Holm|diff", page.split("<pre>")[0]
    )
    table = pd.read_csv(tmp_path / "out" / "tables" / "scores.csv", index_col="mixtures of")
    assert table.index.tolist() == ["all", "two women", "a woman and a man", "two men"]
    assert table["mixtures"].tolist()[0] == table["mixtures"].tolist()[1:] @ np.ones(3)
    assert table.loc["all", "SI-SDRi (dB)"].endswith(f"({low:.2f} to {high:.2f})")
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == {"scores", "curves-by-epoch", "softest"}
    history = run / "history.csv"
    pd.read_csv(history).assign(**{"train/loss": -1.0}).to_csv(history, index=False)
    report.report([run], tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "loss.svg").is_file()


@pytest.mark.parametrize(
    ("seconds", "said"), [(15, "0.25 minutes"), (5982, "1.7 hours"), (5900, "98 minutes"), (36_000, "10.0 hours")]
)
def test_the_time_of_a_training_is_easy_to_read(tmp_path: Path, seconds: float, said: str) -> None:
    run = write_run(tmp_path / "run", epochs=1)
    history = pd.read_csv(run / "history.csv").assign(seconds=seconds)
    history.to_csv(run / "history.csv", index=False)
    assert f"Trained for 1 epoch in {said}; " in sentences(read_sweep([run]))[1]


def test_what_is_heard_is_of_this_evaluation_and_of_the_most_arms(tmp_path: Path) -> None:
    runs = write_sweep(tmp_path / "runs", {"relu": 0.5, "sigmoid": 0.0}, seeds=1, examples=3)
    shutil.rmtree(runs / "sigmoid-0" / "evaluation-test" / "examples" / "2")
    assert {title.split()[1] for title in examples(read_sweep([runs]))} == {"0", "1"}
    metrics = runs / "relu-0" / "evaluation-test" / "metrics.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"examples": [0]}))
    assert [title.split()[1] for title in examples(read_sweep([runs]))] == ["0"]


def test_the_page_names_each_machine_that_a_run_was_trained_on(tmp_path: Path) -> None:
    runs = write_sweep(tmp_path / "runs", {"relu": 0.0, "sigmoid": 0.0}, seeds=1)
    machines = [(1, "Xeon", "abc"), (3, "Xeon", "abc"), (5, "EPYC", ""), (9, "Xeon", "abc")]
    parts = [
        {"from_epoch": epoch, "commit": commit, "processor": name, "data": {"store": "demo-1"}}
        for epoch, name, commit in machines
    ]
    (runs / "relu-0" / "environment.json").write_text(json.dumps(parts))
    report.report([runs], tmp_path / "out")
    origin = pd.read_csv(tmp_path / "out" / "tables" / "origin.csv").set_index("fact")["value"]
    assert origin["processor"] == (
        "Xeon then EPYC (from epoch 5) then Xeon (from epoch 9) (not recorded by 1 of 2 runs)"
    )
    assert origin["commit of the training"].startswith("abc then not recorded (from epoch 5) then abc (from epoch 9) (")
    assert origin["store of the corpus"].startswith("demo-1 (")
    assert origin["Python"] == "not recorded by any run"


def test_help_loads_neither_torch_nor_matplotlib() -> None:
    code = "import sys, convtasnet_lit.report as r; r.arguments(); print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_evaluation_writes_is_what_the_report_reads(config: Config, tmp_path: Path) -> None:
    MixtureDataModule(config.data).check()  # evaluation prepares nothing at a path that a checkpoint names
    for name, seed in (("relu", 0), ("relu", 1), ("sigmoid", 0), ("sigmoid", 1)):
        settings = replace(config, seed=seed, model=replace(config.model, mask_activation=MaskActivation[name]))
        run = write_trained(settings, tmp_path / f"{name}-{seed}")
        (run / "history.csv").unlink()  # of the fixture's own making
        (run / ".hydra").mkdir()
        (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(plain(settings)))
        evaluate(EvaluateConfig(str(run), accelerator=Accelerator.cpu, examples=1))
    report.report([tmp_path], tmp_path / "out", "sigmoid")
    runs = pd.read_csv(tmp_path / "out" / "tables" / "runs.csv")
    metrics = json.loads((tmp_path / runs["folder"][0] / "evaluation-test" / "metrics.json").read_text())
    assert runs["SI-SDRi (dB)"][0] == pytest.approx(metrics["scores"]["all"]["si_sdri"]["mean"], abs=1e-6)
    origin = (tmp_path / "out" / "tables" / "origin.md").read_text()
    assert metrics["mixture_list"] in origin
    players = (tmp_path / "out" / "report.html").read_text().count("<audio")
    assert players and players % (3 + 2 * 2) == 0  # what both arms have
