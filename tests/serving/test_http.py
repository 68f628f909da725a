"""Files through the service: equal to the command line's, refused in words, gone when they are not wanted."""

import io
import json
import socket
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.inference.timeline import write_timeline
from tests.serving.running import Running, until


def noise(seconds: float, rate: int = 8000, channels: int = 1) -> np.ndarray:
    """Two voices' worth of noise that comes and goes."""
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    return samples * (np.arange(len(samples))[:, None] // (rate // 2) % 2)


def written(samples: np.ndarray, rate: int, **kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **kind)
    return file.getvalue()


def post(service: Running, data: bytes, **query: Any) -> Any:
    with service.client as client:
        return client.post("/v1/separate", files={"file": ("a name.wav", data)}, params=query)


@pytest.mark.parametrize(
    ("rate", "channels", "kind", "query"),
    [
        (8000, 1, {"format": "WAV", "subtype": "PCM_16"}, {}),
        (16_000, 2, {"format": "WAV", "subtype": "FLOAT"}, {"channel": 2}),
        (44_100, 2, {"format": "FLAC", "subtype": "PCM_24"}, {"format": "flac", "scale": "mixture"}),
    ],
)
def test_a_file_through_the_service_is_the_command_lines_bit_for_bit(
    service: Running, network: Path, tmp_path: Path, rate: int, channels: int, kind: dict[str, str], query: Any
) -> None:
    ending = kind["format"].lower()
    recording = tmp_path / f"meeting.{ending}"
    recording.write_bytes(written(noise(3.0, rate, channels), rate, **kind))
    separator = Separator.from_pretrained(network, "cpu", query.get("scale", "least_squares"))
    expected = separator.separate_file(recording, channel=query.get("channel"))
    job = post(service, recording.read_bytes(), **query).json()
    assert [track["name"] for track in job["tracks"]] == ["mixture", "speaker1", "speaker2"]
    with service.client as client:
        for file, track in zip(expected, job["tracks"][1:], strict=True):
            assert same_sound(client.get(track["audio"]).content, file.read_bytes())


def same_sound(first: bytes, second: bytes) -> bool:
    """Whether two files have the same format and samples; a WAV of floats also holds when it was written."""
    files = [soundfile.SoundFile(io.BytesIO(data)) for data in (first, second)]
    kinds = [(file.samplerate, file.channels, file.format, file.subtype) for file in files]
    dtype = "float32" if files[0].subtype == "FLOAT" else "int32"
    samples = [file.read(dtype=dtype).tobytes() for file in files]
    return kinds[0] == kinds[1] and samples[0] == samples[1]


def test_a_job_has_its_mixture_pictures_timeline_and_all_in_a_zip(
    service: Running, network: Path, tmp_path: Path
) -> None:
    recording = tmp_path / "timeline"
    recording.write_bytes(written(noise(3.0), 8000, format="WAV"))
    files = Separator.from_pretrained(network, "cpu").separate_file(recording, tmp_path)
    rttm = write_timeline(recording, files)[0].read_bytes()
    answer = post(service, recording.read_bytes())
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (200, f"/v1/jobs/{job['id']}")
    assert (job["state"], job["progress"], job["seconds"], job["error"]) == ("done", 1.0, 3.0, None)
    with service.client as client:
        mixture = client.get(job["tracks"][0]["audio"])
        assert soundfile.read(io.BytesIO(mixture.content))[0].tolist() == soundfile.read(recording)[0].tolist()
        assert client.get(job["tracks"][1]["waveform"]).headers["content-type"] == "image/svg+xml"
        assert client.get(job["tracks"][1]["spectrogram"]).content.startswith(b"\x89PNG")
        assert client.get(f"/v1/jobs/{job['id']}/timeline.rttm").content == rttm
        assert len(job["timeline"]) == rttm.count(b"SPEAKER") > 0
        with zipfile.ZipFile(io.BytesIO(client.get(job["zip"]).content)) as archive:
            tracks = {"mixture.wav", "speaker1.wav", "speaker2.wav"}
            assert set(archive.namelist()) == tracks | {"timeline.rttm", "timeline.json"}
            assert archive.read("mixture.wav") == mixture.content
        part = client.get(job["tracks"][0]["audio"], headers={"range": "bytes=0-3"})  # for players that jump
        assert (part.status_code, part.content) == (206, b"RIFF")
        assert post(service, recording.read_bytes(), timeline="false").json()["timeline"] is None


def test_events_tell_how_a_job_ends(service: Running) -> None:
    job = post(service, written(noise(1.0), 8000, format="WAV")).json()
    with service.client as client, client.stream("GET", f"/v1/jobs/{job['id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: ")]
    assert told[-1] == job


def test_a_deleted_job_is_gone_from_the_disk(service: Running) -> None:
    job = post(service, written(noise(1.0), 8000, format="WAV")).json()
    before = sum(1 for _ in service.temporary.glob("convtasnet-serve-*/*/mixture.wav"))
    with service.client as client:
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
        assert client.get(job["tracks"][0]["audio"]).status_code == 404
        gone = {"error": "There is no such job, or its results were deleted.", "reason": "job"}
        assert client.get(f"/v1/jobs/{job['id']}").json() == gone
    assert sum(1 for _ in service.temporary.glob("convtasnet-serve-*/*/mixture.wav")) == before - 1


def bomb(seconds: float) -> bytes:
    """A silent FLAC: hours of sound in some kilobytes."""
    return written(np.zeros(round(8000 * seconds), np.int16), 8000, format="FLAC")


def lying_bomb() -> bytes:
    """The same, with a header that says not how long it is."""
    data = bytearray(bomb(30.0))
    data[21] &= 0xF0  # the number of samples has 36 bits; 0 means unknown
    data[22:26] = bytes(4)
    return bytes(data)


WAV = written(noise(1.0), 8000, format="WAV")
HOSTILE = {
    "bomb": (bomb(3600.0), {}, 413, "lasts 3600 s or more; at most 20 s are allowed"),
    "lying bomb": (lying_bomb(), {}, 413, "lasts 2"),
    "rate": (written(noise(0.1, 96_000), 96_000, format="WAV"), {}, 413, "has 96000 samples a second"),
    "channels": (written(noise(0.1, 8000, 5), 8000, format="WAV"), {}, 413, "has 5 channels; at most 4"),
    "bytes": (bytes(1_100_000), {}, 413, "larger than 1 MB"),
    "empty": (b"", {}, 422, "empty: 0 bytes"),
    "text": (b"#!/bin/sh\necho hello\n" * 100, {}, 415, "unreadable: Format not recognised"),
    "cut": (WAV[:4000], {}, 422, "truncated"),
    "header alone": (WAV[:44], {}, 422, "truncated"),
    "silence": (written(np.zeros(8000), 8000, format="WAV"), {}, 422, "This file has no sound."),
    "opposed": (
        written(noise(1.0) * [1, -1], 8000, format="WAV"),
        {},
        422,
        "This file has no sound. Do its channels cancel",
    ),
    "not finite": (
        written(np.full(800, np.nan), 8000, format="WAV", subtype="FLOAT"),
        {},
        422,
        "NaN or infinite samples",
    ),
    "no such channel": (WAV, {"channel": 3}, 422, "there is no channel 3; it has 1"),
    "channel 0": (WAV, {"channel": 0}, 422, "channel: "),
    "scale": (WAV, {"scale": "loud"}, 422, "scale: Input should be 'least_squares' or 'mixture'"),
    "a path": (WAV, {"format": "../../etc/passwd"}, 422, "format: "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_sentence_and_leaves_nothing(service: Running, name: str) -> None:
    data, query, status, words = HOSTILE[name]
    before = sorted(service.temporary.rglob("*"))
    answer = post(service, data, **query)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert sorted(service.temporary.rglob("*")) == before


def test_forms_that_are_none_are_refused(service: Running) -> None:
    with service.client as client:
        for body, words in (
            ({"content": WAV}, "Send the recording as multipart/form-data"),
            ({"files": {"other": ("a.wav", WAV)}}, "holds no file in the field `file`"),
            (
                {"files": [("file", ("a.wav", WAV)), ("file", ("b.wav", WAV))]},
                "The form cannot be read: Too many files",
            ),
            ({"content": b"nonsense", "headers": {"content-type": "multipart/form-data"}}, "Missing boundary"),
        ):
            answer = client.post("/v1/separate", **body)  # type: ignore[arg-type]
            assert 400 <= answer.status_code < 500
            assert words in answer.json()["error"]


def test_an_upload_that_stops_is_refused_and_one_whose_client_goes_is_forgotten(service: Running) -> None:
    before = sorted(service.temporary.rglob("*"))
    host, port = service.url.removeprefix("http://").split(":")
    head = f"POST /v1/separate HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9000\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(10_000)
        while b"}" not in answer:
            answer += connection.recv(10_000)
    assert b" 408 " in answer
    assert b"The upload paused for 1 s." in answer
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())
        time.sleep(0.1)
    until(lambda: sorted(service.temporary.rglob("*")) == before)


def test_names_never_become_paths(service: Running) -> None:
    job = post(service, WAV).json()
    with service.client as client:
        for path in ("..%2f..%2flock", "recording", "decoded.wav", "%2e%2e/lock", "lock", "speaker1.wav%00"):
            assert client.get(f"/v1/jobs/{job['id']}/{path}").status_code in (400, 404)
        files = {"file": ("../../../../tmp/planted.wav", WAV)}
        assert client.post("/v1/separate", files=files).status_code == 200
    assert not [path for path in service.temporary.rglob("*") if "planted" in path.name]


def test_browsers_are_told_to_be_strict_and_pages_of_other_sites_are_refused(service: Running) -> None:
    with service.client as client:
        headers = client.get("/").headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert (
            "access-control-allow-origin" not in client.get("/livez", headers={"origin": "http://evil.example"}).headers
        )
        files = {"file": ("a.wav", WAV)}
        assert client.post("/v1/separate", files=files, headers={"origin": "http://evil.example"}).status_code == 403
        assert client.post("/v1/separate", files=files, headers={"origin": service.url}).status_code == 200
        assert client.get("/v1/model", headers={"host": "evil.example"}).status_code == 403  # a name bound to loopback


def test_what_the_service_says_of_itself(service: Running) -> None:
    with service.client as client:
        model = client.get("/v1/model").json()
        assert (model["name"], model["sample_rate"], model["speakers"]) == ("causal.ckpt", 8000, 2)
        assert model["streams"] is True
        limits = {"bytes": 1_000_000, "seconds": 20.0, "sample_rate": [1000, 48_000], "channels": 4, "kept": 900.0}
        assert model["limits"] == limits
        assert client.get("/livez").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}
        example = client.get("/v1/example")
        assert soundfile.info(io.BytesIO(example.content)).duration == 10.0
        described = client.get("/openapi.json").json()["paths"]
        listed = client.get("/docs").text
        assert "/v1/separate" in described
        assert not [path for path in described if f" {path}</code>" not in listed]
        assert "format=flac&amp;timeline=true" in listed
        assert client.get("/nothing").json() == {"error": "Not Found.", "reason": "address"}


def test_metrics_count_what_was_done_and_refused(service: Running) -> None:
    def read(name: str) -> float:
        with service.client as client:
            lines = client.get("/metrics").text.splitlines()
        return float(next((line.split()[-1] for line in lines if line.startswith(f"convtasnet_{name} ")), 0))

    names = ["job_seconds_count", "audio_seconds_total", 'refusals_total{reason="damaged"}', 'jobs_total{state="done"}']
    before = [read(name) for name in names]
    post(service, WAV)
    post(service, WAV[:4000])
    assert [read(name) - then for name, then in zip(names, before, strict=True)] == [1, 1, 1, 1]
    assert (read("queue_audio_seconds"), read("streams"), read("ready")) == (0, 0, 1)
    assert read("real_time_factor") > 0


def test_logs_are_json_without_names_ids_and_addresses(service: Running) -> None:
    job = post(service, WAV).json()
    assert any(line["event"] == "job over" for line in service.lines())
    text = service.log.read_text().replace(service.url, "")
    assert not [word for word in ("a name", job["id"], "planted", "127.0.0.1:") if word in text]
