"""The plan of mixtures: a pure function of (seed, epoch, index)."""

import hashlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.plan import Draw, MixtureSpec, Speakers, fixed_mixture, mixture_table, training_mixture


def index_of(women: int = 4, men: int = 2, utterances: int = 5, gender: str = "") -> pd.DataFrame:
    speakers = [(f"S{i:02d}", gender or ("female" if i < women else "male")) for i in range(women + men)]
    rows = [(f"{s}{u}", s, g, 8000 + 100 * u, "ab") for s, g in speakers for u in range(utterances)]
    return pd.DataFrame(rows, columns=["utterance", "speaker", "gender", "length", "sha256"])


def draw_of(
    index: pd.DataFrame, num_speakers: int = 2, balanced: bool = False, level: float = 2.5, fewest: int = 0
) -> Draw:
    return Draw(Speakers.of(index, np.arange(len(index))), num_speakers, level, balanced, fewest)


def drawn(draw: Draw, count: int, seed: int = 0, epoch: int = 0, speed: float = 0.0) -> list[MixtureSpec]:
    return [training_mixture(draw, 4000, True, speed, seed, epoch, i) for i in range(count)]


def test_seed_epoch_and_number_say_everything() -> None:
    draw = draw_of(index_of())
    assert drawn(draw, 20) == drawn(draw, 20)
    assert drawn(draw, 20) != drawn(draw, 20, epoch=1)
    assert drawn(draw, 20) != drawn(draw, 20, seed=1)
    backwards = [training_mixture(draw, 4000, True, 0.0, 0, 0, i) for i in reversed(range(20))]
    assert backwards[::-1] == drawn(draw, 20)


@pytest.mark.parametrize("num_speakers", [2, 3, 5])
def test_the_speakers_of_a_mixture_differ(num_speakers: int) -> None:
    index = index_of()
    for spec in drawn(draw_of(index, num_speakers), 100):
        assert len({index["speaker"][row] for row in spec.rows}) == num_speakers


def test_only_the_given_rows_are_drawn() -> None:
    index = index_of()
    allowed = np.arange(0, len(index), 2)
    draw = Draw(Speakers.of(index, allowed), 2, 2.5, False)
    assert {row for spec in drawn(draw, 200) for row in spec.rows} <= set(allowed.tolist())


def weighed(weights: dict[str, float], num_speakers: int = 2, balanced: bool = False) -> tuple[pd.DataFrame, Draw]:
    """Six speakers, of whom S00 and S04, a woman and a man, are of the root `few`."""
    index = index_of()
    root = np.where(index["speaker"].isin(["S00", "S04"]), "few/", "many/")
    index["utterance"] = root + index["utterance"]
    speakers = Speakers.of(index, np.arange(len(index)), weights)
    return index, Draw(speakers, num_speakers, 2.5, balanced)


@pytest.mark.parametrize("balanced", [False, True])
def test_equal_weights_change_no_mixture(balanced: bool) -> None:
    _, draw = weighed({"few/": 3.0, "many/": 3.0}, balanced=balanced)
    assert drawn(draw, 100) == drawn(draw_of(index_of(), balanced=balanced), 100)


def test_a_speaker_of_twice_the_weight_is_drawn_first_twice_as_often() -> None:
    index, draw = weighed({"few/": 2.0})
    specs = drawn(draw, 4000)
    first = Counter(index["speaker"][spec.rows[0]] for spec in specs)
    assert sum(first[speaker] for speaker in ("S00", "S04")) / 4000 == pytest.approx(4 / 8, abs=0.03)
    assert all(len({index["speaker"][row] for row in spec.rows}) == 2 for spec in specs)
    second_of_few = np.mean([index["utterance"][spec.rows[1]].startswith("few/") for spec in specs])
    assert second_of_few == pytest.approx(1 / 2 * 2 / 6 + 1 / 2 * 4 / 7, abs=0.03)  # who is in it is not drawn again


def test_weights_choose_among_women_and_among_men() -> None:
    index, draw = weighed({"few/": 3.0, "many/": 1.0}, balanced=True)
    specs = drawn(draw, 3000)
    assert Counter(spec.group for spec in specs) == {"FF": 1000, "FM": 1000, "MM": 1000}
    mixed = [index["speaker"][row] for spec in specs if spec.group == "FM" for row in spec.rows]
    assert mixed.count("S00") / 1000 == pytest.approx(3 / 6, abs=0.05)
    assert mixed.count("S04") / 1000 == pytest.approx(3 / 4, abs=0.05)


def test_weights_last_where_speech_is_limited() -> None:
    _, draw = weighed({"few/": 2.0})
    np.testing.assert_array_equal(draw.speakers.limited(9000).weights, [2, 1, 1, 1, 2, 1])


def test_levels_are_uniform_about_the_first_source() -> None:
    levels = np.array([spec.levels_db for spec in drawn(draw_of(index_of(), level=2.5), 2000)])
    assert (levels[:, 0] == 0).all()
    assert np.abs(levels).max() <= 2.5
    assert np.std(levels[:, 1]) == pytest.approx(5 / 12**0.5, rel=0.05)


def test_crops_lie_within_the_utterance_and_everywhere_in_it() -> None:
    index = index_of()
    specs = drawn(draw_of(index), 2000)
    spare = [(start, index["length"][row] - 4000) for s in specs for row, start in zip(s.rows, s.starts, strict=True)]
    assert all(0 <= start <= most for start, most in spare)
    assert np.mean([start / most for start, most in spare]) == pytest.approx(0.5, abs=0.03)
    fixed_start = training_mixture(draw_of(index), 4000, False, 0.0, 0, 0, 0)
    assert fixed_start.starts == (0, 0)


def test_balanced_groups_take_turns() -> None:
    groups = Counter(spec.group for spec in drawn(draw_of(index_of(8, 2), balanced=True), 300))
    assert groups == {"FF": 100, "FM": 100, "MM": 100}
    random = Counter(spec.group for spec in drawn(draw_of(index_of(8, 2)), 300))
    assert random["MM"] < 30
    three = Counter(spec.group for spec in drawn(draw_of(index_of(8, 2), 3, balanced=True), 300))
    assert three == {"FFF": 100, "FFM": 100, "FMM": 100}  # there are but two men


@pytest.mark.parametrize(("fewest", "counts"), [(1, {1: 100, 2: 100, 3: 100}), (2, {2: 150, 3: 150}), (3, {3: 300})])
def test_the_numbers_of_speakers_have_equal_shares_which_no_redraw_changes(fewest: int, counts: dict[int, int]) -> None:
    draw = draw_of(index_of(), 3, fewest=fewest)
    for specs in (
        drawn(draw, 300),
        [fixed_mixture(draw, 1, False, i) for i in range(300)],
        [training_mixture(draw, 4000, True, 0.1, 0, 0, i, attempt=i % 7) for i in range(300)],
    ):
        assert Counter(len(spec.rows) for spec in specs) == counts
        assert all(len(spec.group) == len(spec.rows) == 3 - spec.absent for spec in specs)


def test_every_group_of_every_number_of_speakers_takes_turns() -> None:
    draw = draw_of(index_of(8, 2), 3, balanced=True, fewest=1)
    groups = Counter(spec.group for spec in drawn(draw, 360))
    assert {group: groups[group] for group in ("F", "M")} == {"F": 60, "M": 60}
    assert {group: groups[group] for group in ("FF", "FM", "MM")} == {"FF": 40, "FM": 40, "MM": 40}
    assert {group: groups[group] for group in ("FFF", "FFM", "FMM")} == {"FFF": 40, "FFM": 40, "FMM": 40}


@pytest.mark.parametrize(
    ("num_speakers", "balanced", "known"),
    [(2, False, "38b7a39f9419"), (2, True, "8cd3b6d8f6cb"), (3, False, "aa565fbc01c1"), (3, True, "1d750016f5dc")],
)
@pytest.mark.parametrize("always", [True, False])
def test_mixtures_of_one_number_of_speakers_are_drawn_as_ever(
    num_speakers: int, balanced: bool, known: str, always: bool
) -> None:
    """The hashes were taken before mixtures could hold different numbers of speakers."""
    draw = draw_of(index_of(), num_speakers, balanced, fewest=0 if always else num_speakers)
    specs = [fixed_mixture(draw, 1, False, i) for i in range(30)] + drawn(draw, 30, speed=0.1)
    text = mixture_table(specs, index_of()).to_csv(index=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == known


def test_a_speaker_who_said_much_does_not_rule() -> None:
    index = index_of()
    loud = pd.concat([index, pd.DataFrame([("x", "S00", "female", 9000, "ab")] * 500, columns=index.columns)])
    loud = loud.reset_index(drop=True)
    speakers = Counter(loud["speaker"][row] for spec in drawn(draw_of(loud), 1200) for row in spec.rows)
    assert speakers["S00"] == pytest.approx(400, rel=0.2)


def test_fixed_mixtures_are_whole_and_apart() -> None:
    draw = draw_of(index_of())
    shortest = [fixed_mixture(draw, 1, False, i) for i in range(20)]
    longest = [fixed_mixture(draw, 1, True, i) for i in range(20)]
    for short, long in zip(shortest, longest, strict=True):
        lengths = [draw.speakers.lengths[row] for row in short.rows]
        assert (short.length, long.length) == (min(lengths), max(lengths))
        assert short.starts == (0, 0)
    assert [spec.rows for spec in shortest] != [fixed_mixture(draw, 2, False, i).rows for i in range(20)]


def test_speeds_are_drawn_about_one() -> None:
    speeds = np.array([spec.speeds for spec in drawn(draw_of(index_of()), 500, speed=0.1)])
    assert 0.9 <= speeds.min() < 0.91
    assert 1.09 < speeds.max() <= 1.1
    assert (speeds[:, 0] != speeds[:, 1]).all()


def test_the_table_names_everything_needed_to_mix_again() -> None:
    index = index_of()
    specs = [fixed_mixture(draw_of(index), 1, False, i) for i in range(3)]
    table = mixture_table(specs, index)
    assert table["utterance_2"].tolist() == [index["utterance"][spec.rows[1]] for spec in specs]
    assert {"group", "samples", "speaker_1", "sha256_1", "level_db_2"} <= set(table.columns)


def test_absent_sources_have_empty_cells() -> None:
    index = index_of()
    draw = draw_of(index, 3, fewest=1)
    table = mixture_table([fixed_mixture(draw, 1, False, i) for i in range(6)], index)
    present = table[[f"utterance_{number}" for number in (1, 2, 3)]].notna().sum(axis=1)
    assert present.tolist() == [1, 2, 3, 1, 2, 3]
    assert table["level_db_1"].tolist() == ["0.000000"] * 6
    assert table.to_csv(index=False).splitlines()[1].endswith("," * 8)  # four columns a source


def test_unknown_genders_are_refused_where_they_are_needed() -> None:
    with pytest.raises(InputError, match=r"data\.pair_balance"):
        draw_of(index_of(gender="unknown"), balanced=True)
