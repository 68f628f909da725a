"""A Hugging Face Hub in memory, for as much of its interface as uploads and downloads of small files need."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

TOKEN = "hf_test"


class Hub(BaseHTTPRequestHandler):
    repositories: dict[str, dict[str, bytes]]  # by user/name: the files
    private: dict[str, bool]

    def do_GET(self) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and (files := self.files(parts[2:4])) is not None:
            sha = commit(files)
            if parts[4:5] != ["tree"]:
                known = parts[5:] in ([], ["main"], [sha])
                self.answer({"id": "/".join(parts[2:4]), "sha": sha} if known else None, "RevisionNotFound")
            else:
                self.answer([{"type": "file", "path": p, "size": len(c), "oid": digest(c)} for p, c in files.items()])
        elif len(parts) > 4 and parts[2] == "resolve" and (files := self.files(parts[:2])) is not None:
            self.send(200, files[parts[4]], {"X-Repo-Commit": commit(files), "ETag": f'"{digest(files[parts[4]])}"'})
        else:
            self.answer(None, "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path).path.strip("/").split("/")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send(401, b"{}", {"X-Error-Message": "Invalid credentials"})
        elif parts[-1] == "create":
            asked = json.loads(body)
            name = f"{asked.get('organization', 'me')}/{asked['name']}"
            self.repositories.setdefault(name, {})
            self.private[name] = asked.get("visibility") == "private" or asked.get("private") is True
            self.answer({"url": f"http://{self.headers['Host']}/{name}"})
        elif parts[-1] == "validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif parts[4] == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            self.answer({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})
        else:
            entries = [json.loads(line) for line in body.splitlines()]
            files = self.repositories["/".join(parts[2:4])]
            files |= {
                e["value"]["path"]: base64.b64decode(e["value"]["content"]) for e in entries if e["key"] == "file"
            }
            self.answer({"commitUrl": self.path, "commitOid": commit(files), "success": True})

    def files(self, name: list[str]) -> dict[str, bytes] | None:
        return self.repositories.get("/".join(name))

    def answer(self, value: Any, missing: str = "") -> None:
        if value is None:
            self.send(404, b"{}", {"X-Error-Code": missing, "X-Error-Message": "not found"})
        else:
            self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def commit(files: dict[str, bytes]) -> str:
    return digest(b"".join(files.values()))


@contextmanager
def hub() -> Iterator[tuple[str, type[Hub]]]:
    """Serve one; gives its address and what it holds."""
    holder = type("Holder", (Hub,), {"repositories": {}, "private": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), holder)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", holder
    finally:
        server.shutdown()
        server.server_close()
