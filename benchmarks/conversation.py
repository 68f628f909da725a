"""Do speakers keep their track? Conversations of ten minutes, in which both speakers or one pause for half a minute.

    python benchmarks/conversation.py runs/experiment-voices --windows 4 8 16 32

Every pair of test speakers is separated in windows. The figures are SI-SDR improvements in dB.
"""

import argparse
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from rich.progress import track

from convtasnet_lit.config import Config, typed
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.inference.separator import Separator
from convtasnet_lit.inference.tracking import Tracker
from convtasnet_lit.inference.windows import OVERLAP, separate_windows, windows
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.training.losses import si_sdr
from convtasnet_lit.weights.pretrained import read_stored

BOTH_PAUSE = [(0.15, 0.2), (0.45, 0.5), (0.8, 0.85)]  # shares of the conversation: of ten minutes, 30 s each
ONE_PAUSES = [[(0.3, 0.35), (0.65, 0.7)], [(0.55, 0.6), (0.9, 0.95)]]
LEVEL = 0.05
Pauses = list[tuple[float, float]]
SWAPPED_DB = 1.0  # a file this far under its best order holds swapped speakers


def speaker(store: Store, rows: np.ndarray, rng: np.random.Generator, length: int, pauses: Pauses) -> np.ndarray:
    """One side of a conversation: utterances with short breaks between them, and none in the pauses."""
    side, start, spans = np.zeros(length, np.float32), 0, np.round(np.array(sorted(pauses)) * length).astype(int)
    while True:
        row = int(rng.choice(rows))
        start += int(rng.exponential(0.6) * store.sample_rate)
        end = start + store.lengths[row]
        if end > length:
            return side
        met = spans[(spans[:, 0] < end) & (start < spans[:, 1])]
        if len(met):
            start = int(met[-1, 1])
            continue
        side[start:end] = store.read(row, 0, store.lengths[row]) * (LEVEL / store.rms[row])
        start = end


def improvement(estimates: np.ndarray, sources: np.ndarray) -> float:
    """SI-SDR improvement in the order given, dB."""
    mixtures = np.broadcast_to(sources.sum(0), sources.shape).copy()
    better, before = (si_sdr(torch.from_numpy(x), torch.from_numpy(sources)) for x in (estimates, mixtures))
    return float((better - before).mean())


class Untracked(Tracker):
    """Leaves each window's estimates as they come."""

    def order(self, estimates: np.ndarray, shared: np.ndarray | None) -> np.ndarray:
        """See `Tracker.order`."""
        return np.arange(len(estimates))


class Told(Tracker):
    """Knows the sources, and orders each window after them."""

    def __init__(self, sources: np.ndarray, hop: int) -> None:
        self.sources, self.hop, self.position = sources, hop, 0
        self.scores: list[float] = []

    def order(self, estimates: np.ndarray, shared: np.ndarray | None) -> np.ndarray:
        """See `Tracker.order`."""
        here = self.sources[:, self.position : self.position + estimates.shape[1]]
        self.position += self.hop
        fit = np.square(here @ estimates.T) / (np.square(estimates).sum(1) + 1e-9)
        order = np.array([0, 1] if fit.trace() >= np.fliplr(fit).trace() else [1, 0])
        if (np.square(here).mean(1) > 0.01 * LEVEL**2).all():
            self.scores.append(improvement(estimates[order], here))
        return order


def measured(separator: Separator, sources: np.ndarray, seconds: float) -> dict[str, float]:
    """Separate a conversation in windows, and order them in five ways."""
    rate, mixture = separator.sample_rate, sources.sum(0)
    length = min(round(seconds * rate), len(mixture))
    overlap = round(OVERLAP * length)
    raw = [separator._estimate(window[None], "conversation")[0] for window in windows([mixture], length, overlap)]
    flips = np.random.default_rng(0).random(len(raw)) < 0.5
    shuffled = [e[::-1] if flip else e for e, flip in zip(raw, flips, strict=True)]

    def whole(estimates: list[np.ndarray], tracker: Tracker) -> float:
        left = iter(estimates)
        pieces = separate_windows([mixture], lambda group: next(left)[None].copy(), length, overlap, 1, tracker)
        joined = np.concatenate([piece.estimates for piece in pieces], 1)
        return max(improvement(joined, sources), improvement(joined[::-1].copy(), sources))

    told = Told(sources, length - overlap)
    best = whole(raw, told)
    tracked, untracked = whole(raw, Tracker(rate)), whole(raw, Untracked(rate))
    return {
        "windows, best order": float(np.mean(told.scores)),
        "file, best order": best,
        "file, tracked": tracked,
        "file, untracked": untracked,
        "tracked, random order": whole(shuffled, Tracker(rate)),
        "untracked, random order": whole(shuffled, Untracked(rate)),
    }


def main() -> None:
    """Print a row a window length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--windows", type=float, nargs="+", default=[4, 8, 16, 32], metavar="SECONDS")
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    separator = Separator.from_pretrained(options.checkpoint)
    corpus = MixtureDataModule(typed(Config, read_stored(options.checkpoint).config).data).corpus
    rows = corpus.store.index.groupby("speaker").indices
    length = round(options.minutes * 60 * separator.sample_rate)
    results = []
    for number, pair in enumerate(track(list(combinations(corpus.splits.test, 2)))):
        rng = np.random.default_rng(number)
        pauses = [BOTH_PAUSE + own for own in ONE_PAUSES]
        sides = [
            speaker(corpus.store, np.asarray(rows[who]), rng, length, p) for who, p in zip(pair, pauses, strict=True)
        ]
        sources = np.stack(sides)
        names = {"pair": "-".join(pair)}
        results += [{"window": s} | names | measured(separator, sources, s) for s in options.windows]
    table = pd.DataFrame(results)
    print(table.round(2).to_string(index=False))
    means = table.drop(columns="pair").groupby("window").mean()
    for name in ("file, tracked", "file, untracked", "tracked, random order", "untracked, random order"):
        lost = table["file, best order"] - table[name] > SWAPPED_DB
        means[f"swapped: {name}"] = lost.groupby(table["window"]).sum()
    print(means.round(2).T.to_string())


if __name__ == "__main__":
    main()
