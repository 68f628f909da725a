"""The public separator: a recording in, one recording a speaker out."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from convtasnet_lit.audio import LOWEST_RATE, AudioInput, as_samples, resample_blocks
from convtasnet_lit.devices import find_device
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.inference.level import SCALES, Spool
from convtasnet_lit.inference.likeness import Sample
from convtasnet_lit.inference.tracking import Tracker
from convtasnet_lit.inference.windows import OVERLAP, SHORTEST_WINDOW, separate_windows, window_seconds
from convtasnet_lit.inference.writing import write_speakers
from convtasnet_lit.mixing.transforms import normalization_gain
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.model.processor import warn_of_slow_bfloat16
from convtasnet_lit.weights.pretrained import load_pretrained
from convtasnet_lit.weights.shipped import DEFAULT

Progress = Callable[[float, float], None]


class Separator:
    """Separate recordings of any length with a trained network; may be used from several threads at once.

    Args:
        network: A trained network.
        sample_rate: Hz, of the audio it was trained on.
        normalized: Whether it was trained on mixtures at -25 dBFS.
        scale: `least_squares`: each estimate gets the gain with which together they come nearest to the mixture.
            `mixture`: and an equal part of what is then left of it, so that they sum to it.
        window: Seconds that are separated at once; by default as many as take about 300 MB (see `window_seconds`).
            A longer recording is separated in windows that overlap by a quarter, with each speaker on one track.
        batch: How many windows are separated at once; more is faster on a GPU.
        bfloat16: Multiply in bfloat16: faster on processors that can; the error is some 45 dB under the estimates.
        counts: Whether it was trained on mixtures of different numbers of speakers; then those it hears come out, and
            no more.

    Raises:
        InputError: A setting is not allowed.

    Example:
        >>> separator = Separator(ConvTasNet(num_filters=32, hidden_channels=32, num_repeats=1), sample_rate=8000)
        >>> separator.separate(np.random.default_rng(0).normal(0, 0.1, 44100), sample_rate=44100).shape
        (2, 44100)
    """

    def __init__(
        self,
        network: ConvTasNet,
        sample_rate: int,
        normalized: bool = True,
        scale: str = "least_squares",
        window: float | None = None,
        batch: int = 1,
        bfloat16: bool = False,
        counts: bool = False,
    ) -> None:
        require(scale in SCALES, "scale", repr(scale), " or ".join(SCALES))
        window = window_seconds(network, sample_rate) if window is None else window
        require(SHORTEST_WINDOW <= window < float("inf"), "window", window, f"{SHORTEST_WINDOW:g} seconds or more")
        require(batch >= 1, "batch", batch, "at least 1")
        self.network, self.sample_rate, self.normalized = network.eval(), sample_rate, normalized
        self.scale, self.window, self.batch, self.bfloat16, self.counts = scale, window, batch, bfloat16, counts
        if bfloat16:
            warn_of_slow_bfloat16(next(network.parameters()).device.type)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path = DEFAULT,
        device: str = "auto",
        scale: str = "least_squares",
        window: float | None = None,
        batch: int = 1,
        bfloat16: bool = False,
    ) -> "Separator":
        """Load a trained network.

        Args:
            path: What `weights.pretrained.load_pretrained` takes: the name of a network in the package, the folder of
                a run, ...; by default the first network in the package.
            device: `auto` (a CUDA GPU if there is one, else the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.
            scale: `least_squares` or `mixture`, see `Separator`.
            window: Seconds that are separated at once, see `Separator`.
            batch: How many windows are separated at once.
            bfloat16: Whether to multiply in bfloat16.

        Raises:
            InputError: It is missing, damaged, or would run code, or the device is not here.
        """
        found = find_device(device)
        trained = load_pretrained(path)
        network = trained.network.to(found)
        counts = trained.fewest_speakers < network.num_sources
        return cls(network, trained.sample_rate, trained.normalized, scale, window, batch, bfloat16, counts)

    def separate(self, waveform: np.ndarray | Tensor, sample_rate: int) -> np.ndarray:
        """Separate a recording.

        Args:
            waveform: (samples,).
            sample_rate: Hz, any.

        Returns:
            (speakers, samples) in float32 at the same rate and length, at the level each has in the recording.

        Raises:
            InputError: The recording is not one channel, is empty, or holds values that are not finite.
        """
        samples = as_samples(waveform, "waveform")
        if samples.ndim != 1 or len(samples) == 0:
            raise InputError(f"waveform: of shape {samples.shape}; it must be (samples,), with at least one sample")
        require(sample_rate >= LOWEST_RATE, "sample_rate", sample_rate, f"at least {LOWEST_RATE} Hz")
        tracker = Tracker(self.sample_rate)
        spool = self._spooled([samples], sample_rate, "waveform", BytesIO(), BytesIO(), tracker)
        return next(spool.finished(len(samples)))

    def separate_file(
        self,
        path: str | Path,
        folder: str | Path | None = None,
        channel: int | None = None,
        progress: Progress = lambda done, total: None,
        like: Sample | None = None,
    ) -> list[Path]:
        """Separate a file of any length into one file a speaker, at its rate, length and format.

        Args:
            path: WAV, FLAC, OGG or MP3.
            folder: Where the speakers go; by default beside the file.
            channel: The channel to separate, counted from 1; None for the mean of all.
            progress: Told how many seconds are done, and of how many.
            like: Somebody's voice, see `likeness.read_sample`: the speaker who is nearest to it comes first.

        Returns:
            The files, `NAME_speaker1.wav` and so on.

        Raises:
            InputError: The file cannot be read or the results cannot be written.
        """
        recording = AudioInput(Path(path), channel)
        folder = recording.path.parent if folder is None else Path(folder)
        numbers = range(1, self.network.num_sources + 1)
        files = [folder / f"{recording.path.stem}_speaker{number}{recording.suffix}" for number in numbers]
        return self.write_separated(recording, files, progress, like)

    def write_separated(
        self,
        recording: AudioInput,
        files: list[Path],
        progress: Progress = lambda done, total: None,
        like: Sample | None = None,
    ) -> list[Path]:
        """Separate a recording into the given files: one a speaker, or a single one with a channel a speaker.

        Args:
            recording: A recording of any length.
            files: Where the speakers go, in the recording's rate, length and format.
            progress: Told how many seconds are done, and of how many.
            like: The voice of whoever shall come first.

        Returns:
            The files that were needed for the speakers that were heard.

        Raises:
            InputError: The recording cannot be read or the files cannot be written.
        """
        folder = files[0].parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as estimates, tempfile.TemporaryFile(dir=folder) as mixture:
                read = recording.blocks(), recording.sample_rate, str(recording.path)
                show = lambda done: progress(done, recording.seconds)  # noqa: E731
                tracker = Tracker(self.sample_rate)
                spool = self._spooled(*read, estimates, mixture, tracker, show)
                if like is not None:
                    spool.first = like.tell([tracker.voices[number] for number in spool.speakers], recording.path)
                files, unneeded = files[: len(spool.speakers)], files[len(spool.speakers) :]
                write_speakers(spool, recording, files)
                for file in unneeded:  # of an earlier call that heard more
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{files[0]}: cannot be written: {error.strerror or error}") from error
        return files

    def _spooled(
        self,
        blocks: Iterable[np.ndarray],
        rate: int,
        name: str,
        waiting: BinaryIO,
        mixture: BinaryIO,
        tracker: Tracker,
        progress: Callable[[float], None] = lambda done: None,
    ) -> Spool:
        """Separate a recording, which is read once; its estimates wait at its rate."""
        spool = Spool(self.network.num_sources, self.scale, self.counts, waiting, mixture)
        length = round(self.window * self.sample_rate)
        pieces = separate_windows(
            resample_blocks(spool.passing(blocks), rate, self.sample_rate),
            partial(self._estimate, name=name),
            length,
            round(OVERLAP * length),
            self.batch,
            tracker,
        )

        def levelled() -> Iterator[np.ndarray]:
            done = 0
            for mixture, estimates in pieces:
                spool.listen(mixture, estimates)
                yield np.ascontiguousarray(estimates.T)
                done += len(mixture)
                progress(done / self.sample_rate)

        for estimates in resample_blocks(levelled(), self.sample_rate, rate, self.network.num_sources):
            spool.write(estimates)
        return spool

    @torch.inference_mode()
    def _estimate(self, windows: np.ndarray, name: str) -> np.ndarray:
        """(windows, samples) -> (windows, speakers, samples)."""
        weight, mixtures = next(self.network.parameters()), torch.from_numpy(windows)
        # A window is to the network what a mixture was in training, so it gets that level by a gain of its own.
        gains = torch.tensor([normalization_gain(mixture) if self.normalized else 1.0 for mixture in mixtures])
        try:
            with torch.autocast(weight.device.type, torch.bfloat16, enabled=self.bfloat16):
                estimates: Tensor = self.network((mixtures * gains[:, None]).to(weight))
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            at_once = f"{len(windows)} of {windows.shape[1] / self.sample_rate:.1f} s"
            raise InputError(f"window, batch: {at_once} at once do not fit the memory of {weight.device}") from error
        estimates = estimates.float().cpu() / gains[:, None, None]
        if not estimates.isfinite().all():
            raise InputError(f"{name}: the network makes NaN or infinite estimates of it; are its weights damaged?")
        return estimates.numpy()
