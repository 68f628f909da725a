"""Which speakers are trained, validated and tested on: no speaker is in two sets."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from convtasnet_lit.errors import InputError


@dataclass(frozen=True)
class Splits:
    """The speakers of the three sets.

    Args:
        train: Speakers trained on; only their utterances outside the part `test` are used.
        validation: Speakers held out of training; their utterances in the part `test` are not used either.
        test: Speakers never seen before; all their utterances are used.
        dropped: How many utterances of the part `test` are in no set, as their speaker is no test speaker.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    dropped: int = 0


def assign_splits(
    rows: Iterable[tuple[str, str, str]],
    *,
    validation_fraction: float,
    validation_speakers: Sequence[str],
    test_fraction: float,
    test_speakers: Sequence[str],
) -> Splits:
    """Divide the speakers of a corpus among training, validation and test.

    In a corpus with parts the test speakers are those seen only in the part `test`: AISHELL-3's `test/` holds
    speakers of `train/`, too. In a corpus without parts they are a fraction of each gender. Validation speakers are
    then a fraction of each gender of the rest. Who is held out follows from a hash of the name, so new speakers
    hardly move the others.

    Args:
        rows: Speaker, gender and part of each utterance.
        validation_fraction: Of the speakers that are left for training; at least 2 of a gender with 6, 1 of one with 3.
        validation_speakers: If given, these and no others.
        test_fraction: The same for test; not used in a corpus that has parts.
        test_speakers: If given, these and no others, in whatever part they are.

    Raises:
        InputError: A listed speaker is not there, or a set has fewer than the two speakers that a mixture needs.

    Example:
        >>> rows = [(f"S{i}", "female", "test" if i > 7 else "train") for i in range(10)]
        >>> rows.append(("S0", "female", "test"))  # in test/, but S0 is trained on
        >>> splits = assign_splits(
        ...     rows, validation_fraction=0.1, validation_speakers=["S1", "S2"], test_fraction=0.1, test_speakers=[]
        ... )
        >>> splits.train, splits.test, splits.dropped
        (('S0', 'S3', 'S4', 'S5', 'S6', 'S7'), ('S8', 'S9'), 1)
    """
    rows = list(rows)
    genders = {speaker: gender for speaker, gender, _ in rows}
    trainable = {speaker for speaker, _, part in rows if part != "test"}
    has_parts = any(part == "test" for _, _, part in rows)
    if test_speakers:
        test = _listed(test_speakers, genders, "data.test_speakers")
    else:
        test = _unseen(genders, trainable) if has_parts else _hold_out(genders, test_fraction, "test")
    rest = {speaker: genders[speaker] for speaker in trainable - test}
    if validation_speakers:
        validation = _listed(validation_speakers, rest, "data.validation_speakers")
    else:
        validation = _hold_out(rest, validation_fraction, "validation")
    train = set(rest) - validation
    _check_sizes(train=train, validation=validation, test=test)
    assert not (train & validation or train & test or validation & test), "a speaker is in two sets"
    dropped = sum(part == "test" and speaker not in test for speaker, _, part in rows)
    return Splits(tuple(sorted(train)), tuple(sorted(validation)), tuple(sorted(test)), dropped)


def select_speakers(rows: Iterable[tuple[str, str, str]], count: int, keep: Collection[str] = ()) -> set[str]:
    """Choose some of a corpus's speakers, as many women as men as far as there are.

    Args:
        rows: Speaker, gender and part of each utterance.
        count: How many speakers; about a fifth, and at least 2, are such as are seen only in the part `test`, if there
            are any. 0 means all.
        keep: Speakers to choose before the others.
    """
    rows = list(rows)
    genders = {speaker: gender for speaker, gender, _ in rows}
    if count == 0 or count >= len(genders):
        return set(genders)
    trainable = {speaker for speaker, _, part in rows if part != "test"}
    for_training = alternating({speaker: genders[speaker] for speaker in trainable}, "select", keep)
    for_test = alternating({speaker: genders[speaker] for speaker in set(genders) - trainable}, "select", keep)
    num_test = min(len(for_test), max(2, round(count / 5), count - len(for_training)))
    return {*for_test[:num_test], *for_training[: max(0, count - num_test)]}


def alternating(genders: Mapping[str, str], purpose: str, first: Collection[str] = ()) -> list[str]:
    """Put speakers in an order of their own for each purpose, women and men in turn as far as there are.

    Args:
        genders: Of each speaker.
        purpose: Another one gives another order.
        first: Speakers to put before the others.
    """
    ordered = _by_hash(genders, purpose)
    groups = [
        [speaker for speaker in ordered if genders[speaker] == gender] for gender in sorted(set(genders.values()))
    ]
    mixed = [speaker for each in zip_longest(*groups) for speaker in each if speaker is not None]
    return sorted(mixed, key=lambda speaker: speaker not in first)  # stable: keeps the order otherwise


def _by_hash(speakers: Iterable[str], purpose: str) -> list[str]:
    # sha256, because hash() differs from one process to the next
    return sorted(speakers, key=lambda speaker: hashlib.sha256(f"{purpose}:{speaker}".encode()).digest())


def _unseen(speakers: Collection[str], trainable: set[str]) -> set[str]:
    unseen = set(speakers) - trainable
    if not unseen:
        raise InputError(
            "data.test_speakers: [] is not enough: every speaker of test/ is in train/, too; name some here"
        )
    return unseen


def _hold_out(genders: dict[str, str], fraction: float, purpose: str) -> set[str]:
    ordered = _by_hash(genders, purpose)
    chosen: set[str] = set()
    for gender in sorted(set(genders.values())):
        group = [speaker for speaker in ordered if genders[speaker] == gender]
        least = 2 if len(group) >= 6 else 1 if len(group) >= 3 else 0  # 2 make a pair of the same gender
        chosen.update(group[: max(least, round(fraction * len(group)))])
    others = [speaker for speaker in ordered if speaker not in chosen]
    return chosen.union(others[: max(0, 2 - len(chosen))])  # a mixture needs 2 speakers


def _listed(names: Sequence[str], known: Collection[str], key: str) -> set[str]:
    for name in names:
        if name not in known:
            shown = ", ".join(sorted(known)[:5])
            raise InputError(f"{key}: {name} is not among the {len(known)} speakers to choose from, such as {shown}")
    return set(names)


def _check_sizes(**sets: set[str]) -> None:
    for name, speakers in sets.items():
        if len(speakers) < 2:
            sizes = ", ".join(f"{len(each)} for {other}" for other, each in sets.items())
            key = "data.root" if name == "train" else f"data.{name}_speakers"
            raise InputError(f"{key}: too few speakers ({sizes}); each set needs at least 2, as a mixture does")
