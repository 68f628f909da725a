"""How much the service takes, keeps and waits for; each bound is an answer to a threat of docs/service.md."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from convtasnet_lit.errors import InputError, require


@dataclass(frozen=True)
class Bounds:
    """All bounds; sizes in bytes, times in seconds, lengths in seconds of audio."""

    # One recording.
    upload_bytes: float = 400e6  # an hour at 48 kHz in 16 bits takes 346 MB
    seconds: float = 3600.0
    highest_rate: float = 96_000.0  # Hz; the lowest is that of audio.py
    channels: float = 16.0  # more than any table microphone has
    upload_time: float = 300.0  # the largest upload at 11 Mbit/s
    upload_pause: float = 20.0  # between two pieces of an upload

    # Its decoding, in a process of its own.
    decoding_bytes: float = 512e6  # of memory; a block of 16 channels takes 4 MB, and no decoder needs 100 MB
    decoding_time: float = 60.0  # of processor and of wall: an hour of FLAC at 48 kHz takes about 10 s

    # All recordings together.
    uploads: float = 8.0  # received or decoded at once; each is on the disk
    client_uploads: float = 4.0  # of these one client's
    decoders: float = 2.0  # of all these decoded at once
    queue_seconds: float = 7200.0  # waiting and running
    client_seconds: float = 3600.0  # of these one client's: the longest recording, and half of the queue
    submissions: float = 120.0  # recordings and streams a client may begin in a minute
    free_bytes: float = 1e9  # left on the disk, or nothing is taken

    # A job.
    taking_turns: float = 4.0  # recordings that are separated window by window in turn, each of another client
    answer_time: float = 2.0  # a shorter job is answered at once
    asked_time: float = 60.0  # a job of which nobody asks for so long is cancelled
    kept_time: float = 900.0  # results are deleted after it
    stalled_time: float = 300.0  # a model process that says nothing for so long while it works is killed

    # Streams.
    stream_share: float = 0.7  # of one core's time that streams may take, by the speed measured at the start
    stream_seconds: float = 3600.0
    stream_pause: float = 30.0  # without a sample
    stream_lead: float = 5.0  # that a client may be ahead of real time, or behind in reading

    # The server.
    connections: float = 512.0  # at once
    drain_time: float = 120.0  # for what runs when the service is told to stop


def changed(settings: Iterable[str]) -> Bounds:
    """Read bounds as they are written on a command line.

    Args:
        settings: Such as `seconds=600`; what is not named keeps its default.

    Raises:
        InputError: There is no such bound, or it is no number above 0.

    Example:
        >>> changed(["seconds=600"]).seconds
        600.0
    """
    names = [each.name for each in fields(Bounds)]
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        require(name in names, "--limit", setting, f"NAME=NUMBER with a name of {', '.join(names)}")
        try:
            values[name] = float(text)
        except ValueError:
            raise InputError(f"--limit: {setting} is not allowed; it must be {name}=NUMBER") from None
        require(isfinite(values[name]) and values[name] > 0, "--limit", setting, "a finite number above 0")
    return Bounds(**values)
