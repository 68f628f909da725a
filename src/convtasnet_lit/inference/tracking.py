"""Which estimate of a window is which speaker: by what the windows share, and by the voice."""

from itertools import permutations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.linalg import solve_triangular

FRAME_SECONDS = 0.032
NUM_BANDS = 24
NUM_CEPSTRA = 16
QUIET_DB = -30.0  # a frame this far under the loudest window so far is no speech
MASKED_DB = -10.0  # a frame of an estimate this far under another's is mostly what leaked from that
FRAMES_AT_ONCE = 256  # whose spectra are in memory together
FRAMES_APART = 0.5  # frames overlap by half, so each counts for half a frame of its own
LEAST_DIFFERENCE = 1e-3  # of the energy; the same speaker twice differs by more
PRIOR_FRAMES = 200.0  # how many frames of the average voice stand beside the frames of each
LEAST_VARIANCE = 0.3  # added to that of the cepstra: a voice heard for a second seems steadier than it is


class Tracker:
    """Put each window's estimates in the order of the windows before.

    Two things tell whose an estimate is. Neighbouring windows share a stretch of the recording, in which the estimates
    of one should be those of the other; after a pause, or where a network changed its mind, that tells nothing or
    misleads. And each speaker has a voice: of each track the mean and covariance of its cepstra are remembered, over
    all frames in which it was heard so far. Both are log likelihoods, and their sum is what decides.

    Args:
        sample_rate: Hz.

    Attributes:
        voices: One a track, as far as it was heard.

    Example:
        >>> high = np.random.default_rng(0).normal(size=8000)
        >>> low = high.cumsum() / high.cumsum().std()
        >>> tracker, silence = Tracker(8000), np.zeros((2, 4000))
        >>> tracker.order(np.stack((low, high)), None).tolist()
        [0, 1]
        >>> tracker.order(np.stack((high, low)), silence).tolist()
        [1, 0]
    """

    def __init__(self, sample_rate: int) -> None:
        self._frame = round(FRAME_SECONDS * sample_rate)
        self._bands = _mel_bands(self._frame, sample_rate)
        self.voices: list[Voice] = []
        self._loudest = 0.0  # mean energy of a window's loudest estimate

    def order(self, estimates: np.ndarray, shared: np.ndarray | None) -> np.ndarray:
        """Find the estimate of each track, and remember the voices.

        Args:
            estimates: Of this window, (speakers, samples).
            shared: The tracks where the window before reaches into this one, (speakers, shared samples); None for the
                first window.

        Returns:
            For each track the index of its estimate, (speakers,).
        """
        self._loudest = max(self._loudest, float(np.square(estimates).mean(1).max()))
        cepstra, heard = self._cepstra(estimates, self._loudest)
        spoken = [frames[which] for frames, which in zip(cepstra, heard, strict=True)]
        order = np.arange(len(estimates))
        if shared is None:
            self.voices = [Voice(NUM_CEPSTRA) for _ in estimates]
        else:
            orders = np.array(list(permutations(order)))
            by_voice = self._voice_likelihoods(spoken)[order, orders].sum(1)
            order = orders[(self._shared_likelihoods(shared, estimates, orders) + by_voice).argmax()]
        for voice, index in zip(self.voices, order, strict=True):
            voice.add(spoken[index])
        return order

    def heard_alone(self, voice: np.ndarray) -> np.ndarray:
        """Return the cepstra of a voice that speaks alone.

        Args:
            voice: (samples,).

        Returns:
            Of the frames in which it is heard, (frames, NUM_CEPSTRA).
        """
        (cepstra,), (heard,) = self._cepstra(voice[None], float(np.square(voice).mean()))
        spoken: np.ndarray = cepstra[heard]
        return spoken

    def _cepstra(self, estimates: np.ndarray, loudest: float) -> tuple[np.ndarray, np.ndarray]:
        """Cepstra (speakers, frames, NUM_CEPSTRA), and the frames in which each is heard (speakers, frames)."""
        padded = np.pad(estimates, ((0, 0), (0, max(0, self._frame - estimates.shape[1]))))
        frames = sliding_window_view(padded, self._frame, axis=1)[:, :: self._frame // 2]
        pieces = np.array_split(frames, frames.shape[1] // FRAMES_AT_ONCE + 1, axis=1)
        spectra = (np.abs(np.fft.rfft(piece * np.hanning(self._frame))) for piece in pieces)
        power = np.concatenate([np.square(x) @ self._bands for x in spectra], 1)  # (speakers, frames, bands)
        energy = np.concatenate([np.square(piece).mean(-1) for piece in pieces], 1)
        floor = 1e-5 * power.mean((1, 2), keepdims=True).max() + 1e-20
        cepstra = dct(np.log(power + floor), norm="ortho")[..., :NUM_CEPSTRA]
        return cepstra, _is_heard(energy, loudest) & (energy >= 10 ** (MASKED_DB / 10) * energy.max(0))

    def _shared_likelihoods(self, shared: np.ndarray, estimates: np.ndarray, orders: np.ndarray) -> np.ndarray:
        """How well the estimates in each order continue the tracks, (orders,).

        The log likelihood of Gaussian differences of unknown variance, with as many observations as there are frames in
        which somebody is heard.
        """
        samples = shared.shape[1] // self._frame * self._frame
        frames = np.square(shared[:, :samples]).reshape(len(shared), -1, self._frame).mean(2)
        heard = _is_heard(frames, self._loudest).any(0).sum()
        energy = np.square(shared).sum() + np.square(estimates[:, : shared.shape[1]]).sum()
        products = (shared @ estimates[:, : shared.shape[1]].T)[np.arange(len(shared)), orders].sum(1)
        difference = (energy - 2 * products).clip(LEAST_DIFFERENCE * energy) + 1e-20
        likelihoods: np.ndarray = -0.5 * heard * np.log(difference)
        return likelihoods

    def _voice_likelihoods(self, spoken: list[np.ndarray]) -> np.ndarray:
        """How well each estimate fits each track's voice, (tracks, estimates)."""
        average = Voice(NUM_CEPSTRA)
        for voice in self.voices:
            average.add_voice(voice)
        likelihoods = [[voice.likelihood(frames, average) for frames in spoken] for voice in self.voices]
        return FRAMES_APART * np.array(likelihoods)


def _is_heard(energy: np.ndarray, loudest: float) -> np.ndarray:
    heard: np.ndarray = energy > 10 ** (QUIET_DB / 10) * loudest
    return heard


class Voice:
    """A Gaussian of cepstra, kept as sums.

    Args:
        size: How many cepstra there are.
    """

    def __init__(self, size: int) -> None:
        self.count, self.sum, self.products = 0.0, np.zeros(size), np.zeros((size, size))

    def add(self, frames: np.ndarray) -> None:
        """Take in the cepstra of frames, (frames, size)."""
        self.count += len(frames)
        self.sum += frames.sum(0)
        self.products += frames.T @ frames

    def add_voice(self, other: "Voice", weight: float = 1.0) -> None:
        """Take in what another one has heard, with a weight."""
        self.count += weight * other.count
        self.sum += weight * other.sum
        self.products += weight * other.products

    def likelihood(self, frames: np.ndarray, average: "Voice") -> float:
        """The log likelihood of frames, with some frames of an average voice added to one that was hardly heard."""
        if average.count == 0 or len(frames) == 0:
            return 0.0
        mean, root = self._gaussian(average)
        whitened = solve_triangular(root, (frames - mean).T, lower=True)
        return float(-0.5 * np.square(whitened).sum() - len(frames) * np.log(root.diagonal()).sum())

    def fits(self, frames: np.ndarray, average: "Voice") -> np.ndarray:
        """The log likelihood of each frame of another recording, whose level is unknown, (frames,)."""
        mean, root = self._gaussian(average)
        apart = frames - mean
        apart[:, 0] -= apart[:, 0].mean()  # a gain adds to the first of the cepstra and to no other
        whitened = solve_triangular(root, apart.T, lower=True)
        likelihoods: np.ndarray = -0.5 * np.square(whitened).sum(0) - np.log(root.diagonal()).sum()
        return likelihoods

    def _gaussian(self, average: "Voice") -> tuple[np.ndarray, np.ndarray]:
        """Its mean, and the root of its covariance."""
        mixed = Voice(len(self.sum))
        mixed.add_voice(self)
        mixed.add_voice(average, PRIOR_FRAMES / average.count)
        mean = mixed.sum / mixed.count
        covariance = mixed.products / mixed.count - np.outer(mean, mean)
        return mean, np.linalg.cholesky(covariance + LEAST_VARIANCE * np.eye(len(mean)))


def _mel_bands(frame: int, sample_rate: int) -> np.ndarray:
    """Triangles of equal width in mel, (frame // 2 + 1, NUM_BANDS)."""
    highest = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, NUM_BANDS + 2) / 2595) - 1)
    low, middle, high = (edges[i : i + NUM_BANDS] for i in range(3))
    frequencies = np.fft.rfftfreq(frame, 1 / sample_rate)[:, None]
    triangles = np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle))
    return triangles.clip(0)
