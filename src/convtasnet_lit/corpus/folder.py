"""Any tree with one folder a speaker: VCTK, LibriSpeech, one's own."""

import csv
from collections import Counter
from pathlib import Path

from convtasnet_lit.corpus.recording import FEMALE, MALE, UNKNOWN, Recording
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import find_audio, printable

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
_GENDERS = {"female": FEMALE, "f": FEMALE, "male": MALE, "m": MALE}


def scan(root: Path, speaker_depth: int) -> list[Recording]:
    """List the recordings of a tree that has one folder a speaker.

    Genders come from the table `speakers.csv` at the root (columns `speaker` and `gender`), if it is there.

    Args:
        root: The top of the tree.
        speaker_depth: Which folder below the root names the speaker: 1 is the first, 2 fits LibriSpeech's
            `train-clean-100/19/198/19-198-0001.flac`.

    Returns:
        The recordings, sorted by path; a file that lies not deep enough to have a speaker is marked as a problem.

    Raises:
        InputError: There is no folder or no audio in it, or the table lacks a column.
    """
    paths = find_audio(root, SUFFIXES)
    if not paths:
        raise InputError(f"data.root: there is no {', '.join(SUFFIXES)} file anywhere below {root}")
    genders = read_genders(root / "speakers.csv")
    uses = Counter(path.with_suffix("") for path in paths)
    return [_recording(path, root, speaker_depth, genders, uses[path.with_suffix("")] == 1) for path in paths]


def read_genders(table: Path) -> dict[str, str]:
    """Read who is a woman and who a man; without the table nobody is known.

    Args:
        table: CSV with the columns `speaker` and `gender` (female, male, f, m; anything else is unknown).

    Raises:
        InputError: A column is missing.
    """
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = {"speaker", "gender"}.difference(reader.fieldnames or ())
        if missing:
            raise InputError(f"{table}: the column {' and '.join(sorted(missing))} is missing; it needs speaker,gender")
        return {row["speaker"]: _GENDERS.get((row["gender"] or "").strip().lower(), UNKNOWN) for row in reader}


def _recording(path: Path, root: Path, depth: int, genders: dict[str, str], unique: bool) -> Recording:
    place = path.relative_to(root)
    # The same name in two formats is two recordings: then the suffix tells them apart.
    utterance = printable((place.with_suffix("") if unique else place).as_posix())
    folders = place.parts[:-1]
    if len(folders) < depth:
        problem = f"no speaker: it lies {len(folders)} folders below data.root, data.speaker_depth is {depth}"
        return Recording(path, utterance, "", UNKNOWN, "", problem)
    speaker = printable(folders[depth - 1])
    return Recording(path, utterance, speaker, genders.get(speaker, UNKNOWN), "")
