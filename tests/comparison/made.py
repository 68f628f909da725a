"""Folders of runs as training and evaluation leave them, of made data."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import yaml

from convtasnet_lit.config import Config, plain

SPEAKERS = 16
MIXTURES = 100
RATE = 8000


def write_run(
    folder: Path,
    seed: int = 0,
    gain: float = 0.0,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    epochs: int = 12,
    examples: int = 0,
    test_list: int = 0,
) -> Path:
    """Write one run whose SI-SDRi is `gain` dB above 8 dB, but for its seed, the voices and each mixture."""
    config = plain(Config(seed=seed))
    for key, value in (settings or {}).items():
        group, _, name = key.rpartition(".")
        (config[group] if group else config)[name] = value
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([*overrides, f"seed={seed}"]))
    curve = history(gain, seed, epochs)
    curve.to_csv(folder / "history.csv", index=False)
    evaluation = folder / "evaluation-test"
    evaluation.mkdir()
    table = scores(gain, seed, test_list)
    table.to_csv(evaluation / "per_utterance.csv", index=False)
    report = {"checkpoint": "best.ckpt", "epoch": int(curve["val/loss"].idxmin()), "corpus": "demo", "split": "test"}
    report |= {"mixture_list": "test-2spk-0a1b2c3d4e5f.csv", "scores": summarized(table)}
    (evaluation / "metrics.json").write_text(json.dumps(report))
    for number in range(examples):
        write_example(evaluation / "examples" / f"{number}", number)
    return folder


def history(gain: float, seed: int, epochs: int) -> pd.DataFrame:
    """A learning curve that ends near 8 dB and `gain`, sooner for a higher gain."""
    epoch = np.arange(epochs)
    wobble = 0.4 * np.random.default_rng([seed, round(abs(gain) * 1000)]).normal(size=epochs).cumsum() / np.sqrt(epochs)
    improvement = (8 + gain) * (1 - np.exp(-(epoch + 1) / (4 - gain))) + wobble
    columns = {"epoch": epoch, "seconds": 60.0 + seed, "val/loss": -improvement - epoch * 1e-6}
    return pd.DataFrame(columns | {"val/si_sdri": improvement, "lr": 1e-3})


def scores(gain: float, seed: int, test_list: int) -> pd.DataFrame:
    """What `per_utterance.csv` holds: the same mixtures for every run of a list."""
    drawn, own = np.random.default_rng(test_list), np.random.default_rng(100 + seed + round(gain * 1000))
    pairs = np.array([drawn.choice(SPEAKERS, 2, replace=False) for _ in range(MIXTURES)])
    voices = drawn.normal(0, 0.5, SPEAKERS)
    start = drawn.normal(0, 2, MIXTURES)
    improvement = 8 + gain + voices[pairs].sum(1) - 0.2 * start + drawn.normal(0, 0.8, MIXTURES)
    improvement += own.normal(0, 0.1) + own.normal(0, 0.3, MIXTURES)
    genders = np.array(list("FM"))[pairs % 2]
    table: dict[str, Any] = {"mixture": range(MIXTURES), "group": ["".join(sorted(pair)) for pair in genders]}
    table["samples"] = 2 * RATE
    for source in (0, 1):
        table[f"utterance_{source + 1}"] = [f"u{speaker}" for speaker in pairs[:, source]]
        table[f"speaker_{source + 1}"] = [f"{speaker:03d}" for speaker in pairs[:, source]]
        table[f"sha256_{source + 1}"] = [f"{test_list}{speaker:015x}" for speaker in pairs[:, source]]
        table[f"level_db_{source + 1}"] = [f"{level:.6f}" for level in start * source]
    return pd.DataFrame(table | {"si_sdr": start + improvement, "si_sdri": improvement})


def summarized(table: pd.DataFrame) -> dict[str, Any]:
    """What `metrics.json` holds of it, but for the intervals, which are those of a normal distribution."""
    groups = {"all": table} | {str(name): rows for name, rows in table.groupby("group")}
    found: dict[str, Any] = {}
    for group, rows in groups.items():
        found[group] = {"mixtures": len(rows)}
        for metric in ("si_sdr", "si_sdri"):
            mean, reach = rows[metric].mean(), 1.96 * rows[metric].sem()
            found[group][metric] = {"mean": mean, "median": rows[metric].median(), "ci95": [mean - reach, mean + reach]}
    return found


def write_example(folder: Path, number: int) -> None:
    """Two voices of harmonics that come and go, and their sum."""
    folder.mkdir(parents=True)
    time = np.arange(2 * RATE) / RATE
    voices = []
    for pitch, syllables in ((110 + 7 * number, 3.1), (205 + 9 * number, 4.3)):
        glide = pitch * (time + 0.02 * np.sin(2 * np.pi * 0.7 * time))
        tone = sum(np.sin(2 * np.pi * n * glide) / n for n in range(1, 14))
        voices.append(0.12 * tone * np.clip(np.sin(2 * np.pi * syllables * time + number), 0, 1))
    named = {"mixture": voices[0] + voices[1]}
    for source, (voice, other) in enumerate((voices, voices[::-1]), start=1):
        named |= {f"reference_{source}": voice, f"estimate_{source}": voice + 0.15 * other}
    for name, samples in named.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE)


def write_sweep(folder: Path, gains: Mapping[str, float], seeds: int = 3, examples: int = 0) -> Path:
    """Write arms of `model.mask_activation` by name, with their gain in dB."""
    for name, gain in gains.items():
        for seed in range(seeds):
            settings = {"model.mask_activation": name}
            write_run(folder / f"{name}-{seed}", seed, gain, (), settings, examples=examples)
    return folder


if __name__ == "__main__":  # the runs of the picture in docs/report.md
    write_sweep(Path(sys.argv[1]), {"sigmoid": 0.0, "relu": 0.5, "softmax": 0.05}, examples=4)
