"""How many speakers a network hears: the outputs that are not silent."""

import numpy as np

# Under the loudest output. The middle of the thresholds, -26 to -19 dB, with which experiment=counting counts 89 or 90
# % of 300 validation mixtures right (docs/corpora.md). Outputs after `at_mixture_level` serve as well, but only from
# -12.5 to -11.5 dB: least squares makes outputs louder that are all but silent.
HEARD_ABOVE_DB = -22.0
PAUSE_DB = -30.0  # a window this far under the loudest one holds no speech


def heard(estimates: np.ndarray) -> np.ndarray:
    """Tell which outputs of a network hold a speaker, by their energy relative to the loudest one.

    It says something of a network that was trained on mixtures of different numbers of speakers
    (`data.fewest_speakers`), which learned to leave the outputs silent that it does not need.

    Args:
        estimates: (speakers, samples), of one mixture, as the network gives them.

    Returns:
        Booleans, (speakers,); none is heard in silence.

    Example:
        >>> heard(np.array([[0.5, -0.5], [0.001, 0.0], [-0.2, 0.3]]))
        array([ True, False,  True])
    """
    return is_heard(np.square(estimates, dtype=np.float64).sum(-1))


def is_heard(energies: np.ndarray) -> np.ndarray:
    """Tell which outputs hold a speaker from their energies alone.

    Args:
        energies: (..., speakers).

    Example:
        >>> is_heard(np.array([1.0, 0.5, 0.001]))
        array([ True,  True, False])
    """
    above: np.ndarray = energies > energies.max(-1, keepdims=True) * 10 ** (HEARD_ABOVE_DB / 10)
    return above


def heard_anywhere(powers: np.ndarray) -> np.ndarray:
    """Tell which outputs hold a speaker in some window of a long recording, be it a small part of the whole.

    Args:
        powers: Mean energy a sample, (windows, speakers).

    Returns:
        Booleans, (speakers,); windows all but silent tell nothing.

    Example:
        >>> heard_anywhere(np.array([[1.0, 0.0, 0.0]] * 99 + [[0.5, 0.5, 0.001], [1e-9, 1e-9, 1e-9]]))
        array([ True,  True, False])
    """
    sounding = powers.max(1, keepdims=True) > powers.max() * 10 ** (PAUSE_DB / 10)
    heard: np.ndarray = (is_heard(powers) & sounding).any(0)
    return heard
