"""What a client sees of a job, once or as it changes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from convtasnet_lit.serving.jobs import Job
from convtasnet_lit.serving.service import Service

LOOK_SECONDS = 0.2  # between two looks at a job


def view(service: Service, job: Job) -> dict[str, Any]:
    """Return what a client sees of a job.

    Args:
        service: Which has it.
        job: The job.
    """
    address, estimate = f"/v1/jobs/{job.id}", service.estimate(job)
    tracks = []
    for track in job.tracks:
        name = track.partition(".")[0]
        picture = {"waveform": f"{address}/{name}.svg", "spectrogram": f"{address}/{name}.png"}
        tracks.append({"name": name, "audio": f"{address}/{track}", **picture})
    return {
        "id": job.id,
        "state": job.state,
        "progress": round(job.progress, 4),
        "seconds": round(job.seconds, 3),
        "seconds_ahead": round(service.ahead_of(job), 1),
        "estimate": None if estimate is None else round(estimate, 1),
        "error": job.error,
        "tracks": tracks,
        "timeline": job.timeline,
        "zip": f"{address}/all.zip",
    }


async def events_of(service: Service, job: Job) -> AsyncIterator[str]:
    """Return server-sent events: a job each time it changed, until it is over.

    Args:
        service: Which has it.
        job: The job, which counts as asked for all the while.
    """
    before = ""
    while True:
        over = job.over.is_set()
        now = json.dumps(view(service, job))
        yield f"data: {now}\n\n" if now != before else ": still here\n\n"
        if over:
            return
        before = now
        job.asked = service.asked = time.monotonic()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await job.over.wait()
        except TimeoutError:
            pass
