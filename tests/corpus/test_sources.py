"""Several corpora in one: names, splits, what is refused, and what its mixtures are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from convtasnet_lit.config import Split
from convtasnet_lit.corpus.prepared import prepare_corpus
from convtasnet_lit.data_config import AugmentConfig, CorpusName, DataConfig, RootConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from tests.corpus.trees import bursts, speaker_name, write_aishell3


def write_tree(root: Path, speakers: str, utterances: int = 2) -> None:
    """One folder a speaker, who is named by a letter; every second one is a man."""
    for speaker in speakers:
        (root / speaker).mkdir(parents=True)
        for number in range(utterances):
            samples = bursts(0.6, 100 * ord(speaker) + number, 8000)
            soundfile.write(root / speaker / f"{number}.wav", samples, 8000)
    genders = "".join(f"{speaker},{'male' if number % 2 else 'female'}\n" for number, speaker in enumerate(speakers))
    (root / "speakers.csv").write_text(f"speaker,gender\n{genders}")


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """Few people with much speech, and many with little."""
    write_tree(tmp_path / "corpora" / "few", "abcdef", utterances=5)
    write_tree(tmp_path / "corpora" / "many", "ghijklmnopqr")
    return DataConfig(
        corpus=CorpusName.mixed,
        root=str(tmp_path / "corpora"),
        roots=[RootConfig("few"), RootConfig("many")],
        store=str(tmp_path / "store"),
        sample_rate=8000,
        segment="200ms",
        validation_mixtures=4,
        test_mixtures=4,
    )


def specs(data: DataConfig, count: int = 60) -> list[object]:
    mixtures = MixtureDataModule(data, AugmentConfig()).training_mixtures()
    return [mixtures[(0, index)].sources.numpy() for index in range(count)]


def test_all_people_are_split_together(data: DataConfig) -> None:
    prepared = prepare_corpus(data)
    sets = [set(getattr(prepared.splits, split)) for split in ("train", "validation", "test")]
    assert set.union(*sets) == set("abcdefghijklmnopqr")
    assert sum(map(len, sets)) == 18
    assert prepared.store.folder.name.startswith("mixed-8000hz-")
    assert set(prepared.store.index["utterance"].str.partition("/")[0]) == {"few", "many"}


def test_named_speakers_may_be_of_any_root(data: DataConfig) -> None:
    data = replace(data, test_speakers=["a", "r"], validation_speakers=["b", "h"])
    splits = prepare_corpus(data).splits
    assert (splits.test, splits.validation) == (("a", "r"), ("b", "h"))


def test_equal_weights_give_the_mixtures_of_one_tree(data: DataConfig) -> None:
    tree = replace(data, corpus=CorpusName.folder, roots=[], speaker_depth=2)
    genders = [(Path(data.root) / name / "speakers.csv").read_text().splitlines() for name in ("few", "many")]
    (Path(data.root) / "speakers.csv").write_text("\n".join([*genders[0], *genders[1][1:]]))
    np.testing.assert_array_equal(specs(data), specs(tree))
    several, one = MixtureDataModule(data), MixtureDataModule(tree)
    for split in (Split.validation, Split.test):
        assert several.fixed_mixtures(split).specs == one.fixed_mixtures(split).specs


def test_weights_change_the_training_and_no_list(data: DataConfig) -> None:
    heavy = replace(data, roots=[RootConfig("few", weight=50.0), RootConfig("many")])
    before, after = MixtureDataModule(data), MixtureDataModule(heavy)
    assert before.corpus.store.folder == after.corpus.store.folder
    draws = [module.training_mixtures().draw for module in (before, after)]
    store = before.corpus.store
    shares = [
        np.mean(
            [
                store.index["utterance"][row].startswith("few/")
                for index in range(300)
                for row in draw.sources(np.random.default_rng(index), index)[0][:1]
            ]
        )
        for draw in draws
    ]
    assert shares[0] < 0.6
    assert shares[1] > 0.9
    for split in (Split.validation, Split.test):
        assert before.fixed_mixtures(split).specs == after.fixed_mixtures(split).specs


def test_people_of_different_roots_meet_and_one_name_is_two_people(data: DataConfig) -> None:
    write_tree(Path(data.root) / "more", "ast")
    data.roots.append(RootConfig("more"))
    index = prepare_corpus(data).store.index
    assert set(index["speaker"]) == set("bcdefghijklmnopqrst") | {"few/a", "more/a"}
    assert index["utterance"].is_unique
    draw = MixtureDataModule(data).training_mixtures().draw
    pairs = [draw.sources(np.random.default_rng(number), number)[0] for number in range(100)]
    roots = index["utterance"].str.partition("/")[0]
    assert {len(set(roots[list(pair)])) for pair in pairs} == {1, 2}


def test_a_root_may_be_of_another_layout(data: DataConfig) -> None:
    write_aishell3(Path(data.root) / "aishell", train=6, test=3, shared=1, utterances=1, sample_rate=8000)
    data.roots.append(RootConfig("aishell", corpus=CorpusName.aishell3))
    splits = prepare_corpus(data).splits
    assert splits.test == tuple(speaker_name(number) for number in range(6, 9))
    assert splits.dropped == 1


def test_its_store_stands_for_it(data: DataConfig) -> None:
    store = prepare_corpus(data).store.folder
    assert prepare_corpus(replace(data, root=str(store))).store.folder == store
    with pytest.raises(InputError, match=r"^data\.roots: \['few/'\], but .* of \['few/', 'many/'\]$"):
        prepare_corpus(replace(data, root=str(store), roots=data.roots[:1]))
    Path(data.root).rename(Path(data.root).with_name("moved"))
    assert prepare_corpus(data).store.folder == store


@pytest.mark.parametrize(
    ("roots", "said"),
    [
        ([], r"data\.roots: \[\] is not allowed; it must be \[{root: FOLDER}, \.\.\.\] with data=mixed"),
        ([{"root": "few", "weight": 0.0}], r"data\.roots\[few\]\.weight: 0\.0 is not allowed; it must be above 0"),
        ([{"root": "few", "weight": float("nan")}], r"data\.roots\[few\]\.weight: nan is not allowed"),
        ([{"root": "few", "weight": float("inf")}], r"data\.roots\[few\]\.weight: inf is not allowed"),
        ([{"root": "/few"}], r"data\.roots\[/few\]\.root: /few is not allowed; it must be a folder below data\.root"),
        ([{"root": "a/../.."}], r"data\.roots\[a/\.\./\.\.\]\.root: a/\.\./\.\. is not allowed"),
        ([{"root": "few", "speaker_depth": 0}], r"data\.roots\[few\]\.speaker_depth: 0 is not allowed"),
        ([{"root": "few", "corpus": CorpusName.mixed}], r"data\.roots\[few\]\.corpus: mixed is not allowed"),
        ([{"root": "gone"}], r"data\.roots: .*/gone is not there"),
        ([{"root": "few"}, {"root": "./few/"}], r"data\.roots: .*/few and .*/few hold the same recordings"),
        ([{"root": "few"}, {"root": "."}], r"data\.roots: .*/few and .* hold the same recordings"),
        ([{"root": "few"}, {"root": "few/a"}], r"data\.roots: .*/few/a and .*/few hold the same recordings"),
        ([{"root": "few", "corpus": CorpusName.aishell3}], r"data\.root: .*/few is not an AISHELL-3 tree"),
    ],
)
def test_what_cannot_be_is_one_line(data: DataConfig, roots: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InputError, match=f"^{said}") as refusal:
        prepare_corpus(replace(data, roots=[RootConfig(**root) for root in roots]))
    assert "\n" not in str(refusal.value)
    assert not Path(data.store).exists()


def test_roots_are_for_a_mixed_corpus_alone(data: DataConfig) -> None:
    with pytest.raises(InputError, match=r"^data\.roots: \['few', 'many'\] is not allowed"):
        replace(data, corpus=CorpusName.folder)
