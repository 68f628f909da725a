"""The server: the service behind its addresses, from its start to its orderly end."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing import forkserver
from pathlib import Path
from types import FrameType
from typing import Any

import jinja2
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from convtasnet_lit import __version__
from convtasnet_lit.errors import InputError
from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.defences import Defences
from convtasnet_lit.serving.engine import Engine
from convtasnet_lit.serving.live_streams import LONGEST_FRAME
from convtasnet_lit.serving.private import private_folder
from convtasnet_lit.serving.refusal import RefusedError
from convtasnet_lit.serving.routes import make_router
from convtasnet_lit.serving.service import Service
from convtasnet_lit.serving.telemetry import log_lines
from convtasnet_lit.serving.upkeep import drain, sweep

PAGE = Path(__file__).with_name("page")
ADDRESSES = Path(__file__).with_name("addresses.html")
_log = logging.getLogger(__name__)


def run(
    model: str,
    device: str,
    host: str,
    port: int,
    described: dict[str, Any],
    bounds: Bounds,
    token: str | None,
    names: Sequence[str],
) -> None:
    """Serve until a signal says to stop.

    Args:
        model: What `Separator.from_pretrained` takes.
        device: The same.
        host: Address to listen at.
        port: The same.
        described: What the service says of the network: its `name`, a `summary` and a `card`.
        bounds: How much is taken.
        token: That clients must show; None for nobody must.
        names: Names under which the service is reached, beside addresses and localhost.

    Raises:
        InputError: The network cannot be opened, or something else listens there.
    """
    listening = _bound(host, port)
    forkserver.ensure_running()  # of the decoders, which loads what they need meanwhile
    engine = Engine(model, device)
    log_lines()
    with private_folder() as folder:
        service = Service(engine, folder, bounds)
        app = make_app(service, described, token, names)
        config = uvicorn.Config(
            app,
            limit_concurrency=int(bounds.connections),
            log_config=None,
            access_log=False,
            ws_max_size=LONGEST_FRAME,
            ws_per_message_deflate=False,  # samples grow no smaller
            server_header=False,
        )
        _Server(config, service).run([listening])


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has its address before anything takes long."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise InputError(f"--host, --port: {host}:{port}: {error.strerror or error}") from error
    return found


def make_app(service: Service, described: dict[str, Any], token: str | None, names: Sequence[str]) -> FastAPI:
    """Return the application; see `run` for what is given."""

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        service.engine.attach(service.received, service.engine_died)
        sweeping = asyncio.create_task(sweep(service))
        _log.info("ready", extra={"facts": {"speed": round(service.engine.facts.speed, 2)}})
        yield
        sweeping.cancel()
        service.engine.stop()

    app = FastAPI(
        title="convtasnet_lit", version=__version__, lifespan=living, docs_url=None, redoc_url=None, openapi_url=None
    )
    refusals = service.metrics.refusals

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, refusal: RefusedError) -> Response:
        refusals.labels(refusal.reason).inc()
        return JSONResponse({"error": refusal.sentence, "reason": refusal.reason}, refusal.status, refusal.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_values(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return await refuse(request, RefusedError(422, "values", f"{first['loc'][-1]}: {first['msg']}."))

    @app.exception_handler(HTTPException)
    async def refuse_address(request: Request, error: HTTPException) -> Response:
        return await refuse(request, RefusedError(error.status_code, "address", f"{error.detail}."))

    @app.exception_handler(ClientDisconnect)
    async def forget(_: Request, __: ClientDisconnect) -> Response:
        refusals.labels("gone").inc()
        return Response(status_code=499)  # nobody reads it

    @app.exception_handler(Exception)
    async def excuse(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": "The service failed at this request."}, 500)

    app.include_router(make_router(service, described))

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return app.openapi()

    @app.get("/docs", include_in_schema=False)
    def addresses() -> Response:
        template = jinja2.Template(ADDRESSES.read_text(encoding="utf-8"), autoescape=True)
        return HTMLResponse(template.render(app.openapi()))

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))
    app.add_middleware(Defences, token=token, hosts=names, refused=lambda reason: refusals.labels(reason).inc())
    return app


class _Server(uvicorn.Server):
    """A server that drains before it stops; a second signal stops it at once."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: Any = None) -> None:
        """Listen, with handlers of signals that work within the loop."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        for address in (each.getsockname() for server in self.servers for each in server.sockets):
            where = f"[{address[0]}]" if ":" in address[0] else address[0]
            _log.info("listening", extra={"facts": {"address": f"http://{where}:{address[1]}"}})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        if self._service.draining or not self.started:
            self.force_exit = self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._draining = asyncio.ensure_future(drain(self._service))
        self._draining.add_done_callback(lambda _: setattr(self, "should_exit", True))
