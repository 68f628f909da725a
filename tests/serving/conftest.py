"""One service for all tests that leave it as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.running import Running, running, write_network


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal network with random weights at 8 kHz."""
    return write_network(tmp_path_factory.mktemp("network") / "causal.ckpt")


@pytest.fixture(scope="session")
def service(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service of it that takes recordings of up to 20 s and 100 kB."""
    limits = ["seconds=20", "upload_bytes=1e6", "submissions=10000", "channels=4", "highest_rate=48000"]
    limits += [
        "upload_pause=1",
        "stream_pause=2",
        "free_bytes=1",
        "stream_seconds=30",
        "stream_share=1e9",
        "answer_time=60",
    ]
    options = [part for limit in limits for part in ("--limit", limit)]
    with running(tmp_path_factory.mktemp("service"), network, *options) as found:
        yield found
