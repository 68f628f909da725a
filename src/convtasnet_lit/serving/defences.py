"""Before any request is looked at: who may ask, from which page; after it: what a browser may do with the answer."""

import hmac
import ipaddress
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from convtasnet_lit.serving.refusal import RefusedError

PROBES = ("/livez", "/readyz")
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}


class Defences:
    """Refuse who must not ask, and tell browsers to be strict.

    Args:
        app: What answers the others.
        token: That clients must show; None for nobody must.
        hosts: Names under which the service is reached, beside addresses and localhost.
        refused: Told the reason of each refusal.
    """

    def __init__(
        self, app: ASGIApp, token: str | None, hosts: Collection[str], refused: Callable[[str], object]
    ) -> None:
        self._app, self._token, self._hosts, self._refused = app, token, frozenset(hosts), refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith("/v1/"):
                    headers["cache-control"] = "no-store"
            await send(message)

        try:
            self._check(scope)
        except RefusedError as refusal:
            self._refused(refusal.reason)
            await _refuse(refusal, scope, receive, strict)
            return
        await self._app(scope, receive, strict)

    def _check(self, scope: Scope) -> None:
        """Raise a refusal unless the request may be answered."""
        path, headers = scope["path"], Headers(scope=scope)
        if path in PROBES:
            return
        if not is_known_host(headers.get("host", ""), self._hosts):
            raise RefusedError(403, "host", "The service is not known by this name; `--name` makes it known.")
        origin = headers.get("origin")
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and origin is not None and urlsplit(origin).netloc != headers["host"]:
            raise RefusedError(403, "origin", "Pages of other sites must not use this service.")
        # Whoever knows the 128 random bits of a job was given them by the service; <audio> can show nothing else.
        needs_token = path == "/metrics" or (path.startswith("/v1/") and not path.startswith("/v1/jobs/"))
        if self._token is not None and needs_token and not _shows(headers.get("authorization", ""), self._token):
            raise RefusedError(
                401, "token", "Send the header `Authorization: Bearer TOKEN` with the token of this service."
            )


def is_known_host(host: str, names: Collection[str]) -> bool:
    """Whether a Host header is an address, localhost or a known name: a page elsewhere can only make up other names.

    Args:
        host: With or without a port.
        names: The known ones.

    Example:
        >>> is_known_host("127.0.0.1:8000", []), is_known_host("evil.example:8000", [])
        (True, False)
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in {"localhost", *names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _shows(header: str, token: str) -> bool:
    kind, _, shown = header.partition(" ")
    same = hmac.compare_digest(shown.strip().encode(), token.encode())  # takes as long wherever they differ
    return kind.lower() == "bearer" and same


async def _refuse(refusal: RefusedError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.close(4000 + refusal.status, refusal.sentence[:123])
    else:
        await JSONResponse({"error": refusal.sentence, "reason": refusal.reason}, refusal.status, refusal.headers)(
            scope, receive, send
        )
