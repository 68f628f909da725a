"""How much of the faults is tried: `make test` a small share, `make faults` all of it.

`FAULTS_SHARE=0.1` tries a tenth, `FAULTS_SEED=7` other moments and other bytes.
"""

import os

import numpy as np

SHARE, SEED = float(os.environ.get("FAULTS_SHARE", "0")), int(os.environ.get("FAULTS_SEED", "0"))


def amount(all_of_them: int, least: int) -> int:
    """How many are tried of so many."""
    return max(least, round(SHARE * all_of_them))


def chance(purpose: str) -> np.random.Generator:
    """What draws moments and bytes, each purpose its own."""
    return np.random.default_rng([SEED, *purpose.encode()])
