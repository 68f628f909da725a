"""Whatever somebody sent, decoded by a process that may take little memory and time, and knows nothing worth taking."""

import json
import math
import multiprocessing
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from convtasnet_lit.audio import LOWEST_RATE, UNKNOWN_LENGTH, AudioInput, UnusableError, audio_outputs
from convtasnet_lit.errors import InputError
from convtasnet_lit.serving.bounds import Bounds
from convtasnet_lit.serving.refusal import RefusedError

UPLOADED, DECODED = "recording", "decoded.wav"  # in the folder of a job; without an ending, only the content counts
SILENT_PEAK = 1e-4  # -80 dB of full scale: three steps of 16 bits
LONGEST_ANSWER = 4096  # bytes

# Children are forked from a process that has imported these modules and nothing of the service's own.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["convtasnet_lit.serving.decoding", "convtasnet_lit.serving.drawing"])


@dataclass(frozen=True)
class Decoded:
    """What is known of a recording once it was decoded.

    Args:
        seconds: Its length, counted.
        subtype: libsndfile's name of its encoding.
    """

    seconds: float
    subtype: str


def decode(folder: Path, channel: int | None, bounds: Bounds) -> Decoded:
    """Decode `UPLOADED` in a folder into `DECODED`: one channel in float32; blocks until that is done.

    Args:
        folder: The folder of a job.
        channel: The channel to take, counted from 1; None for the mean of all.
        bounds: What the child may take.

    Raises:
        RefusedError: 413, 415 or 422: the file is too much, no recording, or cannot be separated.
    """
    receiving, sending = CHILDREN.Pipe(duplex=False)
    child = CHILDREN.Process(target=_child, args=(sending, folder, channel, bounds), daemon=True)
    child.start()
    sending.close()
    try:
        in_time = receiving.poll(bounds.decoding_time)
        answer = json.loads(receiving.recv_bytes(LONGEST_ANSWER)) if in_time else {}  # no pickle of a child's
    except (EOFError, OSError, ValueError):
        answer = {}
    finally:
        child.kill()
        child.join()
        receiving.close()
        (folder / UPLOADED).unlink(missing_ok=True)
    if not answer:
        raise RefusedError(413, "decoding", "This file takes more memory or time to decode than the service allows.")
    if "refused" in answer:
        raise RefusedError(*answer["refused"])
    return Decoded(**answer)


def _child(answer: Connection, folder: Path, channel: int | None, bounds: Bounds) -> None:
    _limit(bounds)
    os.chdir(folder)  # so that messages name the file without a folder
    try:
        found: dict[str, Any] = vars(_decoded(channel, bounds))
    except RefusedError as refusal:
        found = {"refused": [refusal.status, refusal.reason, refusal.sentence]}
    except Exception:  # whatever a decoder comes upon
        found = {"refused": [422, "damaged", "This file cannot be decoded."]}
    answer.send_bytes(json.dumps(found).encode())


def _limit(bounds: Bounds) -> None:
    """Bound what this process may take; it says nothing, starts nothing, and leaves no core."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # the MP3 decoder writes what it thinks of a file on standard error
        os.dup2(nowhere, stream)
    longest = int(bounds.seconds * bounds.highest_rate) * 4 + 4096  # bytes of the decoded file
    limits = {
        resource.RLIMIT_AS: _mapped() + int(bounds.decoding_bytes),
        resource.RLIMIT_CPU: math.ceil(bounds.decoding_time),
        resource.RLIMIT_FSIZE: longest,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for what, most in limits.items():
        hard = resource.getrlimit(what)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))


def _mapped() -> int:
    """Bytes of address space that libraries took before anything was decoded; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _decoded(channel: int | None, bounds: Bounds) -> Decoded:
    path = Path(UPLOADED)
    try:
        recording = AudioInput(path, channel)
        _check_header(recording, bounds)
        with audio_outputs([Path(DECODED)], recording.sample_rate, "WAV", "FLOAT") as (file,):
            for block in _counted(recording, bounds):
                file.write(block)
            seconds = file.tell() / recording.sample_rate
    except UnusableError as error:
        status, reason = (415, "format") if error.reason.startswith("unreadable") else (422, "damaged")
        raise RefusedError(status, reason, f"This file cannot be used: {error.reason}.") from error
    except InputError as error:  # there is no such channel
        raise RefusedError(
            422, "channel", f"This file cannot be used: {str(error).removeprefix(f'{path}: ')}."
        ) from error
    except MemoryError as error:
        raise RefusedError(413, "decoding", "This file takes more memory to decode than the service allows.") from error
    return Decoded(seconds, recording.subtype)


def _check_header(recording: AudioInput, bounds: Bounds) -> None:
    """Refuse what a header promises to be too much, before anything is decoded."""
    if not LOWEST_RATE <= recording.sample_rate <= bounds.highest_rate:
        allowed = f"from {LOWEST_RATE} to {bounds.highest_rate:.0f} Hz are allowed"
        raise RefusedError(413, "rate", f"This file has {recording.sample_rate} samples a second; {allowed}.")
    if recording.channels > bounds.channels:
        allowed = f"at most {bounds.channels:.0f} are allowed"
        raise RefusedError(413, "channels", f"This file has {recording.channels} channels; {allowed}.")
    if bounds.seconds < recording.seconds < UNKNOWN_LENGTH / recording.sample_rate:
        raise _too_long(recording.seconds, bounds)


def _counted(recording: AudioInput, bounds: Bounds) -> Iterator[np.ndarray]:
    """Read a recording as long as it is as short as it may be; refuse it if it was silent."""
    samples, peak = 0, 0.0
    for block in recording.blocks():
        samples += len(block)
        peak = max(peak, float(np.abs(block).max()))
        if samples > bounds.seconds * recording.sample_rate:
            raise _too_long(samples / recording.sample_rate, bounds)
        yield block
    if peak < SILENT_PEAK:
        several = recording.channels > 1 and recording.channel is None
        cancelling = " Do its channels cancel each other? Then choose one." if several else ""
        raise RefusedError(422, "silent", f"This file has no sound.{cancelling}")


def _too_long(seconds: float, bounds: Bounds) -> RefusedError:
    sentence = f"This recording lasts {seconds:.0f} s or more; at most {bounds.seconds:.0f} s are allowed."
    return RefusedError(413, "seconds", sentence)
