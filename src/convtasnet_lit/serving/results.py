"""What a job leaves in its folder: tracks, and who speaks when."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convtasnet_lit.audio import AudioInput, audio_outputs
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.inference.timeline import write_timeline
from convtasnet_lit.serving.decoding import DECODED
from convtasnet_lit.serving.jobs import Order


def make_results(
    separator: Separator, folder: Path, order: Order, progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """Separate what was decoded in a folder.

    Args:
        separator: Which separates it, at the scale that is wanted.
        folder: The folder of the job.
        order: What is wanted.
        progress: Told how many seconds are done, and of how many.

    Returns:
        The names of the `tracks`, the mixture first, and the `timeline`, None where none is wanted.

    Raises:
        InputError: It cannot be separated.
    """
    recording = AudioInput(folder / DECODED)
    recording.format, recording.subtype = order.format.upper(), order.subtype
    numbers = range(1, separator.network.num_sources + 1)
    speakers = [folder / f"speaker{number}.{order.format}" for number in numbers]
    speakers = separator.write_separated(recording, speakers, progress)
    mixture = _write_mixture(recording, folder / f"mixture.{order.format}")
    recording.path.unlink()
    progress(recording.seconds, recording.seconds)  # others may have their turn here, too
    timeline = _turns(write_timeline(folder / "timeline", speakers)[1]) if order.timeline else None
    return {"tracks": [track.name for track in (mixture, *speakers)], "timeline": timeline}


def _write_mixture(recording: AudioInput, path: Path) -> Path:
    """What was separated, to listen to beside its speakers."""
    with audio_outputs([path], recording.sample_rate, recording.format, recording.subtype) as (file,):
        for block in recording.blocks():
            file.write(block)
    return path


def _turns(timeline: Path) -> list[dict[str, Any]]:
    """All turns in the order of their beginnings."""
    speakers = json.loads(timeline.read_text(encoding="utf-8"))["speakers"]
    listed = [
        {"speaker": number, "start": start, "end": end}
        for number, speaker in enumerate(speakers, start=1)
        for start, end in speaker["turns"]
    ]
    return sorted(listed, key=lambda turn: (turn["start"], turn["speaker"]))
