"""Each kind of noise by its spectrum or its shape; whose voices babble is of."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from convtasnet_lit.corpus.noises import prepare_noise, scan
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.data_config import AugmentConfig, DataConfig
from convtasnet_lit.errors import InputError
from convtasnet_lit.mixing.datamodule import MixtureDataModule
from convtasnet_lit.mixing.noise import Noises, _coloured, clicks, hum
from convtasnet_lit.mixing.plan import Speakers

RATE = 16_000


def power(noise: NDArray[np.float32]) -> NDArray[np.float64]:
    spectrum: NDArray[np.float64] = np.abs(np.fft.rfft(noise.astype(float))) ** 2
    return spectrum


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5])
def test_the_power_of_coloured_noise_falls_with_the_frequency(exponent: float) -> None:
    spectrum = power(_coloured(np.random.default_rng(0), 4 * RATE, RATE, exponent))  # 0.25 Hz a bin
    octaves = [spectrum[4 * low : 8 * low].mean() for low in (100, 200, 400, 800, 1600, 3200)]
    falls = 10 * np.diff(np.log10(octaves))
    np.testing.assert_allclose(falls, -3.01 * exponent, atol=0.7)


def test_hum_is_harmonics_of_the_mains() -> None:
    mains = Counter[int]()
    for seed in range(10):
        noise = hum(np.random.default_rng(seed), RATE, RATE)  # 1 Hz a bin
        spectrum = power(noise)
        base = next(f for f in (50, 60) if spectrum[f] > 1e-3 * spectrum.sum())
        mains[base] += 1
        assert spectrum[base : 13 * base : base].sum() > 0.9999 * spectrum.sum()
    assert set(mains) == {50, 60}


def test_clicks_are_short_and_rare() -> None:
    for seed in range(10):
        noise = clicks(np.random.default_rng(seed), 2 * RATE, RATE)
        frames = np.square(noise.reshape(-1, 160)).mean(1)  # 10 ms
        assert np.sort(frames)[-40:].sum() > 0.8 * frames.sum()  # a fifth of the time
        assert (frames == 0).mean() > 0.2
    assert clicks(np.random.default_rng(0), 3, RATE).any()  # at least one, however short


class Listening(Store):
    """Knows what was read of it."""

    def read(self, row: int, start: int, length: int) -> np.ndarray:
        self.__dict__.setdefault("heard", []).append((row, start, length))
        return super().read(row, start, length)


def test_babble_is_of_three_or_more_training_speakers_who_do_not_speak(data: DataConfig) -> None:
    module = MixtureDataModule(data)
    store = Listening.open(module.corpus.store.folder)
    names = store.index["speaker"]
    noises = Noises(store, Speakers.of(store.index, module.corpus.rows("train")))
    speaking = tuple(int(rows[0]) for rows in noises.talkers.rows[:2])
    counts = Counter[int]()
    for seed in range(60):
        store.__dict__["heard"] = []
        babble = noises._babble(np.random.default_rng(seed), 4000, speaking)
        rows = [row for row, _, _ in store.__dict__["heard"]]
        assert np.square(babble).mean() > 0.5  # the talkers have a level of 1 each
        talkers = {names[row] for row in rows}
        assert len(talkers) == len(rows)
        assert talkers <= set(module.corpus.splits.train) - {names[row] for row in speaking}
        counts[len(rows)] += 1
    assert set(counts) == {3, 4}  # of six training speakers four are left


def test_babble_keeps_to_the_hours_of_training(data: DataConfig) -> None:
    less = replace(data, train_speakers=5, train_hours=5 * 9000 / 8000 / 3600)
    noises = MixtureDataModule(less, AugmentConfig(noise_probability=1)).training_mixtures().conditions.noises
    assert noises is not None
    store = Listening.open(noises.store.folder)
    heard = Noises(store, noises.talkers)
    for seed in range(60):
        heard._babble(np.random.default_rng(seed), 1000, ())
    assert len({row for row, _, _ in store.__dict__["heard"]}) > 3
    assert all(start + length <= noises.talkers.lengths[row] for row, start, length in store.__dict__["heard"])


def test_where_too_few_are_left_there_is_no_babble(data: DataConfig) -> None:
    module = MixtureDataModule(replace(data, train_speakers=4))
    store = Listening.open(module.corpus.store.folder)
    talkers = module.training_mixtures().draw.speakers
    noises = Noises(store, talkers)
    assert noises._babble(np.random.default_rng(0), 4000, tuple(int(rows[0]) for rows in talkers.rows[:2])).any()
    assert "heard" not in store.__dict__


def write_noise(root: Path, count: int) -> Path:
    """Recordings at 16 kHz, each of a tone of its own: 500 Hz, 600 Hz, ..."""
    for number in range(count):
        path = root / f"place{number % 2}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(RATE // (1 + number % 3)) / RATE  # some shorter than a mixture
        soundfile.write(path, 0.1 * np.sin(2 * np.pi * (500 + 100 * number) * time), RATE)
    return root


def tones(noises: Noises) -> Counter[int]:
    """Which of the recordings are heard how often in 200 draws of half a second."""
    found = Counter[int]()
    for seed in range(200):
        spectrum = power(noises.draw(np.random.default_rng(seed), 4000, ()))  # 2 Hz a bin, of 8 kHz
        peak = int(2 * spectrum.argmax())
        if spectrum[peak // 2 - 20 : peak // 2 + 21].sum() > 0.8 * spectrum.sum() and peak >= 490:
            found[round((peak - 500) / 100)] += 1
    return found


def test_ones_own_noise_is_half_of_all_and_some_of_it_is_kept_for_the_test(data: DataConfig, tmp_path: Path) -> None:
    noisy = replace(data, noise_root=str(write_noise(tmp_path / "noise", 10)), store=str(tmp_path / "store"))
    module = MixtureDataModule(noisy, AugmentConfig(noise_probability=1))
    module.check()
    trained, tested = (tones(module._noises(split)) for split in (0, 2))
    assert len(trained) == 8 and len(tested) == 2
    assert not set(trained) & set(tested)
    assert 70 < sum(trained.values()) < 130
    (store,) = (tmp_path / "store").glob("noise-8000hz-*")
    assert len(Store.open(store).index) == 10
    changed = MixtureDataModule(replace(noisy, noise_root=str(write_noise(tmp_path / "more", 11))), module.augment)
    assert changed._utterances != module._utterances  # such a run cannot go on with the other noise
    assert MixtureDataModule(replace(noisy, noise_root=""))._utterances == MixtureDataModule(noisy)._utterances


def test_which_files_are_kept_for_the_test_does_not_depend_on_the_others(tmp_path: Path) -> None:
    for count in (2, 3, 60):
        write_noise(tmp_path / f"{count}", count)
    kept = {count: [item.utterance for item in scan(tmp_path / f"{count}") if item.part] for count in (2, 3, 60)}
    assert 0 < len(kept[2]) < 2 and 0 < len(kept[3]) < 3
    assert 6 <= len(kept[60]) <= 20
    for item in [item for item in scan(tmp_path / "60") if not item.part][5:]:
        item.path.unlink()
    left = scan(tmp_path / "60")
    assert len(left) == len(kept[60]) + 5
    assert [item.utterance for item in left if item.part] == kept[60]


@pytest.mark.parametrize(
    ("count", "bad", "message"),
    [
        (0, 0, r"^data\.noise_root: 0 \.wav, .* files are below .*; it must be two or more$"),
        (1, 0, r"^data\.noise_root: 1 \.wav, "),
        (4, 1, r"^data\.noise_root: 1 of 5 recordings cannot be used"),
    ],
)
def test_noise_that_cannot_be_used_is_refused(
    data: DataConfig, tmp_path: Path, count: int, bad: int, message: str
) -> None:
    root = write_noise(tmp_path / "noise", count)
    for number in range(bad):
        (root / f"bad{number}.wav").write_bytes(b"RIFF")
    noisy = replace(data, noise_root=str(root), store=str(tmp_path / "store"))
    with pytest.raises(InputError, match=message):
        prepare_noise(noisy)


def test_noise_is_not_prepared_where_nothing_may_be(data: DataConfig, tmp_path: Path) -> None:
    noisy = replace(data, noise_root=str(write_noise(tmp_path / "noise", 3)), store=str(tmp_path / "store"))
    with pytest.raises(InputError, match=r"^data\.noise_root: .* is not prepared"):
        prepare_noise(noisy, may_prepare=False)
    assert not (tmp_path / "store").exists()
    prepare_noise(noisy)
    assert len(prepare_noise(noisy, may_prepare=False).index) == 3
