"""What docs/service.md and deploy/ tell people to run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from convtasnet_lit.serve import arguments
from convtasnet_lit.serving.bounds import Bounds
from tests.serving.made_example import example_sources
from tests.serving.running import Running

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HERE = "http://127.0.0.1:8000"


def block(words: str) -> str:
    (found,) = (text for _, text in BLOCKS if words in text)
    return found


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_example_with_curl(service: Running, tmp_path: Path) -> None:
    run(["sh", "-ec", "unset http_proxy; " + block("curl").replace(HERE, service.url)], tmp_path)
    assert soundfile.info(tmp_path / "speaker1.flac").duration == 10.0
    assert (tmp_path / "separated.zip").read_bytes().startswith(b"PK")
    assert '"state": "done"' in (tmp_path / "events.txt").read_text()


def test_the_example_with_python(service: Running, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "meeting.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    said = run([sys.executable, "-c", block("import httpx").replace(HERE, service.url)], tmp_path)
    assert said.startswith("done [")
    assert {file.name for file in tmp_path.iterdir()} >= {"mixture.wav", "speaker1.wav", "speaker2.wav"}


def test_the_example_of_a_stream(service: Running, tmp_path: Path) -> None:
    code = "pieces = [bytes(1000)] * 8\n" + block("websockets").replace(
        "ws://127.0.0.1:8000", service.url.replace("http", "ws")
    )
    assert run([sys.executable, "-c", code + "print(len(speakers))"], tmp_path) == "16000\n"


def test_the_recording_to_try_is_of_the_packages_own_voices() -> None:
    pytest.importorskip("espeakng_loader")
    shipped, rate = soundfile.read(ROOT / "src" / "convtasnet_lit" / "serving" / "example.flac", dtype="float32")
    np.testing.assert_allclose(shipped, example_sources().sum(0), atol=1 / 32768)
    assert rate == 16_000


def test_the_numbers_of_the_threats_are_the_bounds() -> None:
    bounds = Bounds()
    for words in (
        f"{bounds.upload_bytes / 1e6:.0f} MB, {bounds.upload_time:.0f} s, and {bounds.upload_pause:.0f} s for a pause",
        f"memory ({bounds.decoding_bytes / 1e6:.0f} MB), processor time and wall time ({bounds.decoding_time:.0f} s)",
        f"at most {bounds.submissions:.0f} jobs and streams a minute",
        f"real time plus {bounds.stream_lead:.0f} s",
        f"it ends after {bounds.stream_pause:.0f} s of silence",
        f"At most {bounds.connections:.0f} connections",
        f"{bounds.stream_share:g} of a\ncore",
    ):
        assert words in PAGE
    assert (bounds.client_uploads, bounds.uploads, bounds.free_bytes, bounds.kept_time) == (4, 8, 1e9, 15 * 60)
    assert (bounds.queue_seconds, bounds.client_seconds, bounds.stream_seconds) == (7200, 3600, 3600)
    assert (bounds.asked_time, bounds.answer_time, bounds.drain_time, bounds.stalled_time) == (60, 2, 120, 300)


def test_the_image_starts_what_the_package_has_and_the_replicas_are_those_of_the_proxy() -> None:
    deploy = ROOT / "deploy"
    compose = yaml.safe_load((deploy / "compose.yaml").read_text())
    (start,) = re.findall(r"^ENTRYPOINT \[(.*)\]$", (deploy / "Dockerfile").read_text(), re.MULTILINE)
    called = [word.strip(' "') for word in start.split(",")]
    assert called[:2] == ["convtasnet", "serve"]
    proxied = set(re.findall(r"server (\w+):8000", (deploy / "nginx.conf").read_text()))
    assert proxied == {"replica1", "replica2", "replica3"} == set(compose["services"]) - {"proxy"}
    for name in proxied:
        options = arguments().parse_args([*called[2:], *compose["services"][name]["command"]])
        assert options.host == "0.0.0.0"


def test_the_page_for_a_space_separates() -> None:
    code = "import sys; sys.path.insert(0, 'deploy'); import app, numpy as np; "
    code += "tones = np.sin(np.arange(16000) / np.array([[9], [30]])).T; "
    code += "found = app.separate((16000, (9000 * tones).astype(np.int16))); "
    code += "print([(rate, samples.shape, samples.dtype.name) for rate, samples in found])"
    assert run([sys.executable, "-c", code], ROOT) == "[(16000, (16000,), 'int16'), (16000, (16000,), 'int16')]\n"
