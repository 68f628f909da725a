"""LibriMix's trees: one that soundfile alone wrote, and our own lists written as one."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from convtasnet_lit import evaluate, prepare
from convtasnet_lit.config import DataOverrides, Split
from convtasnet_lit.corpus.marks import mark
from convtasnet_lit.data_config import CorpusName, DataConfig, MixtureType
from convtasnet_lit.errors import InputError
from convtasnet_lit.evaluation.guard import evaluated_data, refuse_known_speakers
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.weights.pretrained import read_stored
from convtasnet_lit.weights.shipped import DEFAULT
from tests.corpus.librimix_tree import RATE, write_tree

PAIRS = [("61", "3570"), ("121", "61"), ("3570", "121")]
Door = Callable[..., tuple[int, str]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "Libri2Mix" / "wav8k" / "min", "test", PAIRS)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Door:
    """Run a door in an empty folder; returns its exit code and what it said on standard error."""
    monkeypatch.chdir(tmp_path)

    def door(main: Callable[[], None], *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["door", *arguments])
        try:
            main()
        except SystemExit as left:
            said = capsys.readouterr().err
            return (left.code, said) if isinstance(left.code, int) else (1, f"{left.code}{said}")
        return 0, capsys.readouterr().err

    return door


def of(tree: Path, kind: str = "mix_clean", **settings: object) -> DataConfig:
    how = {"mixture_type": MixtureType[kind], "sample_rate": RATE, "store": str(tree.parent / "store"), **settings}
    return DataConfig(corpus=CorpusName.librimix, root=str(tree), **how)  # type: ignore[arg-type]


def first_row(tree: Path, kind: str = "mix_clean") -> dict[str, str]:
    with (tree / "metadata" / f"mixture_test_{kind}.csv").open(newline="") as file:
        return next(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["mix_clean", "mix_both", "mix_single"])
def test_the_mixture_is_the_file_and_the_sources_are_theirs(tree: Path, kind: str) -> None:
    mixtures = MixtureDataModule(of(tree, kind, normalize=False)).fixed_mixtures(Split.test)
    assert len(mixtures) == len(PAIRS)
    for item, (one, _) in zip([mixtures[number] for number in range(3)], PAIRS, strict=True):
        (name,) = [p.name for p in (tree / "test" / kind).iterdir() if torch.allclose(item.mixture, read(p), atol=1e-6)]
        assert name.startswith(one)
        assert torch.equal(item.sources[0], read(tree / "test" / "s1" / name))
        second = torch.zeros_like(item.mixture) if kind == "mix_single" else read(tree / "test" / "s2" / name)
        assert torch.equal(item.sources[1], second)


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


def test_a_tree_of_other_code_is_evaluated_as_published(tree: Path, run: Door) -> None:
    """Scored by hand from the files, with SI-SDR as Le Roux et al. write it."""
    where = ["data=librimix", f"data.root={tree.parents[1]}", "data.mixture_type=mix_both", "examples=1", "output=out"]
    code, said = run(evaluate.main, *where, "metrics=[si_sdri]")
    assert code == 0, said
    report = json.loads(Path("out/metrics.json").read_text())
    assert report["mixture_list"].startswith("test-2spk-mix_both-")
    assert report["scores"]["all"]["mixtures"] == 3
    assert not Path("data").exists()  # a published list needs no store
    network = read_stored(DEFAULT).build()
    for row in pd.read_csv("out/per_utterance.csv").itertuples():
        folders = {name: tree / "test" / name / f"{row.name}.wav" for name in ("mix_both", "s1", "s2")}
        mixture, *sources = (soundfile.read(path)[0] for path in folders.values())
        level = 10 ** (-25 / 20) / np.sqrt(np.mean(mixture**2))
        with torch.inference_mode():
            estimates = network(torch.from_numpy(level * mixture).float()[None])[0].double().numpy()
        gains = [
            np.mean([si_sdr(estimates[k], sources[i]) - si_sdr(mixture, sources[i]) for i, k in enumerate(order)])
            for order in ((0, 1), (1, 0))
        ]
        assert row.si_sdri == pytest.approx(max(gains), abs=1e-2)


def si_sdr(estimate: np.ndarray, source: np.ndarray) -> float:
    estimate, source = estimate - estimate.mean(), source - source.mean()
    target = np.dot(estimate, source) / np.dot(source, source) * source
    return float(10 * np.log10(np.sum(target**2) / np.sum((estimate - target) ** 2)))


def test_bad_rows_give_one_line(tree: Path, run: Door) -> None:
    row = first_row(tree)
    name = f"{row['mixture_ID']}.wav"
    mixture, second = tree / "test" / "mix_clean" / name, tree / "test" / "s2" / name
    samples, _ = soundfile.read(second)
    csv_file = tree / "metadata" / "mixture_test_mix_clean.csv"

    def refused(kind: str = "mix_clean") -> str:
        where = ["data=librimix", f"data.root={tree}", f"data.mixture_type={kind}", "output=out", "examples=0"]
        code, said = run(evaluate.main, *where)
        assert (code, said.count("error: ")) == (2, 1), said
        assert "Traceback" not in said and not Path("out").exists()
        return said

    soundfile.write(second, samples, 16_000)
    assert f"{second}: 16000 Hz; data.sample_rate is 8000" in refused()
    soundfile.write(second, samples[:-100], RATE)
    assert f"{second}: {len(samples) - 100} samples, but its mixture {mixture} has {len(samples)}" in refused()
    soundfile.write(second, 0.8 * samples, RATE)
    assert f"{mixture}: differs from the sum of its sources by 0.0" in refused()
    soundfile.write(second, 0 * samples, RATE)
    assert f"{second}: silent" in refused()
    second.unlink()
    assert f"{csv_file}: {row['mixture_ID']}: source_2_path: neither {second} nor {row['source_2_path']}" in refused()
    soundfile.write(second, samples, RATE)
    whole = csv_file.read_text()
    csv_file.write_text(whole.replace(f",{row['length']}\n", ",123\n").replace(f",{row['length']}\r\n", ",123\n"))
    assert f"{mixture}: {len(samples)} samples, but its list says 123" in refused()
    csv_file.write_text(whole.replace("source_1_path", "first"))
    assert f"{csv_file}: lacks the column source_1_path" in refused()
    csv_file.write_text("")
    assert f"{csv_file}: is no table" in refused()
    (tree / "metadata" / "mixture_test_mix_both.csv").unlink()
    assert "there is mixture_test_mix_clean.csv, mixture_test_mix_single.csv" in refused("mix_both")


def test_other_numbers_of_speakers_and_conditions_are_refused(tree: Path, run: Door) -> None:
    with pytest.raises(InputError, match=r"data\.num_speakers: 3 is not allowed; it must be 2"):
        MixtureDataModule(of(tree, num_speakers=3)).fixed_mixtures(Split.test)
    code, said = run(evaluate.main, "data=librimix", f"data.root={tree}", "conditions=[room]")
    assert code == 2 and "conditions: room is not allowed" in said


def test_a_test_speaker_whom_the_network_met_is_known_by_sound(tree: Path) -> None:
    path = tree / "test" / "s1" / f"{first_row(tree)['mixture_ID']}.wav"
    stored = replace(read_stored(DEFAULT), recordings=(mark(read(path).numpy()),))
    asked = DataOverrides(corpus="librimix", root=str(tree))
    with pytest.raises(InputError, match=r"data\.test_speakers: 61 were in this network's training"):
        refuse_known_speakers(evaluated_data(asked, stored), stored, Split.test)


def test_single_utterances_are_trained_on_and_dev_is_validated_on(tree: Path) -> None:
    write_tree(tree, "train-100", [("7", "8"), ("9", "7")])
    write_tree(tree, "dev", [("11", "12")])
    module = MixtureDataModule(of(tree, segment="200ms", train_mixtures=4, num_workers=0))
    module.prepare_data()
    assert module.corpus.splits.train == ("7", "8", "9")
    assert sorted(module.corpus.store.index["utterance"])[0] == "s1/7-1-0000_8-2-0000"
    assert next(iter(module.train_dataloader())).sources.shape == (2, 2, 1600)
    (validated,) = module.val_dataloader()
    assert validated.mixture.shape == (1, 4800)
    with pytest.raises(InputError, match=r"data.train_subset: train-360 .* it must be .*: dev, test, train-100"):
        MixtureDataModule(of(tree, train_subset="train-360")).prepare_data()


@pytest.mark.parametrize("conditions", [[], ["noise"]])
def test_an_exported_list_scores_as_the_list_itself(
    corpus: Path, tmp_path: Path, run: Door, conditions: list[str]
) -> None:
    """What is written is what is scored."""
    where = ["data=aishell3", f"data.root={corpus}", f"data.store={corpus.parent / 'store'}", "data.test_mixtures=3"]
    met, kind = f"conditions=[{','.join(conditions)}]", "mix_both" if conditions else "mix_clean"
    code, said = run(prepare.main, *where, "data.sample_rate=8000", "data.validation_mixtures=2", met, "export=tree")
    assert code == 0, said
    code, said = run(prepare.main, *where, "data.sample_rate=8000", "export=tree")
    assert code == 2 and "export: tree is not allowed; it must be a folder that is missing or empty" in said
    how = ["metrics=[si_sdr,si_sdri]", "examples=0"]
    assert run(evaluate.main, *where, met, *how, "output=plan")[0] == 0
    Path("tree").rename("moved")  # the paths in the lists lead nowhere now
    read_back = ["data=librimix", "data.root=moved", f"data.mixture_type={kind}", "output=read"]
    code, said = run(evaluate.main, *read_back, *how)
    assert code == 0, said
    planned, listed = (pd.read_csv(tmp_path / name / "per_utterance.csv") for name in ("plan", "read"))
    for column in ("group", "samples", "speaker_1", "speaker_2"):
        assert planned[column].tolist() == listed[column].tolist()
    for column in ("si_sdr", "si_sdri"):
        assert listed[column].to_numpy() == pytest.approx(planned[column].to_numpy(), abs=1e-4)
    assert sorted(p.name for p in Path("moved/test").iterdir()) == sorted(
        [kind, "s1", "s2", *(["noise"] if conditions else [])]
    )
