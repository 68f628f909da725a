"""What a recording goes through: a band that is too narrow, a telephone, a codec."""

from io import BytesIO

import numpy as np
import soundfile
import soxr
import torch
from scipy.signal import butter, sosfilt

from convtasnet_lit.audio import can_be_written
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.transforms import normalization_gain

TELEPHONE = (300.0, 3400.0)  # Hz, ITU-T G.712
TELEPHONE_RATE = 8000  # Hz
_ORDER = 6
_CUT_OFF = (0.25, 0.95)  # of half the sample rate
_BELOW_NYQUIST = 0.95  # where the telephone's band has to end

_FORMATS = {"MP3": "MPEG_LAYER_III", "OGG": "OPUS"}
_RATES = (8000, 12_000, 16_000, 24_000, 48_000)  # Hz, of Opus; MP3 has them, too
# libsndfile's levels of compression: speech at 8 kHz takes about 32 to 17 kbit/s as MP3 and 60 to 22 as Opus, and its
# error lies 35 to 18 dB under it.
_LEVELS = {"MP3": (0.2, 0.9), "OGG": (0.8, 0.95)}
_CODECS = ("telephone", *_FORMATS)


def limit_band(parts: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Take away what is outside a telephone's band, half the time, or above any frequency.

    Args:
        parts: (parts, samples); all go through the same filter, so that the mixture remains their sum.
        rng: A generator.
        sample_rate: Hz.
    """
    if rng.random() < 0.5:
        return telephone_band(parts, sample_rate)
    return _filtered(parts, butter(_ORDER, rng.uniform(*_CUT_OFF), output="sos"))


def telephone_band(parts: np.ndarray, sample_rate: int) -> np.ndarray:
    """Take away what is not between 300 and 3400 Hz.

    Args:
        parts: (parts, samples).
        sample_rate: Hz.
    """
    band = (TELEPHONE[0], min(TELEPHONE[1], _BELOW_NYQUIST * sample_rate / 2))
    return _filtered(parts, butter(_ORDER, band, "bandpass", output="sos", fs=sample_rate))


def _filtered(parts: np.ndarray, sections: np.ndarray) -> np.ndarray:
    filtered: np.ndarray = sosfilt(sections, parts).astype(np.float32)
    return filtered


def code(parts: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Send a mixture by telephone, as MP3 or as Opus, each a third of the time.

    Args:
        parts: (parts, samples). What the codec does to the mixture comes into the last one: it codes a sum, and does
            nothing to the single parts. The telephone's band limits all of them.
        rng: A generator.
        sample_rate: Hz.
    """
    kind = _CODECS[rng.integers(len(_CODECS))]
    if kind == "telephone":
        parts = telephone_band(parts, sample_rate)
    mixture = parts.sum(0)
    gain = normalization_gain(torch.from_numpy(mixture))  # a codec has a full scale
    if kind == "telephone":
        heard = by_telephone(gain * mixture, sample_rate)
    else:
        heard = by_format(gain * mixture, sample_rate, kind, rng.uniform(*_LEVELS[kind]))
    parts[-1] += heard / gain - mixture
    return parts


def by_telephone(mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    """Code by mu-law in 8 bits at 8 kHz (ITU-T G.711's curve).

    Args:
        mixture: (samples,) within [-1, 1].
        sample_rate: Hz.
    """
    rate = min(TELEPHONE_RATE, sample_rate)
    samples = soxr.resample(mixture, sample_rate, rate).clip(-1, 1)
    steps = np.rint(127 * np.log1p(255 * np.abs(samples)) / np.log(256))
    decoded = np.sign(samples) * np.expm1(steps / 127 * np.log(256)) / 255
    return _fitted(soxr.resample(decoded.astype(np.float32), rate, sample_rate), len(mixture))


def by_format(mixture: np.ndarray, sample_rate: int, kind: str, level: float) -> np.ndarray:
    """Code as a file of a format and read it; libsndfile takes the delay of both codecs away.

    Args:
        mixture: (samples,) within [-1, 1].
        sample_rate: Hz.
        kind: `MP3` or `OGG`, which stands for Opus.
        level: Of compression, from 0 to 1.
    """
    rate = sample_rate if sample_rate in _RATES else max(_RATES)
    file = BytesIO()
    how = {"samplerate": rate, "channels": 1, "format": kind, "subtype": _FORMATS[kind], "compression_level": level}
    with soundfile.SoundFile(file, "w", **how) as writer:
        writer.write(soxr.resample(mixture, sample_rate, rate))
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return _fitted(soxr.resample(decoded, rate, sample_rate), len(mixture))


def _fitted(samples: np.ndarray, length: int) -> np.ndarray:
    """Resampling there and back may lose a sample or gain one."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def require_codecs() -> None:
    """Refuse to code where libsndfile cannot.

    Raises:
        InputError: It writes no MP3 or no Opus.
    """
    missing = [kind for kind, subtype in _FORMATS.items() if not can_be_written(max(_RATES), kind, subtype)]
    if missing:
        version, names = soundfile.__libsndfile_version__, " and no ".join(missing)
        raise InputError(f"codec: libsndfile {version} writes no {names}; 1.2.2, as in the package soundfile, does")
