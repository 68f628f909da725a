"""The public separator: a recording in, one recording a speaker out."""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from convtasnet_lit.audio import (
    LOWEST_RATE,
    AudioInput,
    as_samples,
    audio_outputs,
    ends_at_full_scale,
    resample_blocks,
)
from convtasnet_lit.devices import find_device
from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.level import SCALES, Spool
from convtasnet_lit.inference.tracking import Tracker
from convtasnet_lit.inference.windows import OVERLAP, SHORTEST_WINDOW, separate_windows, window_seconds
from convtasnet_lit.mixing.transforms import gain_to_target
from convtasnet_lit.model.network import ConvTasNet
from convtasnet_lit.weights.pretrained import load_pretrained

Blocks = Callable[[], Iterable[np.ndarray]]  # a recording that can be read again, in pieces (samples,)
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
        if scale not in SCALES:
            raise InputError(f"scale: {scale!r} is not allowed; it must be {' or '.join(SCALES)}")
        window = window_seconds(network, sample_rate) if window is None else window
        if not SHORTEST_WINDOW <= window < float("inf"):
            raise InputError(f"window: {window} is not allowed; it must be {SHORTEST_WINDOW:g} seconds or more")
        if batch < 1:
            raise InputError(f"batch: {batch} is not allowed; it must be at least 1")
        self.network, self.sample_rate, self.normalized = network.eval(), sample_rate, normalized
        self.scale, self.window, self.batch, self.bfloat16, self.counts = scale, window, batch, bfloat16, counts

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str = "auto",
        scale: str = "least_squares",
        window: float | None = None,
        batch: int = 1,
        bfloat16: bool = False,
    ) -> "Separator":
        """Load a trained network.

        Args:
            path: The folder of a run, a .ckpt file, a published folder, a model's name on the Hugging Face hub, or a
                file of Asteroid's or torchaudio's ConvTasNet.
            device: `auto` (a CUDA GPU if there is one, else the CPU), `cpu`, `cuda`, `cuda:1` or `mps`.
            scale: See `Separator`.
            window: See `Separator`.
            batch: See `Separator`.
            bfloat16: See `Separator`.

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
        if sample_rate < LOWEST_RATE:
            raise InputError(f"sample_rate: {sample_rate} is not allowed; it must be at least {LOWEST_RATE} Hz")
        spool = self._spooled(lambda: [samples], sample_rate, BytesIO())
        return next(spool.finished([samples], self.scale))

    def separate_file(
        self,
        path: str | Path,
        folder: str | Path | None = None,
        channel: int | None = None,
        progress: Progress = lambda done, total: None,
    ) -> list[Path]:
        """Separate a file of any length into one file a speaker, at its rate, length and format.

        Args:
            path: WAV, FLAC, OGG or MP3.
            folder: Where the speakers go; by default beside the file.
            channel: The channel to separate, counted from 1; None for the mean of all.
            progress: Told how many seconds are done, and of how many.

        Returns:
            The files, `NAME_speaker1.wav` and so on.

        Raises:
            InputError: The file cannot be read or the results cannot be written.
        """
        recording = AudioInput(Path(path), channel)
        folder = recording.path.parent if folder is None else Path(folder)
        files = [folder / f"{recording.path.stem}_speaker{number}" for number in range(1, self.network.num_sources + 1)]
        return self.write_separated(
            recording, [file.with_name(file.name + recording.suffix) for file in files], progress
        )

    def write_separated(
        self, recording: AudioInput, files: list[Path], progress: Progress = lambda done, total: None
    ) -> list[Path]:
        """Separate a recording into the given files: one a speaker, or a single one with a channel a speaker.

        Args:
            recording: Of any length.
            files: Where the speakers go, in the recording's rate, length and format.
            progress: Told how many seconds are done, and of how many.

        Returns:
            The files that were needed for the speakers that were heard.

        Raises:
            InputError: The recording cannot be read or the files cannot be written.
        """
        try:
            files[0].parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=files[0].parent) as waiting:
                spool = self._spooled(
                    recording.blocks, recording.sample_rate, waiting, lambda done: progress(done, recording.seconds)
                )
                gain = self._gain_below_clipping(spool, recording)
                files, unneeded = files[: len(spool.speakers)], files[len(spool.speakers) :]
                kind = recording.sample_rate, recording.format, recording.subtype, len(spool.speakers) // len(files)
                with audio_outputs(files, *kind) as outputs:
                    for estimates in spool.finished(recording.blocks(), self.scale):
                        for output, part in zip(outputs, np.split(gain * estimates, len(outputs)), strict=True):
                            output.write(part.T)
                for file in unneeded:  # of an earlier call that heard more
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{files[0]}: cannot be written: {error.strerror or error}") from error
        return files

    def _gain_below_clipping(self, spool: Spool, recording: AudioInput) -> float:
        """One gain for all speakers where an estimate would be clipped, which is said."""
        if not ends_at_full_scale(recording.subtype):
            return 1.0
        peak = max(float(np.abs(block).max()) for block in spool.finished(recording.blocks(), self.scale))
        if peak <= 1.0:
            return 1.0
        lowered = 20 * np.log10(peak)
        logging.getLogger(__name__).warning(
            "%s: all speakers were lowered by %.1f dB, as one would have been clipped", recording.path, lowered
        )
        return 1.0 / peak

    def _spooled(
        self, blocks: Blocks, rate: int, file: BinaryIO, progress: Callable[[float], None] = lambda done: None
    ) -> Spool:
        """Separate a recording; its estimates wait at its rate."""
        spool = Spool(file, self.network.num_sources, self.counts)
        length = round(self.window * self.sample_rate)
        pieces = separate_windows(
            resample_blocks(blocks(), rate, self.sample_rate),
            partial(self._estimate, gain=self._normalization_gain(blocks, rate)),
            length,
            round(OVERLAP * length),
            self.batch,
            Tracker(self.sample_rate),
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

    def _normalization_gain(self, blocks: Blocks, rate: int) -> float:
        """The gain of the whole recording, which is read through for it."""
        if not self.normalized:
            return 1.0
        count, energy, peak = 0, 0.0, 0.0
        for block in resample_blocks(blocks(), rate, self.sample_rate):
            if len(block):
                count, energy = count + len(block), energy + float(np.square(block, dtype=np.float64).sum())
                peak = max(peak, float(np.abs(block).max()))
        return gain_to_target(energy / max(1, count), peak)

    @torch.inference_mode()
    def _estimate(self, windows: np.ndarray, gain: float) -> np.ndarray:
        """(windows, samples) -> (windows, speakers, samples)."""
        device = next(self.network.parameters()).device
        try:
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
                estimates: Tensor = self.network(torch.from_numpy(windows).to(device) * gain)
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            at_once = f"{len(windows)} of {windows.shape[1] / self.sample_rate:.1f} s"
            raise InputError(f"window, batch: {at_once} at once do not fit the memory of {device}") from error
        return (estimates.float() / gain).cpu().numpy()
