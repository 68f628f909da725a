"""The AISHELL-3 tree: `train/wav/SSB0005/SSB00050001.wav`, `test/wav/...`, `spk-info.txt`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from convtasnet_lit.corpus.recording import FEMALE, MALE, UNKNOWN, Recording
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import find_audio, printable

PARTS = ("train", "test")
_SPEAKER_LENGTH = len("SSB0005")


def scan(root: Path) -> list[Recording]:
    """List the recordings of AISHELL-3, or of any corpus in its layout.

    The speaker is the first 7 characters of a file's name; a file in another speaker's folder is marked as mislabelled.

    Args:
        root: The folder that holds `train` and `test`, or the one above it that holds `data_aishell3`.

    Returns:
        The recordings, sorted by part and path.

    Raises:
        InputError: `train/wav` or `test/wav` is missing, or there is no WAV file in them.
    """
    tree = _tree(root)
    genders = read_genders(tree / "spk-info.txt")
    recordings = [
        _recording(path, part, genders) for part in PARTS for path in find_audio(tree / part / "wav", {".wav"})
    ]
    if not recordings:
        raise InputError(f"data.root: there is no WAV file below {tree}/train/wav and {tree}/test/wav")
    return _with_unique_names(recordings)


def read_genders(table: Path) -> dict[str, str]:
    """Read who is a woman and who a man from `spk-info.txt`; without the file nobody is known.

    Args:
        table: Lines such as `SSB1837<TAB>B<TAB>female<TAB>north`; those that start with `#` are comments.
    """
    if not table.is_file():
        return {}
    lines = table.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {row[0]: row[2] for row in rows if len(row) > 2 and row[2] in (FEMALE, MALE)}


def _tree(root: Path) -> Path:
    for tree in (root, root / "data_aishell3"):
        if all((tree / part / "wav").is_dir() for part in PARTS):
            return tree
    raise InputError(
        f"data.root: {root} is not an AISHELL-3 tree: train/wav and test/wav must be in it, or in data_aishell3 in it; "
        "data=aishell3 data.download=true fetches the corpus"
    )


def _recording(path: Path, part: str, genders: dict[str, str]) -> Recording:
    name, folder = printable(path.stem), printable(path.parent.name)
    speaker = name[:_SPEAKER_LENGTH]
    problem = "" if speaker == folder else f"mislabelled: its name says speaker {speaker}, its folder {folder}"
    return Recording(path, name, speaker, genders.get(speaker, UNKNOWN), part, problem)


def _with_unique_names(recordings: list[Recording]) -> list[Recording]:
    uses = Counter(recording.utterance for recording in recordings)
    return [
        recording
        if uses[recording.utterance] == 1
        else replace(recording, utterance=f"{recording.part}/{recording.speaker}/{recording.utterance}")
        for recording in recordings
    ]


def write_tables(root: Path, content: Iterable[tuple[str, str, str]], speakers: Iterable[tuple[str, str, str]]) -> None:
    """Write AISHELL-3's `content.txt` of both parts and its `spk-info.txt`.

    Args:
        root: Folder of the corpus, with `train` and `test` in it.
        content: (part, name of the file, text) of each utterance.
        speakers: (name, gender, accent) of each speaker; the age group is always B.
    """
    texts: dict[str, list[str]] = {"train": [], "test": []}
    for part, name, text in content:
        texts[part].append(f"{name}\t{text}\n")
    for part, lines in texts.items():
        (root / part / "content.txt").write_text("".join(lines), encoding="utf-8", newline="\n")
    header = "# Speakers of this corpus\n# age: always B (14 to 25), not known\n# name\tage\tgender\taccent\n"
    rows = (f"{name}\tB\t{gender}\t{accent}\n" for name, gender, accent in speakers)
    (root / "spk-info.txt").write_text(header + "".join(rows), encoding="utf-8", newline="\n")
