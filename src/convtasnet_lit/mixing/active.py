"""Which shards an epoch is drawn from: pure functions of (seed, epoch), as the mixtures are."""

from dataclasses import replace

import numpy as np
import pandas as pd

from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.plan import Draw

_STREAM = 2**32 - 1  # where a mixture's stream has its index: none is so high


def active_shards(shards: int, count: int, seed: int, epoch: int) -> np.ndarray:
    """Choose the shards of an epoch: all take their turn, in another order each time, before one comes again.

    Args:
        shards: How many the store has.
        count: How many an epoch is drawn from; where a turn ends within an epoch, one may be drawn twice, and the
            epoch has fewer.
        seed: The run's seed.
        epoch: Counted from 0.

    Returns:
        Their numbers, ascending.

    Example:
        >>> [active_shards(6, 2, 0, epoch).tolist() for epoch in range(3)]
        [[2, 3], [0, 1], [4, 5]]
    """
    turns, places = np.divmod(np.arange(epoch * count, (epoch + 1) * count), shards)
    orders = {turn: np.random.default_rng((seed, turn, _STREAM)).permutation(shards) for turn in set(turns.tolist())}
    return np.unique([orders[turn][place] for turn, place in zip(turns.tolist(), places, strict=True)])


def within(draw: Draw, index: pd.DataFrame, active: np.ndarray) -> Draw:
    """Draw from some shards alone: from whom they hold, and from what they hold of each.

    Args:
        draw: How sources are drawn from all.
        index: The store's index.
        active: The shards.

    Raises:
        InputError: They hold fewer speakers than a mixture has.
    """
    is_active = index["shard"].isin(active).to_numpy()
    rows = [each[is_active[each]] for each in draw.speakers.rows]
    there = [number for number, each in enumerate(rows) if len(each)]
    if len(there) < draw.num_speakers:
        shards = f"{len(active)} of the shards hold training utterances of {len(there)} speakers"
        raise InputError(f"data.active_shards: {shards}, and data.num_speakers is {draw.num_speakers}; take more")
    speakers = replace(
        draw.speakers,
        genders=tuple(draw.speakers.genders[number] for number in there),
        rows=tuple(rows[number] for number in there),
        weights=draw.speakers.weights[there],
    )
    return replace(draw, speakers=speakers)
