"""The parts that measure data: mixtures a second, hours prepared a minute, the time training waits for a batch."""

import io
import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import soundfile
import torch
from torch import Tensor

from benchmarks.contestants import SAMPLE_RATE, build, model_shape, not_installed
from benchmarks.corpora import Triple, hours, write_corpus, write_triples
from benchmarks.timing import Part, Row, Settings, absent, followed, interleaved, threads_of_torch
from benchmarks.workloads import training_step
from convtasnet_lit.corpus import folder
from convtasnet_lit.corpus.preparation import Preparation
from convtasnet_lit.corpus.preparing import prepare_store
from convtasnet_lit.data_config import CorpusName, DataConfig
from convtasnet_lit.mixing.datamodule import MixtureDataModule

T = TypeVar("T")

MIXTURES = 100  # read in a round
CD_RATE = 44_100  # Hz: AISHELL-3's
DEMO_RATE = 8_000  # Hz: of experiment=demo
BATCHES = 200  # of the epoch in which waiting is measured


def loading(settings: Settings) -> Part:
    """Count the training mixtures that one core reads in a second."""
    with TemporaryDirectory() as name, threads_of_torch(1):
        root, missing = Path(name), dict[str, str]()
        data = _data(write_corpus(root / "corpus", settings.utterances, SAMPLE_RATE), settings)
        files = sorted((root / "corpus").rglob("*.wav"))
        triples = write_triples(files, root / "triples")
        reads = {
            "ours, drawn anew": _ours(data),
            "LibriMix-style, three WAVs by soundfile": _triples(triples, None),
            "LibriMix-style, the segment of three WAVs by soundfile": _triples(triples, data.segment_samples),
        }
        try:
            reads["SpeechBrain's dynamic mixing"] = _dynamic_mixing(files, data.segment_samples)
        except ImportError as error:
            missing["SpeechBrain's dynamic mixing"] = not_installed(error)
        runs = {name: lambda read=read: [read() for _ in range(MIXTURES)] for name, read in reads.items()}
        rows = _rates(interleaved("loading", runs, settings.rounds), MIXTURES, "mixtures a second")
    note = (
        "One core, files in the page cache. torchaudio's LibriMix reads mixture and sources whole, Asteroid's the "
        "segment; both take fixed mixtures from disk, ours and SpeechBrain's are new every time. SpeechBrain's is a "
        "recipe, not in the package: its steps are followed with the package's own reading and levelling."
    )
    title = f"Loading mixtures, 2 speakers, {settings.seconds:g} s at {SAMPLE_RATE} Hz"
    return Part(title, note, rows + absent(missing, "mixtures a second"))


def prepare(settings: Settings) -> Part:
    """Count the hours of audio that are prepared in a minute."""
    with TemporaryDirectory() as name:
        roots = {
            rate: write_corpus(Path(name, str(rate)), settings.utterances, rate) for rate in (SAMPLE_RATE, CD_RATE)
        }
        runs = {f"WAVs at {rate} Hz": lambda root=root: _prepare(root) for rate, root in roots.items()}
        seconds = interleaved("prepare", runs, settings.rounds)
        length = hours(sorted(roots[SAMPLE_RATE].rglob("*.wav")))
    rows = _rates(seconds, 60 * length, "hours a minute")
    note = f"From {60 * length:.0f} minutes of audio to a new store at {SAMPLE_RATE} Hz, on all cores."
    return Part("Preparing a corpus", note, rows)


def waiting(settings: Settings) -> Part:
    """Measure how long training waits for its next batch, with one worker."""
    with TemporaryDirectory() as name:
        root = write_corpus(Path(name) / "corpus", settings.utterances, DEMO_RATE)
        data = replace(_data(root, settings), sample_rate=DEMO_RATE, train_mixtures=settings.batch * BATCHES)
        batches = iter(quietly(MixtureDataModule(data).train_dataloader))
        network = build("lean", model_shape("tiny"))
        optimizer = torch.optim.Adam(network.parameters())
        waits, steps = [], []
        for _ in followed(range(BATCHES), "waiting"):
            started = time.perf_counter()
            batch = next(batches)
            arrived = time.perf_counter()
            training_step(network, batch.sources)
            optimizer.step()
            waits.append(arrived - started)
            steps.append(time.perf_counter() - arrived)
    rows = [_waiting_row("the whole epoch", waits, steps), _waiting_row("after the first batch", waits[1:], steps[1:])]
    note = (
        f"An epoch of {BATCHES} steps of the tiny model with Adam, one worker. The first batch waits until the worker "
        "is there, once a run; what follows is the steady state."
    )
    return Part(f"Waiting for data, batch {settings.batch} x {settings.seconds:g} s at {DEMO_RATE} Hz", note, rows)


def quietly(run: Callable[[], T]) -> T:
    """Call something that draws a bar of its own, without the bar."""
    with redirect_stderr(io.StringIO()):
        return run()


def _data(root: Path, settings: Settings) -> DataConfig:
    segment, store = f"{settings.seconds:g}s", str(root.parent / "store")
    return DataConfig(corpus=CorpusName.folder, root=str(root), store=store, segment=segment, batch_size=settings.batch)


def _waiting_row(name: str, waits: list[float], steps: list[float]) -> Row:
    wait, step = (1000 * statistics.mean(times) for times in (waits, steps))
    return {"": name, "ms a batch": wait, "ms a step": step, "% waiting": 100 * wait / (wait + step)}


def _rates(seconds: dict[str, list[float]], amount: float, unit: str) -> list[Row]:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return [{"": name, unit: amount / median} for name, median in medians.items()]


def _ours(data: DataConfig) -> Callable[[], object]:
    mixtures, numbers = quietly(MixtureDataModule(data).training_mixtures), itertools.count()
    return lambda: mixtures[0, next(numbers)]


def _triples(triples: Sequence[Triple], segment: int | None) -> Callable[[], object]:
    """One after the other, the whole or a random segment of each."""
    turns, rng = itertools.cycle(triples), random.Random(0)

    def read() -> list[Tensor]:
        triple, start, stop = next(turns), 0, None
        if segment is not None:
            start = rng.randint(0, max(0, soundfile.info(triple.mixture).frames - segment))
            stop = start + segment
        return [torch.from_numpy(soundfile.read(path, dtype="float32", start=start, stop=stop)[0]) for path in triple]

    return read


def _dynamic_mixing(files: Sequence[Path], segment: int) -> Callable[[], object]:
    """The steps of SpeechBrain's recipe WSJ0Mix: two files, one window each, levels in dB, the peak at 0.9."""
    from speechbrain.dataio import audio_io
    from speechbrain.processing.signal_processing import rescale

    speakers = {speaker: [str(f) for f in files if f.parent == speaker] for speaker in {f.parent for f in files}}
    rng = random.Random(0)

    def source(path: str, length: int, level: float) -> Tensor:
        start = rng.randint(0, audio_io.info(path).num_frames - length)
        samples, _ = audio_io.load(path, frame_offset=start, num_frames=length)
        levelled: Tensor = rescale(samples[0], torch.tensor(length), level, scale="dB")
        return levelled

    def read() -> tuple[Tensor, Tensor]:
        paths = [rng.choice(speakers[speaker]) for speaker in rng.sample(sorted(speakers), 2)]
        length = min(segment, *(audio_io.info(path).num_frames for path in paths))
        first = rng.gauss(-27.43, 2.57)  # dB; the recipe's means and deviations
        levels = (first, first + rng.gauss(-2.51, 2.66))
        sources = torch.stack([source(path, length, level) for path, level in zip(paths, levels, strict=True)])
        mixture = sources.sum(0)
        gain = 0.9 / max(mixture.abs().max().item(), sources.abs().max().item())
        return gain * mixture, gain * sources

    return read


def _prepare(root: Path) -> None:
    with TemporaryDirectory() as store:
        quietly(lambda: prepare_store(Preparation(folder.scan(root, 1), root, Path(store), "folder", SAMPLE_RATE)))
