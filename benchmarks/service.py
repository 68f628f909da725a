"""What the service takes: `python -m benchmarks.service --parts throughput latency memory hostile killed`, on Linux.

`--parts streams --model CAUSAL` needs a causal network.

Each part starts a service of its own on this machine, asks it over loopback, and prints its figures as JSON.
"""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.hostile import hostile_uploads
from benchmarks.served import LONGEST_WAIT, running

RATE = 16_000


def recording(seconds: float) -> bytes:
    """Noise that comes and goes, as a 16-bit WAV."""
    file, samples = io.BytesIO(), np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(file, samples * (np.arange(len(samples)) // RATE % 2), RATE, format="WAV")
    return file.getvalue()


def separated(client: httpx.Client, data: bytes) -> tuple[float, str]:
    """Send a recording and wait until it is done; the seconds, and how it ended."""
    started = time.perf_counter()
    answer = client.post("/v1/separate", files={"file": ("a.wav", data)})
    job = answer.json()
    while job.get("state") in ("waiting", "running"):
        time.sleep(0.05)
        job = client.get(f"/v1/jobs/{job['id']}").json()
    return time.perf_counter() - started, job.get("state", f"{answer.status_code}")


def throughput(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of audio a second, of the service and of the command line in turn."""
    data, seconds, count = recording(options.seconds), options.seconds, options.files
    service, command = list[float](), list[float]()
    with running(options.model, submissions=1e6) as here, tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Path(folder, f"{number}.wav").write_bytes(data)
        separate = [sys.executable, "-m", "convtasnet_lit.separate", folder, "--timeline", "--out", f"{folder}/out"]
        for _ in range(options.rounds):
            started = time.perf_counter()
            with here.client() as client, ThreadPoolExecutor(4) as pool:
                states = Counter(state for _, state in pool.map(lambda _: separated(client, data), range(count)))
            service.append(seconds * count / (time.perf_counter() - started))
            done = subprocess.run([*separate, *options.model], capture_output=True, text=True, check=True)
            took = float(done.stderr.split(" s of audio in ")[1].split()[0])  # without the start
            command.append(seconds * count / took)
    ratio = median(service) / median(command)
    return {"service": service, "command line": command, "ratio of medians": ratio, "ended": states}


def latency(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds from sending to the result of ten-second files, by the number of clients."""
    data, found = recording(10.0), {}
    with running(options.model, submissions=1e6) as here:
        for clients in (1, 2, 4, 8):

            def ask(number: int) -> list[float]:
                with here.client(number) as client:
                    return [separated(client, data)[0] for _ in range(options.files)]

            with ThreadPoolExecutor(clients) as pool:
                times = [taken for each in pool.map(ask, range(clients)) for taken in each]
            found[f"{clients} clients"] = {
                "p50": float(np.percentile(times, 50)),
                "p99": float(np.percentile(times, 99)),
            }
    return found


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Megabytes before, with a hundred files in the queue, and after them."""
    data, found, room = recording(options.seconds), {}, {"queue_seconds": 1e5, "client_seconds": 1e5}
    with running(options.model, submissions=1e6, answer_time=0.1, **room) as here, here.client() as client:
        separated(client, data)
        found["before"] = here.megabytes()
        jobs = [client.post("/v1/separate", files={"file": ("a.wav", data)}).json()["id"] for _ in range(100)]
        found["queued"] = {**here.megabytes(), **_states(client, jobs)}
        while (now := _states(client, jobs))["waiting"] + now["running"]:
            time.sleep(1)
        found["after"] = {**here.megabytes(), **now}
    return found


def _states(client: httpx.Client, jobs: list[str]) -> Counter[str]:
    return Counter(client.get(f"/v1/jobs/{job}").json()["state"] for job in jobs)


def hostile(options: argparse.Namespace) -> dict[str, Any]:
    """How uploads end that nobody should send, and whether anything is left of them."""
    counted, unsaid = dict[str, Counter[str]](), 0
    with running(options.model, submissions=1e6, upload_bytes=2e6, upload_pause=0.5, seconds=600.0) as here:
        before = here.model_process, here.files()

        def ask(item: tuple[str, Callable[[httpx.Client], httpx.Response]]) -> tuple[str, int, bool]:
            kind, send = item
            with here.client() as client:
                answer = send(client)
                said = answer.json()
                if "id" in said:  # it was a recording after all
                    client.delete(f"/v1/jobs/{said['id']}")
                return kind, answer.status_code, "id" in said or said.get("error", "").endswith(".")

        with ThreadPoolExecutor(4) as pool:
            for kind, status, is_said in pool.map(ask, hostile_uploads(options.uploads)):
                counted.setdefault(kind, Counter())[str(status)] += 1
                unsaid += not is_said
        time.sleep(2)  # the last that were cancelled
        left = {"same model process": here.model_process == before[0], "files left": here.files() - before[1]}
        with here.client() as client:
            left["ready"] = client.get("/readyz").status_code == 200
    return {**counted, "without a sentence": unsaid, **left}


def killed(options: argparse.Namespace) -> dict[str, Any]:
    """What becomes of a job whose model process is killed, and after how many seconds there is another."""
    with running(options.model, answer_time=0.1) as here, here.client() as client:
        job = client.post("/v1/separate", files={"file": ("a.wav", recording(options.seconds * 10))}).json()["id"]
        while client.get(f"/v1/jobs/{job}").json()["state"] != "running":
            time.sleep(0.01)
        os.kill(here.model_process, signal.SIGKILL)
        started = time.perf_counter()
        while client.get("/readyz").status_code == 200:
            time.sleep(0.01)
        noticed = time.perf_counter() - started
        while client.get("/readyz").status_code != 200:
            time.sleep(0.05)
        ready = time.perf_counter() - started
        while (found := client.get(f"/v1/jobs/{job}").json())["state"] in ("waiting", "running"):
            time.sleep(0.1)
    return {"noticed, s": noticed, "ready again, s": ready, "job": found["state"], "error": found["error"]}


def streams(options: argparse.Namespace) -> dict[str, Any]:
    """How many streams are taken, and how late their estimates come while all of them run; causal networks alone."""
    piece = bytes(2 * RATE // 10)  # a tenth of a second of 16 bits

    def follow(stream: ClientConnection) -> list[float]:
        """Send in real time; seconds from each piece that was sent to the first answer after it."""
        late, began = [], time.perf_counter()
        for number in range(round(options.seconds * 10)):
            time.sleep(max(0.0, began + number / 10 - time.perf_counter()))
            sent = time.perf_counter()
            stream.send(piece)
            stream.recv(timeout=LONGEST_WAIT)
            late.append(time.perf_counter() - sent)
        return late

    with running(options.model, submissions=1e6) as here, ExitStack() as opened:
        address = f"{here.url.replace('http', 'ws')}/v1/stream?rate={RATE}&format=s16"
        held = list[ClientConnection]()
        with suppress(ConnectionClosed):  # when there is room for no more
            while True:
                held.append(opened.enter_context(connect(address, proxy=None)))
                held[-1].send(piece)
                held[-1].recv(timeout=LONGEST_WAIT)
        taken = held[:-1]
        with ThreadPoolExecutor(max(1, len(taken))) as pool:
            late = [each for one in pool.map(follow, taken) for each in one]
    found = {"p50": float(np.percentile(late, 50)), "p99": float(np.percentile(late, 99))} if late else {}
    return {"held": len(taken), **found}


PARTS = {each.__name__: each for each in (throughput, latency, memory, hostile, killed, streams)}


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(description="Measure the service over loopback.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS)[:-1])
    parser.add_argument("--model", help="as of `convtasnet serve`")
    parser.add_argument("--files", type=int, default=20, help="a client sends or a round takes; default 20")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a file where it is not ten; default 30")
    parser.add_argument("--rounds", type=int, default=5, help="of the throughput, in turn; default 5")
    parser.add_argument("--uploads", type=int, default=1000, help="hostile ones; default 1000")
    options = parser.parse_args()
    options.model = ["--model", options.model] if options.model else []
    for part in options.parts:
        print(json.dumps({part: PARTS[part](options)}), flush=True)


if __name__ == "__main__":
    main()
