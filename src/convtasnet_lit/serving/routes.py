"""The addresses of the service and what they answer."""

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import soundfile
from fastapi import APIRouter, Query, Request, Response, WebSocket
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect

from convtasnet_lit.audio import LOWEST_RATE
from convtasnet_lit.files import written_whole
from convtasnet_lit.serving.clients import client_of
from convtasnet_lit.serving.jobs import Job, Order
from convtasnet_lit.serving.live_streams import serve_stream
from convtasnet_lit.serving.picturing import PICTURES, draw_beside
from convtasnet_lit.serving.refusal import RefusedError
from convtasnet_lit.serving.service import Service
from convtasnet_lit.serving.uploads import FIELD, decoded, hear_out, receive
from convtasnet_lit.serving.views import LOOK_SECONDS, events_of, view

EXAMPLE = Path(__file__).with_name("example.flac")
# Encodings that browsers play; results have the recording's if it is one of these, as those of the command line have.
PLAYED = {"wav": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"), "flac": ("PCM_16", "PCM_24")}
HERE = "http://127.0.0.1:8000"
FORM = {
    "x-example": f"curl -F file=@meeting.wav '{HERE}/v1/separate?format=flac&timeline=true'",
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary", "description": "WAV, FLAC, OGG, MP3"}},
                }
            }
        },
    },
}


def make_router(service: Service, model: dict[str, Any]) -> APIRouter:
    """Return the addresses.

    Args:
        service: Which does the work.
        model: What `/v1/model` says of the network.
    """
    router = APIRouter()

    @router.get("/v1/model", summary="What separates, and how much is taken", openapi_extra=_example("/v1/model"))
    async def describe() -> dict[str, Any]:
        facts, bounds = service.engine.facts, service.bounds
        limits = {
            "bytes": int(bounds.upload_bytes),
            "seconds": bounds.seconds,
            "sample_rate": [LOWEST_RATE, int(bounds.highest_rate)],
            "channels": int(bounds.channels),
            "kept": bounds.kept_time,
        }
        known = {"sample_rate": facts.sample_rate, "speakers": facts.speakers, "causal": facts.causal}
        return {**model, **known, "streams": facts.causal, "limits": limits}

    @router.get(
        "/v1/example",
        summary="A recording to try, of two synthetic voices",
        response_class=Response,
        openapi_extra=_example("/v1/example", " -o meeting.wav"),
    )
    def example() -> Response:
        samples, rate = soundfile.read(EXAMPLE, dtype="int16")
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
        return Response(file.getvalue(), media_type="audio/wav")

    @router.post("/v1/separate", summary="Separate a recording", openapi_extra=FORM, status_code=200)
    async def separate(
        request: Request,
        scale: Annotated[
            Literal["least_squares", "mixture"], Query(description="level of the speakers")
        ] = "least_squares",
        channel: Annotated[int | None, Query(ge=1, description="to separate; by default the mean of all")] = None,
        timeline: Annotated[bool, Query(description="whether to tell who speaks when")] = True,
        format: Annotated[Literal["wav", "flac"], Query(description="of the results")] = "wav",
    ) -> Response:
        client = client_of(request)
        try:
            with service.place(client) as (number, folder):
                await receive(request, folder, service.bounds)
                found = await decoded(folder, channel, service.bounds, service.decoding)
                subtype = found.subtype if found.subtype in PLAYED[format] else "PCM_16"
                order = Order(scale, format, subtype, timeline)
                job = service.submit(number, client, folder, found.seconds, order)
        except RefusedError as refusal:
            if refusal.reason != "slow":
                await hear_out(request)
            raise
        await _over_soon(request, service, job)
        where = {"Location": f"/v1/jobs/{job.id}"}
        return JSONResponse(view(service, job), 200 if job.over.is_set() else 202, where)

    @router.get("/v1/jobs/{job}", summary="How far a job is", openapi_extra=_example("/v1/jobs/$job"))
    async def show(job: str) -> dict[str, Any]:
        return view(service, service.find(job))

    @router.delete(
        "/v1/jobs/{job}",
        summary="Cancel a job and delete its results",
        status_code=204,
        openapi_extra=_example("/v1/jobs/$job", " -X DELETE"),
    )
    async def delete(job: str) -> None:
        service.forget(service.find(job))

    @router.get(
        "/v1/jobs/{job}/events",
        summary="How far a job is, as server-sent events, until it is over",
        response_class=Response,
        openapi_extra=_example("/v1/jobs/$job/events", " -N"),
    )
    async def events(job: str) -> Response:
        return StreamingResponse(events_of(service, service.find(job)), media_type="text/event-stream")

    @router.get(
        "/v1/jobs/{job}/all.zip",
        summary="All tracks of a job, and who speaks when",
        response_class=Response,
        openapi_extra=_example("/v1/jobs/$job/all.zip", " -o separated.zip"),
    )
    async def archive(job: str) -> Response:
        found = _done(service, job)
        try:
            path = await asyncio.to_thread(_packed, found)
        except FileNotFoundError:  # deleted meanwhile
            service.forget(found)
            raise RefusedError(404, "job", "The results of this job were deleted.") from None
        return FileResponse(path, media_type="application/zip", filename="separated.zip")

    @router.get(
        "/v1/jobs/{job}/{name}",
        summary="A result of a job: a track, a picture, or who speaks when",
        response_class=Response,
        openapi_extra=_example("/v1/jobs/$job/speaker1.wav", " -o speaker1.wav"),
    )
    async def result(job: str, name: str) -> Response:
        found = _done(service, job)
        if name not in found.files:
            raise RefusedError(404, "file", "This job has no such result.")
        path = found.folder / name
        if path.suffix in PICTURES:
            await _draw(service, found, path)
        return FileResponse(path, media_type=found.files[name])

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await serve_stream(service, socket)

    @router.get("/livez", summary="Whether the service runs")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", summary="Whether the service takes work")
    async def ready(response: Response) -> dict[str, str]:
        response.status_code = 200 if service.is_ready else 503
        return {"status": "ready" if service.is_ready else "stopping" if service.draining else "starting"}

    @router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _example(path: str, options: str = "") -> dict[str, str]:
    return {"x-example": f"curl {HERE}{path}{options}"}


def _done(service: Service, id_: str) -> Job:
    job = service.find(id_)
    if job.state != "done":
        raise RefusedError(404, "unfinished", job.error or "This job is not done yet.")
    return job


async def _draw(service: Service, job: Job, picture: Path) -> None:
    """Draw the track of a picture unless it was."""
    (track,) = (job.folder / name for name in job.tracks if Path(name).stem == picture.stem)
    async with job.drawing:
        if not picture.exists():
            async with service.decoding:
                await asyncio.to_thread(draw_beside, track, service.engine.facts.sample_rate / 2)


def _packed(job: Job) -> Path:
    path = job.folder / "all.zip"
    if not path.exists():
        with written_whole(path) as partial, zipfile.ZipFile(partial, "w") as file:  # audio grows no smaller
            for name in (name for name in job.files if Path(name).suffix not in PICTURES):
                file.write(job.folder / name, name)
    return path


async def _over_soon(request: Request, service: Service, job: Job) -> None:
    """Wait for a short job; cancel it if the client goes meanwhile."""
    for _ in range(round(service.bounds.answer_time / LOOK_SECONDS)):
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await job.over.wait()
                return
        except TimeoutError:
            if await request.is_disconnected():
                service.forget(job)
                raise ClientDisconnect from None
