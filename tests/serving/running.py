"""A service in a process of its own, as `convtasnet serve` starts it, with a network that takes no time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import torch

from convtasnet_lit.config import Config, ModelConfig, NormName, plain
from convtasnet_lit.data_config import DataConfig
from convtasnet_lit.training.module import SeparationModule
from convtasnet_lit.weights.checkpoint import write_checkpoint

RATE = 8000
STARTED = 300  # seconds, at most: other processes may keep the machine busy


@dataclass
class Running:
    """A service that runs.

    Args:
        url: Where.
        process: The server's.
        log: Where its lines go.
        temporary: The folder in which it may leave nothing.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    temporary: Path

    @property
    def client(self) -> httpx.Client:
        """A client without the proxies of the environment."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=STARTED)

    @property
    def model_process(self) -> int:
        """The number of the model process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        commands = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
        (number,) = (child for child, command in commands.items() if "spawn_main" in command)
        return number

    def lines(self) -> list[dict[str, object]]:
        """What it logged, which must be JSON but for what was said before it began."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if not line.startswith("network: ")]

    def wait_until_ready(self) -> None:
        """Wait until it takes work."""
        until(lambda: self.client.get("/readyz").status_code == 200)


def until(is_so: "object", seconds: float = STARTED) -> None:
    """Wait until something is so."""
    last = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < last, "it did not become so"
        time.sleep(0.05)


def write_network(path: Path, causal: bool = True) -> Path:
    """Write a network with random weights."""
    torch.manual_seed(0)
    model = ModelConfig(
        num_filters=16, kernel_size=40, bottleneck_channels=8, hidden_channels=12, skip_channels=8, num_blocks=2,
        num_repeats=1,
    )  # fmt: skip
    if causal:
        model = replace(model, norm=NormName.cLN, causal=True)
    config = Config(model=model, data=DataConfig(sample_rate=RATE))
    module = SeparationModule(plain(config))
    write_checkpoint({"state_dict": module.state_dict(), "hyper_parameters": {"config": plain(config)}}, path)
    return path


@contextmanager
def running(
    folder: Path, model: Path, *options: str, environment: dict[str, str] | None = None, threads: str = "1"
) -> Iterator[Running]:
    """Run a service, and end it whatever happens."""
    temporary, log = folder / "tmp", folder / "log"
    temporary.mkdir(exist_ok=True)
    settings = {"TMPDIR": str(temporary), "OMP_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "convtasnet_lit.serve", "--model", str(model), "--port", "0", *options]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, env={**os.environ, **settings, **(environment or {})})
    try:
        marker = '"address": "'
        until(lambda: marker in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        url = log.read_text().split(marker)[1].split('"')[0]
        yield Running(url, process, log, temporary)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
