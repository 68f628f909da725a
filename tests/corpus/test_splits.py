import subprocess
import sys
from pathlib import Path

import pytest

from convtasnet_lit.corpus.splits import assign_splits, select_speakers
from convtasnet_lit.errors import InputError


def split(rows, **settings):
    defaults = {"validation_fraction": 0.1, "validation_speakers": [], "test_fraction": 0.1, "test_speakers": []}
    return assign_splits(rows, **(defaults | settings))


def aishell3(women=139, men=35, only_test=44, shared=60):
    """The real corpus's numbers: 174 speakers in train, 44 only in test, some of train in test, too."""
    people = [(f"SSB{i:04d}", "female" if i < women else "male") for i in range(women + men)]
    unseen = [(f"SSB{i:04d}", "male" if i % 5 == 0 else "female") for i in range(1000, 1000 + only_test)]
    rows = [(name, gender, "train") for name, gender in people for _ in range(3)]
    return rows + [(name, gender, "test") for name, gender in people[:shared] + unseen for _ in range(2)]


def plain(women=10, men=10):
    return [(f"w{i}", "female", "") for i in range(women)] + [(f"m{i}", "male", "") for i in range(men)]


def count(speakers, rows, gender):
    genders = {speaker: gender for speaker, gender, _ in rows}
    return sum(genders[speaker] == gender for speaker in speakers)


def test_the_trap_of_aishell3_no_speaker_of_train_is_tested_on():
    rows = aishell3()
    splits = split(rows)
    assert splits.test == tuple(f"SSB{i}" for i in range(1000, 1044))
    assert splits.dropped == 60 * 2
    assert set(splits.train) | set(splits.validation) == {s for s, _, part in rows if part == "train"}
    assert not set(splits.train) & set(splits.validation)


def test_validation_has_its_share_of_each_gender():
    rows = aishell3()
    validation = split(rows).validation
    assert (count(validation, rows, "female"), count(validation, rows, "male")) == (14, 4)


@pytest.mark.parametrize(
    ("women", "men", "expected"), [(6, 6, (2, 2)), (5, 3, (1, 1)), (20, 2, (2, 0)), (2, 2, None), (30, 30, (3, 3))]
)
def test_small_groups_give_at_least_one_or_two(women, men, expected):
    rows = aishell3(women, men, only_test=4, shared=1)
    validation = split(rows).validation
    if expected is None:  # too few of either: any two, as a mixture needs two
        assert len(validation) == 2
    else:
        assert (count(validation, rows, "female"), count(validation, rows, "male")) == expected


def test_a_corpus_without_parts_gives_test_then_validation():
    rows = plain(30, 20)
    splits = split(rows, test_fraction=0.2)
    assert (count(splits.test, rows, "female"), count(splits.test, rows, "male")) == (6, 4)
    assert (count(splits.validation, rows, "female"), count(splits.validation, rows, "male")) == (2, 2)
    assert len(splits.train) == 50 - 10 - 4
    assert splits.dropped == 0


def test_lists_are_taken_as_they_are():
    rows = aishell3(8, 8, only_test=4, shared=2)
    splits = split(rows, test_speakers=["SSB0000", "SSB0003"], validation_speakers=["SSB0009", "SSB0001"])
    assert splits.test == ("SSB0000", "SSB0003")  # whatever part they are in
    assert splits.validation == ("SSB0001", "SSB0009")
    assert len(splits.train) == 16 - 4
    assert splits.dropped == 2 + 4 * 2  # of SSB0001, and of those only in test/


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_speakers": ["nobody", "w1"]}, r"data\.validation_speakers: nobody is not among the"),
        ({"test_speakers": ["w1", "W2"]}, r"data\.test_speakers: W2 is not among the 20 speakers"),
        ({"test_speakers": ["w1", "w2"], "validation_speakers": ["w2", "w3"]}, r"data\.validation_speakers: w2 is not"),
        ({"validation_speakers": ["w1"]}, r"data\.validation_speakers: too few speakers \(15 for train, 1 for valid"),
        ({"test_speakers": ["w1"]}, r"data\.test_speakers: too few speakers"),
        ({"test_fraction": 0.8, "validation_fraction": 0.9}, r"data\.root: too few speakers \(0 for train"),
    ],
)
def test_bad_lists_and_small_corpora_name_the_key(settings, message):
    with pytest.raises(InputError, match=message):
        split(plain(), **settings)


def test_a_test_folder_of_train_speakers_only_is_refused():
    rows = [(name, gender, part) for name, gender, _ in plain() for part in ("train", "test")]
    with pytest.raises(InputError, match=r"data\.test_speakers: .*every speaker of test/ is in train/"):
        split(rows)
    assert split(rows, test_speakers=["w1", "m1"]).dropped == 18


def test_a_new_speaker_moves_almost_nobody():
    before = split(plain(100, 100))
    after = split([*plain(100, 100), ("new", "male", "")])
    assert len(set(before.test) ^ set(after.test)) <= 2
    assert len(set(before.validation) ^ set(after.validation)) <= 4


def test_the_same_in_every_process_and_order():
    rows = plain()
    assert split(rows[::-1]) == split(rows)
    script = "from tests.corpus.test_splits import *; print(split(plain()))"
    root = Path(__file__).parents[2]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": f"{root / 'src'}:{root}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{split(rows)}\n"}


def test_twenty_speakers_of_aishell3_are_half_women_and_a_fifth_unseen():
    chosen = select_speakers(aishell3(), 20)
    rows = [row for row in aishell3() if row[0] in chosen]
    assert len(chosen) == 20
    splits = split(rows)
    assert len(splits.test) == 4
    assert count(splits.test, rows, "male") == 2
    assert count(splits.train + splits.validation, rows, "male") == 8
    assert select_speakers(rows, 20) == chosen == select_speakers(aishell3()[::-1], 20)


def test_all_speakers_are_kept_when_that_is_asked_for():
    everybody = {speaker for speaker, _, _ in aishell3()}
    assert select_speakers(aishell3(), 0) == select_speakers(aishell3(), 1000) == everybody


def test_speakers_of_a_corpus_without_parts_and_those_one_names():
    chosen = select_speakers(plain(), 6, keep=["w7", "m9"])
    assert {"w7", "m9"} < chosen
    assert len(chosen) == 6
    assert sum(name.startswith("w") for name in chosen) == 3
