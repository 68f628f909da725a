"""What an offline run of W&B wrote is what a workspace asks for, read with W&B's own messages."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from wandb.proto import wandb_internal_pb2

from convtasnet_lit import evaluate, train
from convtasnet_lit.dashboards.media import KEYS, MIXTURES
from tests.test_doors import TINY

# The log format of LevelDB: blocks of chunks, each with its checksum, length and kind.
HEADER, BLOCK, CHUNK_HEADER, FULL, LAST = 7, 32768, 7, 1, 4


def records(start: Path) -> Iterator[Any]:
    """What W&B would upload of one start of a run."""
    (file,) = start.glob("*.wandb")
    data, place, whole = file.read_bytes(), HEADER, b""
    while place < len(data):
        if BLOCK - place % BLOCK < CHUNK_HEADER:  # the end of a block is too short for a chunk
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        place += CHUNK_HEADER + length
        whole += data[place - length : place]
        if kind in (FULL, LAST):
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def told(start: Path, kind: str) -> dict[str, Any]:
    """All values of one kind (`config`, `history` or `summary`) by their keys; those of media are dicts."""
    changes = {"config": "update", "history": "item", "summary": "update"}
    found: dict[str, Any] = {}
    for record in records(start):
        inside = record.run.config if kind == "config" and record.HasField("run") else getattr(record, kind)
        for item in getattr(inside, changes[kind]):
            *outer, last = item.nested_key or [item.key]
            into = found
            for key in outer:
                into = into.setdefault(key, {})
            into[last] = json.loads(item.value_json)
    return found


@pytest.fixture
def starts(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The offline folders of a training and of its evaluation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    where = ["data.corpus=aishell3", f"data.root={corpus}", f"data.store={corpus.parent / 'store'}"]
    arguments = [*TINY, *where, "logger=wandb", "name=mine", "seed=3", "ablation=sigmoid_mask", "logger.label=first"]
    for door, given in ((train, arguments), (evaluate, ["checkpoint=runs/mine"])):
        monkeypatch.setattr(sys, "argv", [door.__name__, *given])
        door.main()
    return sorted(Path("runs/mine/wandb").glob("offline-run-*"), key=lambda path: path.stat().st_ctime_ns)


@pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # in wandb-workspaces
def test_an_offline_run_holds_what_the_workspace_shows(starts: list[Path]) -> None:
    training, evaluation = starts
    (named,) = {(record.run.run_id, record.run.display_name) for record in records(training) if record.run.run_id}
    assert named[1] == "first"
    assert {record.run.run_id for record in records(evaluation) if record.run.run_id} == {named[0]}

    settings = told(training, "config")["config"]
    assert settings["model"]["mask_activation"] == "sigmoid"
    assert "seed" not in settings["logger"]["arm"] and "ablation-sigmoid_mask" in settings["logger"]["arm"]

    logged = told(training, "history")
    epoch = pd.read_csv("runs/mine/history.csv").iloc[-1]
    assert logged["val/si_sdri"] == pytest.approx(epoch["val/si_sdri"])
    for number in range(MIXTURES):
        for key in KEYS:
            shown = logged[key.format(f"mixture {number}")]
            assert Path(training, "files", shown["path"]).stat().st_size == shown["size"] > 0
    assert logged["masks/mixture 0"]["width"] > 600

    tables, summary = told(evaluation, "history"), told(evaluation, "summary")
    scores = json.loads(Path("runs/mine/evaluation-test/metrics.json").read_text())["scores"]
    written = pd.read_csv("runs/mine/evaluation-test/per_utterance.csv")
    rows = {}
    for key in ("test/utterances", "test/pairs"):
        table = json.loads(Path(evaluation, "files", tables[key]["path"]).read_text())
        rows[key] = pd.DataFrame(table["data"], columns=table["columns"])
    assert rows["test/utterances"]["si_sdri"].tolist() == pytest.approx(written["si_sdri"].tolist())
    assert set(rows["test/pairs"]["pair"]) == set(scores)
    mean, (low, high) = scores["all"]["si_sdri"]["mean"], scores["all"]["si_sdri"]["ci95"]
    assert [summary[f"test/si_sdri{end}"] for end in ("", "_low", "_high")] == pytest.approx([mean, low, high])

    pytest.importorskip("wandb_workspaces")
    from convtasnet_lit.dashboards.workspace import make_workspace

    spec = make_workspace("team", "project", "logger.arm")._to_model().spec.model_dump_json(by_alias=True)
    assert '"config.value.logger.arm"' in spec  # the key under which W&B stores it
    asked = {key for panel in _panels(json.loads(spec)) for key in panel}
    assert asked <= logged.keys() | summary.keys()


def _panels(spec: Any) -> Iterator[list[str]]:
    """The keys that each panel of a specification shows."""
    if isinstance(spec, dict):
        yield from (spec[name] for name in ("metrics", "mediaKeys") if spec.get(name))
    for inner in spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else ():
        yield from _panels(inner)
