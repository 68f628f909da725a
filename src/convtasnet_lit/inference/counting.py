"""How many speakers a network hears: the outputs that are not silent."""

import numpy as np

HEARD_ABOVE_DB = -20.0


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
    energy = np.square(estimates, dtype=np.float64).sum(-1)
    above: np.ndarray = energy > energy.max() * 10 ** (HEARD_ABOVE_DB / 10)
    return above
