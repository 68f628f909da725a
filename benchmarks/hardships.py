"""When does a network work, and when not? The same mixtures, each put into one hardship after the other.

    python -m benchmarks.hardships 2spk-8k-v2 data.root=data/people

Two test people speak, as in the test list of `experiment=people`; what else is heard is made here. Each hardship leaves
its first mixture to listen to: the mixture, both people as they were, and both as they were separated.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from scipy.signal import butter, sosfiltfilt

from benchmarks import printing
from benchmarks.equal_minutes import composed
from benchmarks.timing import Part, Row
from convtasnet_lit.command_line import reported
from convtasnet_lit.config import Split
from convtasnet_lit.errors import require
from convtasnet_lit.evaluation.pictures import write_example
from convtasnet_lit.evaluation.scores import HELD_DB, interval, margin_db, score
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.mixing.channel import code
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.dataset import FixedMixtures, Mixture
from convtasnet_lit.mixing.noise import coloured
from convtasnet_lit.mixing.rooms import PLACES, ROOMS, heard_in, response, room
from convtasnet_lit.mixing.transforms import normalize

BANK = 2  # of rooms: those of test lists
METRICS = ["si_sdr", "si_sdri"]

Others = list[np.ndarray]  # other test people who may join
Hardship = Callable[[np.ndarray, Others, np.random.Generator, int], np.ndarray]  # sources -> sources and the rest


def _with(sources: np.ndarray, rest: np.ndarray | None = None) -> np.ndarray:
    return np.concatenate([sources, np.zeros_like(sources[:1]) if rest is None else rest[None]]).astype(np.float32)


def _beside(sources: np.ndarray, rest: np.ndarray, snr: float) -> np.ndarray:
    """Add something at a level under the speech."""
    speech = sources.sum(0)
    return _with(sources, rest * np.sqrt((speech @ speech) / (rest @ rest)) * 10 ** (-snr / 20))


def clean(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int) -> np.ndarray:
    """Nothing else."""
    return _with(sources)


def steady(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int, snr: float) -> np.ndarray:
    """Steady noise between white and 1/f^1.5."""
    return _beside(sources, coloured(rng, sources.shape[1], rate), snr)


def babble(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int, snr: float) -> np.ndarray:
    """Four others who speak at once."""
    return _beside(sources, np.sum(others[:4], axis=0), snr)


def music(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int, snr: float) -> np.ndarray:
    """Chords of four notes with five overtones, a new one each half second: made, as no recordings are shipped."""
    beat, time = rate // 2, np.arange(rate // 2) / rate
    chords = []
    for _ in range(-(-sources.shape[1] // beat)):
        root = 110 * 2 ** (rng.integers(12) / 12)
        notes = root * 2 ** (np.array([0, rng.choice([3, 4]), 7, 12]) / 12)
        tones = [np.sin(2 * np.pi * k * note * time) / k for note in notes for k in range(1, 6)]
        chords.append(np.sum(tones, axis=0) * np.exp(-3 * time))
    return _beside(sources, np.concatenate(chords)[: sources.shape[1]], snr)


def in_room(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int, rt60: float) -> np.ndarray:
    """A room that rings for some time, give or take 50 ms; the people as they are heard in it."""
    fitting = [number for number in range(ROOMS) if abs(room(BANK, number).decay - rt60) <= 0.05]
    number, places = int(rng.choice(fitting)), rng.permutation(PLACES)
    heard = [heard_in(s, response(rate, BANK, number, int(p)))[0] for s, p in zip(sources, places, strict=False)]
    return _with(np.stack(heard))


def softer(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int, decibels: float) -> np.ndarray:
    """One of the two speaks more softly."""
    levels = sources / np.sqrt(np.square(sources).mean(1, keepdims=True))
    return _with(levels * np.array([[1.0], [10 ** (-decibels / 20)]]))


def telephone(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A telephone's band, 300 to 3400 Hz."""
    return _with(sosfiltfilt(butter(4, (300, 3400), "bandpass", fs=rate, output="sos"), sources))


def coded(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A telephone's coding, MP3 or Opus, as `augment=realistic` draws them."""
    return code(_with(sources), rng, rate)


def third(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int) -> np.ndarray:
    """A third person who is as loud as the two are on average; the two are scored."""
    return _beside(sources, others[0], 10 * np.log10(2))


def lone(sources: np.ndarray, others: Others, rng: np.random.Generator, rate: int) -> np.ndarray:
    """Only one of them speaks."""
    return _with(sources * np.array([[1.0], [0.0]]))


HARDSHIPS: dict[str, Hardship] = {
    "clean": clean,
    **{f"steady noise, {snr} dB": partial(steady, snr=snr) for snr in (20, 10, 5, 0)},
    "babble of four, 10 dB": partial(babble, snr=10),
    "music (made chords), 10 dB": partial(music, snr=10),
    **{f"room, RT60 {rt60} s": partial(in_room, rt60=rt60) for rt60 in (0.15, 0.3, 0.5)},
    **{f"one {decibels} dB softer": partial(softer, decibels=decibels) for decibels in (5, 10)},
    "telephone band": telephone,
    "codecs": coded,
    "a third person": third,
}


def suffering(mixtures: FixedMixtures, hardship: Hardship) -> Iterator[tuple[str, Mixture]]:
    """Put each mixture of a clean list into a hardship.

    Args:
        mixtures: The list.
        hardship: Which.

    Yields:
        The genders, and the mixture.
    """
    index = mixtures.store.index
    for number, spec in enumerate(mixtures.specs):
        sources = mixtures[number].sources.numpy()
        speaking = set(index["speaker"].iloc[list(spec.rows)])
        rows = [r for each in mixtures.specs for r in each.rows if index["speaker"].iloc[r] not in speaking]
        rng = np.random.default_rng(number)
        others = []
        for row in rng.permutation(rows)[:4]:
            samples = mixtures.store.read(int(row), 0, mixtures.store.lengths[row])
            others.append(np.resize(samples, spec.length) / mixtures.store.rms[row])
        parts = hardship(sources, others, rng, mixtures.store.sample_rate)
        yield spec.group, Mixture(normalize(torch.from_numpy(parts)))


def measured(separator: Separator, mixtures: FixedMixtures, out: Path) -> tuple[list[Row], Row]:
    """Separate each mixture in each hardship.

    Args:
        separator: The network.
        mixtures: The clean list.
        out: Folder of what there is to listen to.

    Returns:
        A row of each hardship, and what becomes of lone speakers.
    """
    rate, rows = separator.sample_rate, []
    for name, hardship in HARDSHIPS.items():
        scores: list[dict[str, Any]] = []
        for group, item in track(suffering(mixtures, hardship), name, total=len(mixtures)):
            estimates = _separated(separator, item)
            if not scores:
                folder = out / "".join(c if c.isalnum() else "_" for c in name)
                folder.mkdir(parents=True)
                write_example(folder, item, estimates, rate)
            scores.append(score(METRICS, estimates, item, rate) | {"group": group})
        table = pd.DataFrame(scores)
        pairs = table.groupby("group")["si_sdri"].mean().round(1).to_dict() if name == "clean" else {}
        row: Row = {"": name, "SI-SDRi (dB)": _said(table["si_sdri"]), "SI-SDR after (dB)": _said(table["si_sdr"])}
        rows.append(row)
        rows += [{"": f"{name}, {pair}", "SI-SDRi (dB)": str(mean)} for pair, mean in pairs.items()]
    under = []
    for _, item in track(suffering(mixtures, lone), "lone speakers", total=len(mixtures)):
        under.append(margin_db(_separated(separator, item)))
    held = np.array(under) >= HELD_DB
    return rows, {"": f"the other file {HELD_DB:g} dB under it", "share": _said(pd.Series(held * 100.0)) + " %"}


def _separated(separator: Separator, item: Mixture) -> torch.Tensor:
    return torch.as_tensor(separator.separate(item.mixture.numpy(), separator.sample_rate))


def _said(values: "pd.Series[float]") -> str:
    found = interval(values.to_numpy(float))
    return f"{values.mean():.1f}" + (f" [{found[0]:.1f}, {found[1]:.1f}]" if found else "")


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser("hardships", description="When does a network work, and when not?")
    parser.add_argument("model", help="as of separate --model")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of the data, over experiment=people")
    parser.add_argument("--out", type=Path, default=Path("hardships"), help="folder of sounds; default hardships")
    with reported():
        options = parser.parse_args()
        require(not options.out.exists(), "--out", options.out, "a folder that is not there yet")
        separator = Separator.from_pretrained(options.model, device="cpu")
        data = composed([*options.overrides, f"data.sample_rate={separator.sample_rate}"]).data
        mixtures = MixtureDataModule(data).fixed_mixtures(Split.test)
        rows, held = measured(separator, mixtures, options.out)
        note = f"{len(mixtures)} mixtures of held-out people; 95 % intervals over mixtures."
        parts = [Part("When it works", note, rows), Part("One speaker alone", note, [held])]
        command = shlex.join(["python", "-m", "benchmarks.hardships", *sys.argv[1:]])
        print(printing.markdown(printing.machine(), command, parts))


if __name__ == "__main__":
    main()
