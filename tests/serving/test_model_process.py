"""The model process: files take turns window by window, and a cancelled one ends at the next."""

import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.serving.decoding import DECODED
from convtasnet_lit.serving.engine import Facts
from convtasnet_lit.serving.jobs import Order
from convtasnet_lit.serving.model_process import ModelProcess

ORDER = Order("least_squares", "wav", "PCM_16", False)
SECONDS = 12


@pytest.fixture
def connection(network: Path) -> Iterator[Connection]:
    """To a process in a thread, which separates a second at once."""
    ours, theirs = Pipe()
    separator = Separator.from_pretrained(network, "cpu", window=1.0)
    thread = threading.Thread(target=ModelProcess(theirs, separator, Facts(8000, 2, False, 1.0, 0.0)).run)
    thread.start()
    yield ours
    ours.close()
    thread.join()


def decoded(folder: Path) -> Path:
    folder.mkdir()
    samples = np.random.default_rng(0).normal(0, 0.1, SECONDS * 8000)
    soundfile.write(folder / DECODED, samples, 8000, subtype="FLOAT")
    return folder


def ends(connection: Connection, count: int) -> tuple[list[int], dict[int, Any]]:
    """Whose progress was told, in order, and how so many jobs ended."""
    progress, ended = list[int](), dict[int, Any]()
    while len(ended) < count:
        kind, number, what = connection.recv()
        if kind == "progress":
            progress.append(number)
        else:
            ended[number] = kind, what
    return progress, ended


def test_files_take_turns_and_come_out_as_if_alone(connection: Connection, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        folder = decoded(tmp_path / str(number))
        connection.send(("separate", number, folder, ORDER))
        if number == 1:
            connection.poll(60)  # it has begun
    progress, ended = ends(connection, 3)
    assert [kind for kind, _ in ended.values()] == ["done"] * 3
    both = progress[progress.index(3) :][: 3 * 8]
    assert all(set(both[start : start + 3]) == {1, 2, 3} for start in range(0, len(both) - 2, 3))
    tracks = [(tmp_path / f"{number}" / "speaker1.wav").read_bytes() for number in (1, 2, 3)]
    assert tracks[0] == tracks[1] == tracks[2]


def test_a_cancelled_file_ends_early_and_one_that_is_missing_in_words(connection: Connection, tmp_path: Path) -> None:
    connection.send(("separate", 1, decoded(tmp_path / "1"), ORDER))
    connection.send(("cancel", 1))
    (tmp_path / "2").mkdir()
    connection.send(("separate", 2, tmp_path / "2", ORDER))
    progress, ended = ends(connection, 2)
    assert ended[1] == ("failed", "cancelled")
    assert progress.count(1) < SECONDS
    assert ended[2][0] == "failed"
    assert str(tmp_path) not in ended[2][1]
