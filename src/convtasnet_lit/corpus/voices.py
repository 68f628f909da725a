"""The voices corpus: 54 real speakers from Debian packages, in AISHELL-3's layout."""

import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas
import soundfile
import soxr
from rich.console import Console
from rich.progress import track

from convtasnet_lit.corpus import aishell3
from convtasnet_lit.corpus.prompts import SHORTEST, FloatArray, join, split, trim
from convtasnet_lit.corpus.recording import Recording
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import built_whole

__all__ = ["build_voices", "scan"]

QUEEN = "flight-of-the-amazon-queen"
HEADERLESS = {"samplerate": 11025, "channels": 1, "format": "RAW", "subtype": "PCM_U8"}  # the lines of Drascula
WIDEBAND = 16000  # Hz; recordings at a lower rate lack the upper half of the speech band

# The lines of one actor each in the dialogues of the Amazon Queen, by the numbers of the dialogues: J is Joe, P whom he
# talks to. docs/corpora.md says how actors were told apart, and who is left out.
DIALOGUES = {
    "joe": r"\d\d....J|(?:04|05|06|07|33|34|35|51|52|53|54|55|67|68|73|74|77)....P",
    "faye": r"(?:18|20|21|22|48|49|50|57|59|60|69|71|72|78|83|84)....P",
    "naomi": r"(?:17|31|37|38|42|45)....P",
    "frank": r"(?:08|09|10|23|27|29|36|66)....P",
    "jim": r"(?:25|26|70)....P",
    "ian": r"(?:11|15|16|75|76)....P",
    "death": r"(?:12|13)....P",
    "klunk": r"(?:28|80)....P",
}

# The names of one speaker's files; prefix and groups, joined by "-", are the speaker's key. In fillets, m and v
# are the small and the big fish, and hs is a single voice in city/ only. Keys of several people are not in the
# table, where the genders of unnamed volunteers are guesses from their median pitch.
FILES = (
    ("ast", r"asterisk-core-sounds-(\w\w)-g722/.*\.g722"),
    ("fil", r"fillets-ng-data-(cs|nl)/.*/[^-/]+-(m|v)-[^/]+\.ogg"),
    ("fil", r"fillets-ng-data-(cs)/.*/city/.*/[^-/]+-(hs)-[^/]+\.ogg"),
    ("tux", r"tuxpaint-stamps-default/.*_desc_([^./]+)\.ogg"),
    ("ktu", r"ktuberling-data/.*/ktuberling/sounds/([^/]+)/.*\.ogg"),
    ("kle", r"klettres-data/.*/share/klettres/([^/]+)/.*\.ogg"),
    ("dra", r"drascula/.*/en/(VB|BJ|E|I)\d+\.ALS"),
    ("dra-hacker", r"drascula/.*/en/\d+\.ALS"),
    ("dra-LT", r"drascula/.*/en/[LT]\d+\.ALS"),
    *((f"que-{who}", rf"{QUEEN}/.*/(?:{lines})\d+\.SB") for who, lines in DIALOGUES.items()),
)
NOT_SPEECH = re.compile(r"/silence/|/music|beep|tone|tt-monkeys|confbridge-(join|leave)")
ENCODER = re.compile(rb"libVorbis I (\d+)")  # its date tells apart the several people behind the key tux-fr


def build_voices(root: Path, rate: int = 16000, packages: Path | None = None) -> None:
    """Build the voices corpus in AISHELL-3's layout, unless it is there already.

    Downloads about 430 MB with apt-get, installs nothing, needs no rights. `sources.csv` names people and
    licences. The speakers differ much in how long they speak. Every run writes the same bytes.

    Args:
        root: Folder of the corpus; it appears only when all of it is written.
        rate: Sampling rate of the corpus, in Hz.
        packages: Folder where the downloaded packages are kept; by default `debs` beside `root`.

    Raises:
        InputError: A tool is missing, or a package cannot be downloaded or unpacked.
    """
    if root.exists() and any(root.iterdir()):
        return
    _check_tools()
    speakers = _speakers()
    kept = (packages or root.with_name("debs")).resolve()
    kept.mkdir(parents=True, exist_ok=True)
    with built_whole(root) as folder, TemporaryDirectory(dir=kept) as unpacked:
        for name in track(sorted(set(speakers["package"])), "packages", console=Console(stderr=True)):
            package = _download(name, kept)
            hint = f"{package} is damaged: delete it and build again"
            _run(["dpkg-deb", "-x", package.name, f"{unpacked}/{name}"], kept, hint)
        for archive in Path(unpacked, QUEEN).rglob("queen.1c"):
            unpack_queen(archive)
        _write_corpus(folder, speakers, _files_by_key(Path(unpacked)), rate)


def scan(root: Path, sample_rate: int) -> list[Recording]:
    """List the recordings of the corpus; above 11,025 Hz without the people who were recorded at that rate.

    A network would tell them from the others by the upper band that they lack.

    Args:
        root: Folder of the corpus.
        sample_rate: The rate they are wanted at, in Hz.
    """
    speakers = _speakers()
    narrow = speakers.loc[speakers["rate"] < min(sample_rate, WIDEBAND), "number"]
    names = {f"SSB{number}" for number in narrow}
    return [recording for recording in aishell3.scan(root) if recording.speaker not in names]


def _speakers() -> pandas.DataFrame:
    return pandas.read_csv(Path(__file__).with_name("voices.csv"))


def _check_tools() -> None:
    """Refuse to start where the build would fail minutes later."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise InputError(f"the voices corpus needs {tool}, which only Debian and its relatives have")
    try:
        import av  # noqa: F401
    except ImportError:
        raise InputError("the voices corpus needs PyAV: pip install 'convtasnet_lit[voices]'") from None


def _download(package: str, folder: Path) -> Path:
    """Fetch a Debian package into a folder, unless an earlier run left it there."""
    if not list(folder.glob(f"{package}_*.deb")):
        with TemporaryDirectory(dir=folder) as unfinished:  # a download that breaks off leaves no half file
            hint = f"cannot download {package}: run `apt-get update` first"
            _run(["apt-get", "download", package], Path(unfinished), hint)
            for path in Path(unfinished).glob("*.deb"):
                path.rename(folder / path.name)
    return max(folder.glob(f"{package}_*.deb"))


def _run(command: list[str], folder: Path, hint: str) -> None:
    """Run a Debian tool in a folder; where it fails, give the hint and what it wrote."""
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise InputError(f"{hint} ({' '.join(run.stderr.split())})")


def unpack_queen(archive: Path) -> None:
    """Write the MP3 files of spoken lines that the Amazon Queen's one file holds beside it, under their names there.

    Args:
        archive: A header whose last two bytes count the entries, one for each file (12 bytes of name, one that is not
            needed, where it begins and how long it is), and the files; the numbers are big-endian.
    """
    content = archive.read_bytes()
    (count,) = struct.unpack_from(">H", content, 13)
    for name, start, size in struct.iter_unpack(">12sxII", content[15 : 15 + 21 * count]):
        if line := re.fullmatch(rb"(\w+\.SB)\0*", name):
            archive.with_name(line[1].decode()).write_bytes(content[start : start + size])


def _files_by_key(root: Path) -> dict[str, list[Path]]:
    """Group the recordings below a folder by speaker."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*.*")):
        if path.is_file() and not path.is_symlink():
            groups.setdefault(_key(path, path.relative_to(root).as_posix()), []).append(path)
    return groups


def _key(path: Path, name: str) -> str:
    """Tell the speaker of a file by its name below the folder of packages; "" where it holds no speech."""
    for prefix, pattern in FILES:
        if (found := re.fullmatch(pattern, name)) and not NOT_SPEECH.search(name):
            key = "-".join((prefix, *found.groups()))
            encoder = ENCODER.search(path.read_bytes()[:300]) if key == "tux-fr" else None
            return f"{key}-{encoder[1].decode()}" if encoder else key
    return ""


def _write_corpus(root: Path, speakers: pandas.DataFrame, files: dict[str, list[Path]], rate: int) -> None:
    """Write the recordings and the tables below an empty folder."""
    rows = speakers.to_dict("records")
    with ThreadPoolExecutor() as pool:  # threads, as filters, transforms and codecs release Python's lock
        jobs = pool.map(lambda row: _write_speaker(root, rate, row, files.get(row["key"], [])), rows)
        done = list(track(jobs, "speakers", total=len(rows), console=Console(stderr=True)))
    aishell3.write_tables(
        root,
        content=((row["part"], *line) for row, lines in zip(rows, done, strict=True) for line in lines),
        speakers=((f"SSB{row['number']}", row["gender"], row["language"]) for row in rows),
    )
    speakers.assign(utterances=[len(lines) for lines in done]).to_csv(root / "sources.csv", index=False)


def _write_speaker(root: Path, rate: int, row: dict[Hashable, Any], files: list[Path]) -> list[tuple[str, str]]:
    """Write a speaker's utterances and give the name and the sources of each."""
    random = np.random.default_rng(zlib.crc32(row["key"].encode()))
    if row["package"] == "klettres-data":  # the alphabet and its syllables: in order, neighbours sound alike
        files = [files[index] for index in random.permutation(len(files))]
    folder = root / row["part"] / "wav" / f"SSB{row['number']}"
    folder.mkdir(parents=True)
    trimmed = ((trim(_load(path, rate, row["rate"]), rate), path.stem) for path in files)
    pieces = ((part, name) for samples, name in trimmed if len(samples) for part in split(samples, rate))
    utterances = (piece for piece in join(pieces, rate, random) if len(piece[0]) >= SHORTEST * rate)
    lines = []
    for count, (samples, source) in enumerate(utterances, start=1):
        lines.append((f"{folder.name}{count:04d}.wav", source))
        soundfile.write(folder / lines[-1][0], samples, rate, subtype="PCM_16")
    return lines


def _load(path: Path, rate: int, lowest_rate: int) -> FloatArray:
    """Read a recording as (samples,) at a rate in Hz; one of a lower rate than it should have gives none."""
    if path.suffix == ".g722":
        import av  # libsndfile does not know G.722, which has no header and, in one prompt, no content either

        with av.open(str(path), format="g722") as container:
            frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
        samples, source_rate = np.hstack([*frames, np.zeros(0)]).astype(np.float32) / np.float32(32768), 16000
    else:
        raw = HEADERLESS if path.suffix == ".ALS" else {}
        channels, source_rate = soundfile.read(path, dtype="float32", always_2d=True, **raw)
        samples = channels.mean(axis=1)
    if source_rate < lowest_rate or len(samples) == 0:
        return np.zeros(0, np.float32)
    return np.asarray(soxr.resample(samples, source_rate, rate), np.float32)
