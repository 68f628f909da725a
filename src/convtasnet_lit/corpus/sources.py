"""The recordings of a corpus: built or downloaded where they are missing, and listed; of one corpus or of several."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

from filelock import FileLock

from convtasnet_lit.corpus import aishell3, folder, librimix
from convtasnet_lit.corpus.download import download_aishell3
from convtasnet_lit.corpus.recording import Recording
from convtasnet_lit.data_config import CorpusName, DataConfig
from convtasnet_lit.errors import InputError


def is_there(root: Path) -> bool:
    """Tell whether a corpus is there: a folder that is not empty, or a file, which scanning will refuse."""
    return root.exists() and not (root.is_dir() and not any(root.iterdir()))


def provide(data: DataConfig) -> None:
    """Build or download a corpus that is not there; of several processes one does, and the others wait for it.

    Args:
        data: Which corpus, and where.

    Raises:
        InputError: It cannot be built or downloaded.
    """
    for member, _ in _members(data):
        provide(member)
    root, build = Path(data.root), _builder(data)
    if build is None or is_there(root):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):
        if not is_there(root):
            build(root)


def scan(data: DataConfig) -> list[Recording]:
    """List the recordings of a corpus.

    The names of those of `data.roots` begin with the root: `VCTK/wav48/p225/p225_001`. A speaker's name that several
    roots have is taken to be another person's in each: `VCTK/wav48/p225`.

    Args:
        data: Which corpus, and where.

    Raises:
        InputError: A root is missing, lies in another one, or is no such corpus.
    """
    if data.corpus is CorpusName.mixed:
        return _scan_several(_members(data))
    if data.corpus is CorpusName.folder:
        return folder.scan(Path(data.root), data.speaker_depth)
    if data.corpus is CorpusName.librimix:
        return librimix.scan(data)
    if data.corpus is CorpusName.voices:
        from convtasnet_lit.corpus import voices

        return voices.scan(Path(data.root), data.sample_rate)
    return aishell3.scan(Path(data.root))


def _builder(data: DataConfig) -> Callable[[Path], None] | None:
    # Imported where they are used: they need extras that other corpora do not.
    if data.corpus is CorpusName.demo:
        from convtasnet_lit.corpus.demo import build_demo

        return build_demo
    if data.corpus is CorpusName.voices:
        from convtasnet_lit.corpus.voices import build_voices

        return build_voices
    return download_aishell3 if data.corpus is CorpusName.aishell3 and data.download else None


def _members(data: DataConfig) -> list[tuple[DataConfig, str]]:
    """Give each root of a mixed corpus as a corpus of its own, and what its names begin with."""
    return [
        (
            replace(
                data,
                corpus=each.corpus,
                root=str(Path(data.root, each.root)),
                speaker_depth=each.speaker_depth,
                roots=[],
            ),
            each.prefix,
        )
        for each in sorted(data.roots, key=lambda each: each.prefix)
    ]


def _scan_several(members: list[tuple[DataConfig, str]]) -> list[Recording]:
    _refuse_overlap([Path(member.root) for member, _ in members])
    found = [(scan(member), prefix) for member, prefix in members]
    uses = Counter(speaker for recordings, _ in found for speaker in {each.speaker for each in recordings})
    return [_named(each, prefix, uses[each.speaker] > 1) for recordings, prefix in found for each in recordings]


def _refuse_overlap(roots: list[Path]) -> None:
    """Refuse a folder that is not there, and recordings that would be there twice, as if by two people."""
    for root in roots:
        if not is_there(root):
            raise InputError(f"data.roots: {root} is not there")
    for root, other in permutations(roots, 2):
        if root.resolve().is_relative_to(other.resolve()):
            raise InputError(f"data.roots: {root} and {other} hold the same recordings")


def _named(recording: Recording, prefix: str, shared: bool) -> Recording:
    speaker = f"{prefix if shared and recording.speaker else ''}{recording.speaker}"
    return replace(recording, utterance=f"{prefix}{recording.utterance}", speaker=speaker)
