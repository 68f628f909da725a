"""What the service does by itself: it forgets what is old, ends a process that hangs, and stops in order."""

import asyncio
import logging
import time

from convtasnet_lit.serving.service import Service

FETCHING_SECONDS = 5.0  # without a question for a job, after which nobody fetches anything any more
_log = logging.getLogger(__name__)


async def sweep(service: Service) -> None:
    """Once a second, forget what is too old, and end a model process that hangs.

    Args:
        service: The service; it is swept until the task is cancelled.
    """
    while True:
        await asyncio.sleep(1)
        now, bounds = time.monotonic(), service.bounds
        for job in list(service.jobs.values()):
            if job.ended is None and now - job.asked > bounds.asked_time:
                service.cancel(job)
            elif job.ended is not None and now - job.ended > bounds.kept_time:
                service.forget(job)
        if service.running and service.engine.ready and now - service.engine.heard > bounds.stalled_time:
            _log.error("model process stalled")
            service.engine.kill()


async def drain(service: Service) -> None:
    """Take nothing new, finish what runs, and leave time to fetch the results.

    Args:
        service: The service.
    """
    last = time.monotonic() + service.bounds.drain_time
    service.stop_waiting()
    _log.info("stopping", extra={"facts": {"running": len(service.running)}})
    while time.monotonic() < last and (service.running or service.uploads or service.streams):
        await asyncio.sleep(0.1)
    service.stop_running()
    service.asked = time.monotonic()
    while time.monotonic() < last and service.jobs and time.monotonic() - service.asked < FETCHING_SECONDS:
        await asyncio.sleep(0.1)
