"""Headless Chromium, driven through the pipe of its DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --remote-debugging-pipe"


class Page:
    """One page; what it fetched and complained about is kept in `events`."""

    def __init__(self, reader: FileIO, writing: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._reader, self._writing, self._number = reader, writing, 0
        self._unread, self._session = b"", ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, address: str, width: int, dark: bool = False) -> None:
        """Show an address on a screen of so many pixels, and wait until it is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def ask(self, expression: str) -> Any:
        """Evaluate JavaScript as if the user had just tapped, and wait for promises."""
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 60) -> Any:
        """Wait until an expression is true, and return what it is."""
        end = time.monotonic() + seconds
        while not (found := self.ask(expression)):
            assert time.monotonic() < end, f"{expression} did not become true"
            time.sleep(0.05)
        return found

    def press(self, key: str) -> None:
        """Press a key as on a keyboard: Tab, Enter, Escape, ArrowRight or a space."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowRight": 39}
        text = {"Enter": "\r", " ": " "}.get(key)
        known = {"key": key, "windowsVirtualKeyCode": codes[key]} | ({"text": text} if text else {})
        self.call("Input.dispatchKeyEvent", type="keyDown", **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def choose(self, selector: str, *files: Path) -> None:
        """Put files into an input."""
        handle = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")["result"]["objectId"]
        self.call("DOM.setFileInputFiles", objectId=handle, files=[str(file) for file in files])

    def picture(self, path: Path) -> None:
        """Save what the whole page looks like, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def named(self, method: str) -> list[dict[str, Any]]:
        """Return the events of a kind since the page was opened."""
        return [event["params"] for event in self.events if event["method"] == method]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            more = self._reader.read(1 << 20)
            assert more, "the browser has ended"
            self._unread += more
        text, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def opened(profile: Path, *flags: str) -> Iterator[Page]:
    """Start Chromium with an empty profile, and end it."""
    assert CHROMIUM
    to_read, to_write = os.pipe(), os.pipe()

    def connect() -> None:  # Chromium reads from 3 and writes to 4
        reading, writing = os.dup(to_write[0]), os.dup(to_read[1])
        os.dup2(reading, 3)
        os.dup2(writing, 4)

    command = [CHROMIUM, *_FLAGS.split(), *flags, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command, preexec_fn=connect, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_read[1])
    os.close(to_write[0])
    reader = os.fdopen(to_read[0], "rb", 0)
    try:
        yield Page(reader, to_write[1])
    finally:
        process.terminate()
        process.wait()
        os.close(to_write[1])
        reader.close()
