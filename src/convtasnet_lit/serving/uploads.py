"""A recording as it comes over the network: counted while it is read, written to the folder of its job, decoded."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.decoding import UPLOADED, Decoded, decode
from convtasnet_lit.serving.refusal import RefusedError

FIELD = "file"
HEARD_OUT = (
    5.0  # seconds: most clients read no answer before all is sent, so the rest of what is refused is thrown away
)


async def receive(request: Request, folder: Path, bounds: Bounds) -> None:
    """Write the file of a form to `UPLOADED` in a folder.

    Args:
        request: Whose body has not been read.
        folder: The folder of the job.
        bounds: How much may come, and how slowly.

    Raises:
        RefusedError: 400, 408, 413, 415 or 422.
        ClientDisconnect: The client went.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RefusedError(415, "form", f"Send the recording as multipart/form-data, in the field `{FIELD}`.")
    try:
        async with asyncio.timeout(bounds.upload_time):
            form = await MultiPartParser(request.headers, _counted(request, bounds), max_files=1).parse()
    except TimeoutError:
        raise RefusedError(408, "slow", f"The upload took longer than {bounds.upload_time:.0f} s.") from None
    except MultiPartException as error:
        raise RefusedError(400, "form", f"The form cannot be read: {error.message.rstrip('.')}.") from error
    sent = form.get(FIELD)
    if not isinstance(sent, UploadFile):
        raise RefusedError(422, "form", f"The form holds no file in the field `{FIELD}`.")
    with (folder / UPLOADED).open("wb") as file:
        await asyncio.to_thread(shutil.copyfileobj, sent.file, file)
    await sent.close()


async def decoded(folder: Path, channel: int | None, bounds: Bounds, turn: asyncio.Semaphore) -> Decoded:
    """Decode what was received, when there is a decoder for it.

    Args:
        folder: The folder of the job.
        channel: The channel to take, counted from 1; None for the mean of all.
        bounds: What a decoder may take.
        turn: Of which there are as many as decoders.

    Raises:
        RefusedError: 413, 415 or 422.
    """
    async with turn:
        work = asyncio.ensure_future(asyncio.to_thread(decode, folder, channel, bounds))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with suppress(Exception):
                await work  # the folder must not go before it is done
            raise


async def _counted(request: Request, bounds: Bounds) -> AsyncGenerator[bytes, None]:
    """Hand on a body until it is too much or too slow."""
    sentence = f"The upload is larger than {bounds.upload_bytes / 1e6:.0f} MB."
    promised = request.headers.get("content-length", "0")
    if promised.isdigit() and int(promised) > bounds.upload_bytes:
        raise RefusedError(413, "bytes", sentence)
    body, taken = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout(bounds.upload_pause):
                piece = await anext(body, None)
        except TimeoutError:
            raise RefusedError(408, "slow", f"The upload paused for {bounds.upload_pause:.0f} s.") from None
        if piece is None:
            return
        taken += len(piece)
        if taken > bounds.upload_bytes:
            raise RefusedError(413, "bytes", sentence)
        yield piece


async def hear_out(request: Request) -> None:
    """Read what is left of a request that is refused, for a while, and keep nothing.

    Args:
        request: Whose body was read in part or not at all.
    """
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: nothing is left
        async with asyncio.timeout(HEARD_OUT):
            async for _ in request.stream():
                pass
