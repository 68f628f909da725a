"""Write small corpora for tests: AISHELL-3's exact layout, filled with noise bursts that rise and fall like speech."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

SAMPLE_RATE = 44_100
_README = "AISHELL-3: a small tree with its layout, for tests\n"


def bursts(seconds: float, seed: int, sample_rate: int = SAMPLE_RATE) -> NDArray[np.float64]:
    """Noise with a pitch of its own under 4 syllables a second, peak 0.5, shape (T,)."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = random.uniform(90, 250)
    voice = sum(np.sin(2 * np.pi * k * pitch * time + random.uniform(0, 6)) / k for k in range(1, 12))
    signal = (voice + 0.3 * random.standard_normal(len(time))) * (0.05 + np.sin(4 * np.pi * time) ** 2)
    return 0.5 * signal / np.abs(signal).max()


def speaker_name(number: int) -> str:
    """The name of the n-th speaker, such as SSB0005."""
    return f"SSB{5 + 7 * number:04d}"


def write_aishell3(
    root: Path,
    *,
    train: int = 8,
    test: int = 4,
    shared: int = 2,
    utterances: int = 3,
    seconds: float = 0.5,
    sample_rate: int = SAMPLE_RATE,
    top_folder: bool = False,
) -> Path:
    """Write a tree; every second speaker is a man.

    Args:
        root: The folder to make.
        train: Speakers in train/.
        test: Speakers only in test/.
        shared: How many of the speakers of train/ are in test/, too: the trap of this corpus.
        utterances: Of each speaker and part.
        seconds: Of the shortest utterance; others last up to twice as long.
        sample_rate: In Hz.
        top_folder: With `data_aishell3` above.

    Returns:
        root.
    """
    tree = root / "data_aishell3" if top_folder else root
    names = [speaker_name(number) for number in range(train + test)]
    parts = {"train": names[:train], "test": names[:shared] + names[train:]}
    first = {"train": 1, "test": 1 + utterances}  # a speaker's numbers go on in test/
    for part, speakers in parts.items():
        lines = []
        for speaker in speakers:
            folder = tree / part / "wav" / speaker
            folder.mkdir(parents=True)
            for number in range(first[part], first[part] + utterances):
                seed = 10_000 * int(speaker[3:]) + number
                length = seconds * (1 + seed % 10 / 10)
                path = folder / f"{speaker}{number:04d}.wav"
                soundfile.write(path, bursts(length, seed, sample_rate), sample_rate, subtype="PCM_16")
                lines.append(f"{path.name}\t广 guang3 州 zhou1 女 nv3\n")
        (tree / part / "content.txt").write_text("".join(lines), encoding="utf-8")
    (tree / "train" / "label_train-set.txt").write_text("# utterance|pinyin|characters\n", encoding="utf-8")
    genders = [f"{name}\tB\t{'male' if i % 2 else 'female'}\tnorth\n" for i, name in enumerate(names)]
    header = "# The speakers\n# age group: A < 14, B 14-25, C 26-40, D > 41\n# speaker\tage\tgender\taccent\n"
    (tree / "spk-info.txt").write_text(header + "".join(genders), encoding="utf-8")
    for name in ("phone_set.txt", "ReadMe.txt", "ChangeLog"):
        (tree / name).write_text(_README, encoding="utf-8")
    return root
