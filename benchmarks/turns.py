"""Is a person found by a sample of the voice, and is it right who speaks when? Conversations of a minute.

    python -m benchmarks.turns runs/experiment-people

Every pair of test speakers talks for a minute. The last recording of each is not in the conversation: it is the sample
that `separate --like` would get, if it holds two seconds of speech. The turns in the separated tracks are compared with
those that are found in each source alone.
"""

import argparse
from io import BytesIO
from itertools import combinations

import numpy as np
import pandas as pd
from rich.progress import track

from benchmarks.conversation import ONE_PAUSES, speaker
from convtasnet_lit.config import Config, typed
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.inference.likeness import STRETCH, Sample
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.inference.timeline import FRAME_SECONDS, find_turns
from convtasnet_lit.inference.tracking import Tracker
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.weights.pretrained import read_stored

SURE = [0.0, 0.6, 0.8, 0.95, 1.0]  # limits of the rows of the table


def spoken(tracks: np.ndarray, rate: int) -> np.ndarray:
    """Whether each speaks in each frame, (speakers, frames)."""
    frame = round(FRAME_SECONDS * rate)
    samples = tracks[:, : tracks.shape[1] // frame * frame]
    energies = np.square(samples.reshape(len(tracks), -1, frame), dtype=np.float64).mean(2)
    found = np.zeros(energies.shape, bool)
    for row, turns in zip(found, find_turns(energies, frame / rate), strict=True):
        for begin, end in turns:
            row[begin:end] = True
    return found


def diarization_error(found: np.ndarray, true: np.ndarray) -> float:
    """Missed, false and confused speech, as a share of all speech; without a collar."""
    wrong = np.maximum(found.sum(0), true.sum(0)) - (found & true).sum(0)
    return float(wrong.sum() / true.sum())


def sample_of(store: Store, row: int, rate: int) -> Sample | None:
    """What a recording tells of a voice, if it holds enough of it."""
    cepstra = Tracker(rate).heard_alone(store.read(row, 0, store.lengths[row]))
    return Sample("", cepstra) if len(cepstra) >= 2 * STRETCH else None


def measured(separator: Separator, sources: np.ndarray, samples: list[Sample | None]) -> list[dict[str, float]]:
    """Separate a conversation, and ask whose each sample is: a row a sample."""
    rate, tracker = separator.sample_rate, Tracker(separator.sample_rate)
    spool = separator._spooled([sources.sum(0)], rate, "conversation", BytesIO(), BytesIO(), tracker)
    estimates = next(spool.finished(sources.shape[1]))
    fits = np.abs(sources @ estimates.T) / np.sqrt(np.square(estimates).sum(1) + 1e-9)
    order = [0, 1] if fits.trace() >= np.fliplr(fits).trace() else [1, 0]
    true = np.concatenate([spoken(source[None], rate) for source in sources])
    wrong = diarization_error(spoken(estimates[order], rate), true)
    answers = [(number, *sample.nearest(tracker.voices)) for number, sample in enumerate(samples) if sample]
    return [{"wrong": wrong, "right": float(index == order[number]), "sure": sure} for number, index, sure in answers]


def main() -> None:
    """Print how often the nearest track is the right one, by how sure that was, and how much of the turns is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--minutes", type=float, default=1.0)
    options = parser.parse_args()
    separator = Separator.from_pretrained(options.checkpoint)
    corpus = MixtureDataModule(typed(Config, read_stored(options.checkpoint).config).data).corpus
    rows = {who: list(found) for who, found in corpus.store.index.groupby("speaker").indices.items()}
    people = [who for who in corpus.splits.test if len(rows[who]) > 1]
    length = round(options.minutes * 60 * separator.sample_rate)
    results = []
    for number, pair in enumerate(track(list(combinations(people, 2)))):
        rng = np.random.default_rng(number)
        sides = [
            speaker(corpus.store, np.array(rows[who][:-1]), rng, length, pauses)
            for who, pauses in zip(pair, ONE_PAUSES, strict=True)
        ]
        samples = [sample_of(corpus.store, rows[who][-1], separator.sample_rate) for who in pair]
        if all(side.any() for side in sides):  # some people have long recordings alone, which may not fit
            results += measured(separator, np.stack(sides), samples)
    table = pd.DataFrame(results)
    bands = table.groupby(pd.cut(table["sure"], SURE, include_lowest=True), observed=True)["right"]
    print(bands.agg(samples="count", right="mean").round(3).to_string())
    print(f"{len(people)} people, {len(table)} samples: the right track for {table['right'].mean():.1%}")
    print(f"who speaks when: {table['wrong'].mean():.1%} of all speech wrong")


if __name__ == "__main__":
    main()
