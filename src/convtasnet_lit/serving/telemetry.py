"""What an operator sees: numbers for Prometheus, and a line of JSON for each event, without content and names."""

import json
import logging
import sys
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCIES = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)  # seconds


class Metrics:
    """The numbers of one service.

    Args:
        waiting: Says how many seconds of audio wait or run.
        streams: Says how many streams are open.
        speed: Says how many seconds of audio are separated in a second.
        is_ready: Says whether the model process can work.
    """

    def __init__(
        self,
        waiting: Callable[[], float],
        streams: Callable[[], float],
        speed: Callable[[], float],
        is_ready: Callable[[], float],
    ) -> None:
        self.registry = CollectorRegistry()
        for name, text, read in (
            ("queue_audio_seconds", "Audio that waits or is being separated", waiting),
            ("streams", "Streams that are open", streams),
            ("real_time_factor", "Seconds of work for a second of audio, of the last recordings", lambda: 1 / speed()),
            ("ready", "Whether the model process can work", is_ready),
        ):
            Gauge(f"convtasnet_{name}", text, registry=self.registry).set_function(read)
        self.latency = Histogram(
            "convtasnet_job_seconds", "From upload to result", buckets=LATENCIES, registry=self.registry
        )
        self.jobs = Counter("convtasnet_jobs", "Jobs that are over", ["state"], registry=self.registry)
        self.audio = Counter("convtasnet_audio_seconds", "Audio that was separated", registry=self.registry)
        self.refusals = Counter("convtasnet_refusals", "Requests that were refused", ["reason"], registry=self.registry)
        self.deaths = Counter("convtasnet_model_deaths", "Ends of the model process", registry=self.registry)


class JsonLines(logging.Formatter):
    """A record as one line of JSON; what `extra={"facts": {...}}` holds stands in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_lines() -> None:
    """Write all logs as JSON on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # below, it names clients and what they ask for
