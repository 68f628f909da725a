import hashlib
import io
import re
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from convtasnet_lit.corpus import aishell3
from convtasnet_lit.corpus.download import download_aishell3, fetch, unpack
from convtasnet_lit.errors import InputError
from tests.corpus.trees import write_aishell3

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and server.ranges else 0
        server.requests.append(start)
        if self.headers.get("If-Range", server.tag) != server.tag:
            start = 0
        if self.path != "/data.tgz":
            self.send_error(404)
        elif start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
            self.send_header("ETag", server.tag)
            if server.tells_length:
                self.send_header("Content-Length", str(len(server.content) - start))
            self.end_headers()
            self.wfile.write(server.content[start : server.breaks_at])

    def log_message(self, *_):
        pass


@contextmanager
def serving(content=CONTENT, *, ranges=True, breaks_at=None, tells_length=True):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.ranges, server.breaks_at, server.tells_length = content, ranges, breaks_at, tells_length
    server.requests, server.tag = [], f'"{hashlib.sha256(content).hexdigest()}"'
    server.url = f"http://127.0.0.1:{server.server_port}/data.tgz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "new" / "data.tgz"


def start_with(destination, content):
    destination.parent.mkdir()
    destination.with_name("data.tgz.part").write_bytes(content)
    tag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    destination.with_name("data.tgz.part.version").write_text(tag)


def check(destination):
    assert destination.read_bytes() == CONTENT
    sum_line = destination.with_name("data.tgz.sha256").read_text()
    assert sum_line == f"{hashlib.sha256(CONTENT).hexdigest()}  data.tgz\n"
    assert not list(destination.parent.glob("*.part*"))


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_file_is_fetched_once_and_its_hash_recorded(destination, tells_length):
    with serving(tells_length=tells_length) as server:
        fetch(server.url, destination)
        fetch(server.url, destination)
    check(destination)
    assert server.requests == [0]


def test_a_half_file_is_continued(destination):
    start_with(destination, CONTENT[:1_234_567])
    with serving() as server:
        fetch(server.url, destination)
    check(destination)
    assert server.requests == [1_234_567]


@pytest.mark.parametrize("version", ['"another"', None])
def test_two_versions_of_a_file_are_never_glued(destination, version):
    start_with(destination, b"of another version")
    known = destination.with_name("data.tgz.part.version")
    known.write_text(version) if version else known.unlink()
    with serving() as server:
        fetch(server.url, destination)
    check(destination)


def test_a_server_that_ignores_range_sends_all_of_it_again(destination):
    start_with(destination, CONTENT[:1_234_567])
    with serving(ranges=False) as server:
        fetch(server.url, destination)
    check(destination)


def test_a_transfer_that_ends_early_is_an_error_and_the_same_call_goes_on(destination):
    with (
        serving(breaks_at=2_000_000) as server,
        pytest.raises(InputError, match=r"data\.download: http.*2000000.*the same command continues"),
    ):
        fetch(server.url, destination)
    assert not destination.exists()
    with serving() as server:
        fetch(server.url, destination)
    check(destination)
    assert server.requests == [2_000_000]


def test_a_part_that_is_complete_is_only_renamed(destination):
    start_with(destination, CONTENT)
    with serving() as server:
        fetch(server.url, destination)
    check(destination)
    assert server.requests == [3_000_000]


def test_a_part_longer_than_the_file_is_another_ones_and_starts_again(destination):
    start_with(destination, CONTENT + b"more")
    with serving() as server:
        fetch(server.url, destination)
    check(destination)
    assert server.requests == [3_000_004, 0]


def test_network_errors_are_one_line(destination):
    with serving() as server, pytest.raises(InputError, match="404") as refusal:
        fetch(server.url + "x", destination)
    assert len(str(refusal.value).splitlines()) == 1
    with pytest.raises(InputError, match=r"refused.*the same command continues"):  # nobody is serving any more
        fetch(server.url, destination)
    with pytest.raises(InputError, match="unknown url type"):
        fetch("no address", destination)


def archive_of(tree, path):
    with tarfile.open(path, "w:gz") as tar:
        for entry in sorted(tree.iterdir()):
            tar.add(entry, entry.name)
    return path


@pytest.mark.parametrize("top_folder", [True, False])
def test_the_corpus_is_fetched_and_unpacked_ready_to_scan(tmp_path, top_folder):
    tree = write_aishell3(tmp_path / "a", train=2, test=2, shared=1, utterances=1, seconds=0.05, top_folder=top_folder)
    content = archive_of(tree, tmp_path / "a.tgz").read_bytes()
    root = tmp_path / "data" / "aishell3"
    with serving(content) as server:
        download_aishell3(root, server.url)
    assert [r.utterance for r in aishell3.scan(root)] == [r.utterance for r in aishell3.scan(tree)]
    assert {path.name for path in root.parent.iterdir()} == {"aishell3", "data.tgz", "data.tgz.sha256"}


def test_what_an_interrupted_unpacking_left_is_unpacked_anew(tmp_path):
    tree = write_aishell3(tmp_path / "a", train=2, test=2, shared=1, utterances=1, seconds=0.05)
    archive = archive_of(tree, tmp_path / "a.tgz")
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "half").write_text("")
    unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out" / "half").exists()
    assert len(aishell3.scan(tmp_path / "out")) == 5


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_damaged_archive_leaves_nothing_and_says_what_to_do(tmp_path, share):
    tree = write_aishell3(tmp_path / "a", train=2, test=2, shared=1, utterances=1, seconds=0.5)
    archive = archive_of(tree, tmp_path / "a.tgz")
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(InputError, match=r"a\.tgz is damaged .*delete it"):
        unpack(archive, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    with tarfile.open(tmp_path / "evil.tgz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil.txt"), io.BytesIO())
    with pytest.raises(InputError, match="outside"):
        unpack(tmp_path / "evil.tgz", tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()


def test_an_archive_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"data\.download: .*cannot be unpacked"):
        unpack(tmp_path / "missing.tgz", tmp_path / "out")
