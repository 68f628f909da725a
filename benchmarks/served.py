"""A service of this machine to measure: its processes, what they hold, and what they left."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

LONGEST_WAIT = 600  # seconds, of any request


@dataclass
class Running:
    """A service, where it writes, and its process."""

    url: str
    temporary: Path
    process: int

    def client(self, number: int = 0) -> httpx.Client:
        """One of several clients: an address that the service believes, as it comes from this machine."""
        headers = {"x-forwarded-for": f"192.0.2.{number + 1}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=LONGEST_WAIT, trust_env=False)

    @property
    def model_process(self) -> int:
        """The number of the process that holds the network."""
        children = Path(f"/proc/{self.process}/task/{self.process}/children").read_text().split()
        return next(int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text())

    def megabytes(self) -> dict[str, float]:
        """What each of the two processes holds in memory."""
        processes = {"server": self.process, "model process": self.model_process}
        return {name: _resident(number) / 1000 for name, number in processes.items()}

    def files(self) -> int:
        """How many files there are of recordings and results."""
        return sum(path.is_file() and path.name != "lock" for path in self.temporary.glob("convtasnet-serve-*/**/*"))


@contextmanager
def running(model: list[str], **limits: float) -> Iterator[Running]:
    """Start a service and end it."""
    options = [part for name, value in limits.items() for part in ("--limit", f"{name}={value}")]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        command = [sys.executable, "-m", "convtasnet_lit.serve", "--port", "0", *model, *options]
        with log.open("wb") as file:
            process = subprocess.Popen(command, stderr=file, env={**os.environ, "TMPDIR": folder})
        try:
            while '"address": "' not in log.read_text():
                if process.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
            yield Running(log.read_text().split('"address": "')[1].split('"')[0], Path(folder), process.pid)
        finally:
            process.terminate()
            process.wait()


def _resident(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
