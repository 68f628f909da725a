"""One's own recordings of noise -> a store; some are kept for validation and test."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from convtasnet_lit.corpus.changed import refuse_changed
from convtasnet_lit.corpus.folder import SUFFIXES
from convtasnet_lit.corpus.preparation import Preparation
from convtasnet_lit.corpus.preparing import prepare_store
from convtasnet_lit.corpus.recording import UNKNOWN, Recording
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.data_config import DataConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import find_audio, printable

KEPT = 0.2  # of the recordings, for validation and test; at least one, and at least one is trained on


def prepare_noise(data: DataConfig, may_prepare: bool = True) -> Store:
    """Read the recordings below `data.noise_root`, unless that was done before.

    Args:
        data: Where they are, at what rate they are wanted, and where stores are kept.
        may_prepare: Whether a store may be written.

    Raises:
        InputError: There are fewer than two, they cannot be used, or they are not what they were.
    """
    root, stores = Path(data.noise_root), Path(data.store)
    recordings = scan(root)
    plan = Preparation(recordings, root, stores, "noise", data.sample_rate)
    if not may_prepare and not plan.folder.exists():
        raise InputError(f"data.noise_root: {root} is not prepared in {stores}; name data.root and data.store, too")
    try:
        store = prepare_store(plan)
        refuse_changed(store, recordings, root)
    except InputError as error:
        raise InputError(str(error).replace("data.root", "data.noise_root", 1)) from error
    if not (kept_rows(store, True) and kept_rows(store, False)):
        raise InputError(f"data.noise_root: too few recordings of {root} can be used; see {store.folder}/left_out.csv")
    return store


def scan(root: Path) -> list[Recording]:
    """List the recordings of noise anywhere below a folder; a hash of its name says whether one is kept.

    So the others of a folder may come and go: none that was trained on is tested on later.

    Args:
        root: The folder.

    Raises:
        InputError: There are fewer than two.
    """
    names = {path: printable(path.relative_to(root).as_posix()) for path in find_audio(root, SUFFIXES)}
    if len(names) < 2:
        kinds = ", ".join(SUFFIXES)
        raise InputError(f"data.noise_root: {len(names)} {kinds} files are below {root}; it must be two or more")
    places = {path: int(sha256(name.encode()).hexdigest(), 16) / 16**64 for path, name in names.items()}  # in [0, 1)
    below = sum(place < KEPT for place in places.values())
    kept = set(sorted(names, key=places.__getitem__)[: min(max(1, below), len(names) - 1)])
    return [Recording(path, name, "", UNKNOWN, "test" if path in kept else "") for path, name in names.items()]


def kept_rows(store: Store, kept: bool) -> list[int]:
    """List the rows of a store of noise that are kept for validation and test, or the others.

    Args:
        store: What `prepare_noise` returned.
        kept: Which of the two.
    """
    return np.flatnonzero((store.index["part"] == "test") == kept).tolist()
