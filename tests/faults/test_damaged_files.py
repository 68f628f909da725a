"""Files with bytes changed at random: read right, or refused in one line; no crash, hang or waste of memory."""

import json
import resource
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from convtasnet_lit.audio import AudioInput
from convtasnet_lit.config import Config
from convtasnet_lit.corpus import aishell3, folder
from convtasnet_lit.corpus.prepared import prepare_corpus
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.errors import InputError
from convtasnet_lit.weights.pretrained import load_pretrained, read_stored
from convtasnet_lit.weights.published import CONFIG, WEIGHTS, write_published
from tests.faults.amounts import amount, chance
from tests.faults.test_kills import begun
from tests.runs import write_run

FILES, SECONDS, MEMORY = 1000, 10, 2 << 30  # of each reader; of each file; bytes above what the libraries take
WORDS = [
    b"NaN",
    b"1e999",
    b"null",
    b"-1",
    b"9" * 30,
    b"[" * 2000,
    b'"',
    b"\n",
    b",",
    b"\t",
    b"\0",
    b"\xff" * 8,
    b"true",
]


def changed(content: bytes, random: np.random.Generator) -> bytes:
    """Change up to four places: bits, bytes, words, pieces that are doubled, and the end."""
    data = bytearray(content)
    for _ in range(random.integers(1, 5)):
        # headers are short, and most of what can go wrong is in them
        place = int(random.integers(min(len(data), 200) if random.random() < 0.5 else len(data)))
        length = int(random.integers(1, 64))
        match random.integers(6):
            case 0:
                data[place] ^= 1 << int(random.integers(8))
            case 1:
                data[place : place + length] = random.bytes(length)
            case 2:
                data[place : place + length] = WORDS[random.integers(len(WORDS))]
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                data[place : place + 4] = [0xFF, 0xFF, 0xFF, 0x7F] if random.random() < 0.5 else [0, 0, 0, 0]
            case _:
                del data[place + 1 :]
    return bytes(data)


def read_audio(path: Path) -> None:
    for block in AudioInput(path).blocks():
        assert np.isfinite(block).all()


def build(path: Path) -> None:
    assert all(value.isfinite().all() for value in load_pretrained(path).network.state_dict().values())


def build_of_folder(path: Path) -> None:
    build(path.parent)


def build_of_pickle(path: Path) -> None:
    """Put a pickle into its checkpoint, with the checksum that belongs to it."""
    whole, changed_one = path.with_name("best.ckpt"), path.with_name("changed.ckpt")
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(changed_one, "w") as target:
        for part in archive.infolist():
            pickled = part.filename.endswith("/data.pkl")
            target.writestr(part.filename, path.read_bytes() if pickled else archive.read(part))
    build(changed_one)


def open_store(path: Path) -> None:
    Store.open(path.parent)


def read_all(read: Callable[[Path], Any], path: Path, purpose: str, count: int, progress: Path) -> None:
    """Read a file changed in so many ways; whatever is no refusal in one line ends this process."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process, wherever it is
    whole, random = path.read_bytes(), chance(purpose)
    for number in range(count):
        content = changed(whole, random)
        path.unlink()  # it may be mapped
        path.write_bytes(content)
        progress.write_bytes(number.to_bytes(4, "big") + content)
        said = ""
        signal.alarm(SECONDS)
        try:
            read(path)
        except InputError as error:
            said = str(error)
        signal.alarm(0)
        assert "\n" not in said, said


@pytest.fixture
def made(config: Config, tmp_path: Path) -> Callable[[str], Path]:
    def audio(suffix: str) -> Path:
        samples = np.random.default_rng(0).normal(0, 0.1, 4000)
        soundfile.write(tmp_path / f"a.{suffix}", samples, 16_000)
        return tmp_path / f"a.{suffix}"

    def published(name: str) -> Path:
        (tmp_path / "published").mkdir()
        write_published(read_stored(write_run(config, tmp_path / "run")), tmp_path / "published")
        if name == WEIGHTS:  # else their hash would find each change
            config_json = tmp_path / "published" / CONFIG
            config_json.write_text(json.dumps(json.loads(config_json.read_text()) | {"weights": ""}))
        return tmp_path / "published" / name

    def pickled(name: str) -> Path:
        checkpoint = write_run(config, tmp_path / "run") / "checkpoints" / "best.ckpt"
        with zipfile.ZipFile(checkpoint) as archive:
            (content,) = (archive.read(part) for part in archive.namelist() if part.endswith("/data.pkl"))
        checkpoint.with_name(name).write_bytes(content)
        return checkpoint.with_name(name)

    def store(name: str) -> Path:
        there = prepare_corpus(config.data).store.folder
        return Path(shutil.copytree(there, tmp_path / "store")) / name

    def text(name: str, content: str) -> Path:
        (tmp_path / name).write_text(content)
        return tmp_path / name

    def make(name: str) -> Path:
        match name:
            case "wav" | "flac" | "ogg" | "mp3":
                return audio(name)
            case "best.ckpt":
                return write_run(config, tmp_path / "run") / "checkpoints" / name
            case "data.pkl":
                return pickled(name)
            case "config.json" | "model.safetensors":
                return published(name)
            case "index.csv" | "store.json":
                return store(name)
            case "speakers.csv":
                return text(name, "speaker,gender\n" + "".join(f"S{n},female\n" for n in range(20)))
            case _:
                return text(name, "# header\n" + "".join(f"SSB{n:04d}\tB\tmale\tnorth\n" for n in range(20)))

    return make


READERS: list[tuple[str, Callable[[Path], Any]]] = [
    ("wav", read_audio),
    ("flac", read_audio),
    ("ogg", read_audio),
    ("mp3", read_audio),
    ("best.ckpt", build),
    ("data.pkl", build_of_pickle),
    ("config.json", build_of_folder),
    ("model.safetensors", build_of_folder),
    ("index.csv", open_store),
    ("store.json", open_store),
    ("speakers.csv", folder.read_genders),
    ("spk-info.txt", aishell3.read_genders),
]


@pytest.mark.parametrize(("name", "read"), READERS)
def test_a_changed_file_is_read_or_refused_in_one_line(
    name: str, read: Callable[[Path], Any], made: Callable[[str], Path], tmp_path: Path
) -> None:
    progress = tmp_path / "progress"
    process = begun(read_all, read, made(name), name, amount(FILES, 20), progress)
    process.join()
    content = progress.read_bytes()
    number = int.from_bytes(content[:4], "big")
    assert process.exitcode == 0, f"file {number}: {content[4:300]!r}"
