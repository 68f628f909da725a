"""The mixtures that were separated worst and best, to read, to hear and to see."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from matplotlib.image import imsave
from scipy.signal import spectrogram

from convtasnet_lit.comparison.arms import Sweep
from convtasnet_lit.comparison.runs import EVALUATION
from convtasnet_lit.errors import InputError

SHOWN = 2  # examples with audio from either end


@dataclass(frozen=True)
class Sound:
    """One player: its title, the audio and its spectrogram as data URIs."""

    title: str
    audio: str
    picture: str
    seconds: float
    highest: float  # Hz


def ranked(sweep: Sweep, count: int = 5) -> pd.DataFrame:
    """List the mixtures that were separated worst and best, by the mean of all arms that share the baseline's list.

    Args:
        sweep: The arms.
        count: How many are taken from either end.

    Returns:
        A row a mixture with who speaks, and each arm's SI-SDRi in dB, a mean over its seeds; of a lone run its own.
    """
    rows = sweep.baseline.rows
    names = rows.filter(regex="^speaker_").apply(lambda row: ", ".join(name for name in row if name), axis=1)
    table = pd.DataFrame({"mixture": rows.index, "group": rows["group"].to_numpy(), "speakers": names.to_numpy()})
    for arm in [sweep.baseline, *sweep.others]:
        table["SI-SDRi (dB)" if sweep.lone else arm.name] = arm.scores().mean(0).round(2)
    order = np.argsort(table.iloc[:, 3:].mean(axis=1).to_numpy())
    return table.iloc[order if len(order) <= 2 * count else np.r_[order[:count], order[-count:]]]


def examples(sweep: Sweep) -> dict[str, list[Sound]]:
    """Read the worst and best of the examples that evaluation wrote, each of every arm's first run that has it.

    Args:
        sweep: The arms.

    Returns:
        Players by the example's title; none where evaluation wrote no examples.

    Raises:
        InputError: A WAV file is damaged.
    """
    order = ranked(sweep, count=len(sweep.baseline.mixtures))
    arms = [arm.name for arm in [sweep.baseline, *sweep.others]]
    having = order["mixture"].map(lambda mixture: sum(_folder(sweep, mixture, arm) is not None for arm in arms))
    there = order[having == max(1, having.max())]  # what most arms have can be compared by ear
    chosen = there if len(there) <= 2 * SHOWN else pd.concat([there.head(SHOWN), there.tail(SHOWN)])
    found = {}
    for row in chosen.itertuples(index=False):
        title = f"Mixture {row.mixture} ({row.group}): {row.speakers}" + (f", {row[-1]:.2f} dB" if sweep.lone else "")
        found[title] = _sounds(sweep, int(row.mixture))
    return found


def _folder(sweep: Sweep, mixture: int, arm: str = "") -> Path | None:
    runs = [run for each in [sweep.baseline, *sweep.others] if arm in ("", each.name) for run in each.scored]
    # what lies there beside those that the evaluation names is left from another one
    runs = [run for run in runs if mixture in run.evaluation.get("examples", [mixture])]
    folders = [run.folder / EVALUATION / "examples" / str(mixture) for run in runs]
    return next((folder for folder in folders if (folder / "mixture.wav").is_file()), None)


def _sounds(sweep: Sweep, mixture: int) -> list[Sound]:
    folder = _folder(sweep, mixture)
    assert folder is not None
    files = {"mixture": folder / "mixture.wav"}
    files |= {path.stem.replace("_", " "): path for path in sorted(folder.glob("reference_*.wav"))}
    for arm in [sweep.baseline, *sweep.others]:
        if own := _folder(sweep, mixture, arm.name):
            name = "estimate" if sweep.lone else f"{arm.name},"
            files |= {f"{name} {path.stem[-1]}": path for path in sorted(own.glob("estimate_*.wav"))}
    return [_sound(title, path) for title, path in files.items()]


def _sound(title: str, path: Path) -> Sound:
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(f"{path}: cannot be read, perhaps cut short") from error
    audio, picture = io.BytesIO(), io.BytesIO()
    soundfile.write(audio, samples, rate, format="FLAC", subtype="PCM_16")
    # 32 ms windows show a voice's harmonics; 1e-12 keeps digital silence finite
    _, _, power = spectrogram(samples, rate, nperseg=round(0.032 * rate), noverlap=round(0.016 * rate))
    imsave(picture, 10 * np.log10(power[::-1] + 1e-12), cmap="magma", vmin=-110, vmax=-40, format="png")
    return Sound(title, _uri("audio/flac", audio), _uri("image/png", picture), len(samples) / rate, rate / 2)


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
