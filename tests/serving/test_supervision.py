"""Processes that are killed, and a service that is told to stop, with a real one that asks for a token."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.serving.running import Running, running, until
from tests.serving.test_http import written
from tests.serving.test_streams import closed, opened

TOKEN = "a token of the tests"
SHOWN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that asks for a token and answers at once."""
    options = ["--limit", "answer_time=0.1", "--limit", "free_bytes=1", "--limit", "stream_share=1e9"]
    with running(
        tmp_path_factory.mktemp("guarded"), network, *options, environment={"CONVTASNET_TOKEN": TOKEN}
    ) as found:
        yield found


def post(client: httpx.Client, seconds: float) -> Any:
    samples = np.random.default_rng(0).normal(0, 0.1, round(8000 * seconds))
    files = {"file": ("a.wav", written(samples, 8000, format="WAV"))}
    return client.post("/v1/separate?timeline=false", files=files, headers=SHOWN)


def test_without_the_token_only_the_page_and_the_probes_answer(guarded: Running) -> None:
    with guarded.client as client:
        for headers in ({}, {"authorization": "Bearer another token here"}, {"authorization": TOKEN}):
            assert client.get("/v1/model", headers=headers).status_code == 401
            assert client.post("/v1/separate", headers=headers).status_code == 401
            assert client.get("/metrics", headers=headers).status_code == 401
        assert client.get("/v1/model", headers=SHOWN).status_code == 200
        assert [client.get(path).status_code for path in ("/", "/livez", "/readyz")] == [200] * 3
    with opened(guarded) as connection:
        assert closed(connection)[0] == 4401


def test_a_killed_model_process_is_started_again_and_its_work_done_or_refused(guarded: Running) -> None:
    with guarded.client as client, opened(guarded, additional_headers=SHOWN) as stream:
        answer = post(client, 600.0)
        assert answer.status_code == 202
        where = answer.headers["location"]
        until(lambda: client.get(where).json()["state"] == "running")
        killed = guarded.model_process
        os.kill(killed, signal.SIGKILL)
        until(lambda: client.get("/readyz").status_code == 503)
        assert closed(stream)[0] == 4503
        until(lambda: client.get(where).json()["state"] not in ("waiting", "running"))
        assert client.get(where).json()["state"] == "done"
        assert client.get("/readyz").status_code == 200
        assert guarded.model_process != killed
        client.delete(where)


def test_told_to_stop_it_finishes_what_runs_refuses_the_rest_and_leaves_nothing(guarded: Running) -> None:
    with guarded.client as client:
        where = post(client, 600.0).headers["location"]
        until(lambda: client.get(where).json()["state"] == "running")
        guarded.process.send_signal(signal.SIGTERM)
        until(lambda: client.get("/readyz").status_code == 503)
        refused = post(client, 1.0)
        assert (refused.status_code, "stopping" in refused.json()["error"]) == (503, True)
        until(lambda: client.get(where).json()["state"] == "done")
        assert len(client.get(client.get(where).json()["tracks"][1]["audio"]).content) == 600 * 8000 * 2 + 44
    assert guarded.process.wait(60) == 0
    assert list(guarded.temporary.glob("convtasnet-serve-*")) == []
