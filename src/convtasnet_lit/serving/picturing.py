"""Pictures are drawn when somebody first asks for one, in a process of their own: they slow no separation down."""

import sys
from pathlib import Path

from convtasnet_lit.serving.decoding import CHILDREN
from convtasnet_lit.serving.refusal import RefusedError

PICTURES = (".svg", ".png")  # of a track: its waveform and its spectrogram
LONGEST = 120.0  # seconds; an hour at 48 kHz takes some ten


def draw_beside(track: Path, highest: float) -> None:
    """Draw a track's pictures beside it; blocks until they are there.

    Args:
        track: A file of one channel.
        highest: Hz, of the spectrogram.

    Raises:
        RefusedError: 404: it was deleted meanwhile, or cannot be drawn.
    """
    child = CHILDREN.Process(target=_child, args=(track, highest), daemon=True)
    child.start()
    child.join(LONGEST)
    code = child.exitcode
    child.kill()
    child.join()
    if code != 0:
        raise RefusedError(404, "picture", "This track was deleted, or cannot be drawn.")


def _child(track: Path, highest: float) -> None:
    from convtasnet_lit.serving.drawing import draw  # was loaded before this process was forked

    try:
        draw(track, highest)
    except (OSError, ValueError):
        sys.exit(1)
