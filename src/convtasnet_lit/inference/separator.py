"""The public separator: a recording in, one recording a speaker out."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convtasnet_lit.errors import InputError
from convtasnet_lit.inference.audio import read_audio, resample, write_audio
from convtasnet_lit.mixing.transforms import normalization_gain
from convtasnet_lit.model.checkpoint import checkpoint_config, find_checkpoint, network_from, read_checkpoint
from convtasnet_lit.model.network import ConvTasNet


class Separator:
    """Separate recordings with a trained network.

    Args:
        network: A trained network.
        sample_rate: Hz, of the audio it was trained on.
        normalized: Whether it was trained on mixtures at -25 dBFS.
        bfloat16: Multiply in bfloat16: faster on processors that can; the error is some 45 dB under the estimates.

    Example:
        >>> separator = Separator(ConvTasNet(num_filters=32, hidden_channels=32, num_repeats=1), sample_rate=8000)
        >>> separator.separate(np.random.default_rng(0).normal(0, 0.1, 44100), sample_rate=44100).shape
        (2, 44100)
    """

    def __init__(self, network: ConvTasNet, sample_rate: int, normalized: bool = True, bfloat16: bool = False) -> None:
        self.network, self.sample_rate = network.eval(), sample_rate
        self.normalized, self.bfloat16 = normalized, bfloat16

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str = "cpu", bfloat16: bool = False) -> "Separator":
        """Load a checkpoint.

        Args:
            path: A .ckpt file, or the folder of a run.
            device: `cpu`, `cuda`, ...
            bfloat16: Multiply in bfloat16.

        Raises:
            InputError: It is missing, damaged, or would run code, or the device is not here.
        """
        file = find_checkpoint(Path(path))
        checkpoint = read_checkpoint(file)
        data = checkpoint_config(checkpoint, file)["data"]
        network = network_from(checkpoint, file)
        try:
            network.to(device)
        except (RuntimeError, AssertionError) as error:  # torch's word for a device that is not here, or not built in
            raise InputError(f"device: {device} is not here: {str(error).splitlines()[0]}") from error
        return cls(network, data["sample_rate"], data["normalize"], bfloat16)

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
        samples = np.asarray(waveform, np.float32)
        if samples.ndim != 1 or len(samples) == 0:
            raise InputError(f"waveform: of shape {samples.shape}; it must be (samples,), with at least one sample")
        if not np.isfinite(samples).all():
            raise InputError("waveform: holds NaN or infinite samples")
        mixture = torch.from_numpy(resample(samples, sample_rate, self.sample_rate).copy())
        estimates = at_mixture_level(self._estimate(mixture), mixture).numpy()
        return np.stack([resample(e, self.sample_rate, sample_rate, len(samples)) for e in estimates])

    def separate_file(self, path: str | Path, folder: str | Path | None = None) -> list[Path]:
        """Separate a file into one WAV a speaker, at the file's rate.

        Args:
            path: WAV, FLAC, OGG or MP3.
            folder: Where the speakers go; by default beside the file.

        Returns:
            The files, `NAME_speaker1.wav` and so on.

        Raises:
            InputError: The file cannot be read or the results cannot be written.
        """
        path = Path(path)
        samples, rate = read_audio(path)
        estimates = self.separate(samples, rate)
        estimates /= max(1.0, float(np.abs(estimates).max()))  # one gain for all, rather than clipping one
        files = [
            (path.parent if folder is None else Path(folder)) / f"{path.stem}_speaker{number}.wav"
            for number in range(1, len(estimates) + 1)
        ]
        for file, estimate in zip(files, estimates, strict=True):
            write_audio(file, estimate, rate)
        return files

    @torch.inference_mode()
    def _estimate(self, mixture: Tensor) -> Tensor:
        """(samples,) -> (speakers, samples)."""
        gain = normalization_gain(mixture) if self.normalized else 1.0
        device = next(self.network.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            estimates: Tensor = self.network((mixture * gain).to(device).unsqueeze(0))[0]
        return estimates.float().cpu()


def at_mixture_level(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Scale each estimate so that together they come nearest to the mixture, in the least-squares sense.

    SI-SDR leaves the scale of an estimate open, so a network trained on it may give any, even a negative one.

    Args:
        estimates: (speakers, samples).
        mixture: (samples,).

    Returns:
        (speakers, samples).

    Example:
        >>> sources = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
        >>> off = sources * torch.tensor([[-3.0], [0.1]])
        >>> torch.allclose(at_mixture_level(off, sources.sum(0)), sources, atol=1e-4)
        True
    """
    wide = estimates.double()
    gram = wide @ wide.T
    ridge = 1e-9 * gram.diagonal().max().clamp(min=1e-12)  # keeps silent and equal estimates solvable
    gains = torch.linalg.solve(gram + ridge * torch.eye(len(wide), dtype=wide.dtype), wide @ mixture.double())
    levelled: Tensor = gains.unsqueeze(1) * wide
    return levelled.float()
