"""The fixed lists as LibriMix's tree, which other toolkits read, and which `data=librimix` reads back."""

import re
from pathlib import Path

import pandas as pd

from convtasnet_lit.audio import audio_outputs
from convtasnet_lit.config import Split
from convtasnet_lit.corpus.librimix import METADATA, SUBSETS
from convtasnet_lit.data_config import Condition, MixtureType
from convtasnet_lit.errors import require
from convtasnet_lit.files import built_whole
from convtasnet_lit.mixing.datamodule import MixtureDataModule


def export_mixtures(data: MixtureDataModule, folder: Path) -> None:
    """Write the mixtures of validation and test: as 32-bit floats, so that nothing is rounded or clipped.

    Args:
        data: The mixtures. Under conditions they are `mix_both`, and `noise` is all that no source makes of them.
        folder: The tree, with the subsets `dev` and `test`.

    Raises:
        InputError: The folder holds something, a file cannot be written, or some mixtures have fewer speakers.
    """
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    require(free, "export", folder, "a folder that is missing or empty")
    same = not data.data.mixed_counts and Condition.lone not in data.conditions
    require(same, "export", folder, "empty where speakers are absent: a LibriMix tree has as many in each mixture")
    with built_whole(folder) as partial:
        (partial / METADATA).mkdir()
        for split, subset in SUBSETS.items():
            _write_subset(data, Split[split], subset, partial, folder.absolute())
        index = data.corpus.store.index
        who = pd.DataFrame({"speaker": index["speaker"].map(_plain), "gender": index["gender"]}).drop_duplicates()
        who.to_csv(partial / "speakers.csv", index=False)


def _write_subset(data: MixtureDataModule, split: Split, subset: str, partial: Path, folder: Path) -> None:
    mixtures, count = data.fixed_mixtures(split), data.data.num_speakers
    kind = (MixtureType.mix_both if data.conditions else MixtureType.mix_clean).name
    sources = [f"s{number}" for number in range(1, count + 1)]
    folders = [kind, *sources, *(["noise"] if data.conditions else [])]
    speakers, rows = mixtures.table()[[f"speaker_{number}" for number in range(1, count + 1)]].to_numpy(str), []
    for number in range(len(mixtures)):
        item = mixtures[number]
        name = "_".join(f"{_plain(who)}-{number:05d}-{place}" for place, who in enumerate(speakers[number], start=1))
        places = [Path(subset, each, f"{name}.wav") for each in folders]
        with audio_outputs([partial / place for place in places], data.data.sample_rate, "WAV", "FLOAT") as files:
            for file, samples in zip(files, [item.mixture, *item.parts], strict=False):
                file.write(samples.numpy())
        rows.append([name, *(folder / place for place in places), len(item.mixture)])
    named = ["mixture_path", *(f"source_{number}_path" for number in range(1, count + 1)), "noise_path"][: len(folders)]
    table = pd.DataFrame(rows, columns=["mixture_ID", *named, "length"])
    table.to_csv(partial / METADATA / f"mixture_{subset}_{kind}.csv", index=False)


def _plain(speaker: str) -> str:
    """A speaker's name without what has a meaning in a mixture's name."""
    return re.sub(r"[\W_]", ".", speaker)
