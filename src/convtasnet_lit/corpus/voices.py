"""The voices corpus: forty real speakers from Debian packages, in AISHELL-3's layout."""

import re
import shutil
import subprocess
import zlib
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas
import soundfile
import soxr
from rich.console import Console
from rich.progress import track
from scipy.signal import butter, sosfiltfilt

from convtasnet_lit.corpus.aishell3 import write_tables
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import built_whole

__all__ = ["build_voices"]

FloatArray = npt.NDArray[np.float32]
Piece = tuple[FloatArray, str]  # (samples,) of one speaker and the name of the file they come from

SHORTEST, LONGEST = 2.0, 10.0  # s of an utterance: under 2 s little tells a speaker, AISHELL-3 hardly passes 10 s
GOALS = (2.5, 6.5)  # s; prompts are joined until a length drawn from here is reached: AISHELL-3's spread
GAP = 0.2  # s of silence between joined prompts, a short pause for breath
WIDEBAND = 16000  # Hz; recordings at a lower rate lack the upper half of the speech band
QUIETEST = 2e-3  # RMS (-54 dB) of the loud frames; under it a file is empty
SPEECH = 0.02  # of the loud frames' RMS (-34 dB): soft consonants are above it, breath below
NOISE_FACTOR = 2.5  # 8 dB above the quietest frames, which in a home recording are its noise
FEWEST_FRAMES = 12  # 0.12 s of speech, a short syllable
VOICED = 0.25  # share of pitched frames: at least 0.6 in the finished utterances, about 0 in clicks and noise
LEVEL, PEAK = 0.056, 0.95  # RMS (-25 dB) of all speech, so that speakers are equally loud; peaks stay under 1

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
)
NOT_SPEECH = re.compile(r"/silence/|/music|beep|tone|tt-monkeys|confbridge-(join|leave)")
ENCODER = re.compile(rb"libVorbis I (\d+)")  # its date tells apart the several people behind the key tux-fr


def build_voices(root: Path, rate: int = 16000, packages: Path | None = None) -> None:
    """Build the voices corpus in AISHELL-3's layout, unless it is there already.

    Downloads about 370 MB with apt-get, installs nothing, needs no rights. `sources.csv` names people and
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
    speakers = pandas.read_csv(Path(__file__).with_name("voices.csv"))
    kept = (packages or root.with_name("debs")).resolve()
    kept.mkdir(parents=True, exist_ok=True)
    with built_whole(root) as folder, TemporaryDirectory(dir=kept) as unpacked:
        for name in track(sorted(set(speakers["package"])), "packages", console=Console(stderr=True)):
            package = _download(name, kept)
            hint = f"{package} is damaged: delete it and build again"
            _run(["dpkg-deb", "-x", package.name, f"{unpacked}/{name}"], kept, hint)
        _write_corpus(folder, speakers, _files_by_key(Path(unpacked)), rate)


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
    write_tables(
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
    trimmed = ((trim(_load(path, rate), rate), path.stem) for path in files)
    pieces = ((part, name) for samples, name in trimmed if len(samples) for part in split(samples, rate))
    utterances = (piece for piece in join(pieces, rate, random) if len(piece[0]) >= SHORTEST * rate)
    lines = []
    for count, (samples, source) in enumerate(utterances, start=1):
        lines.append((f"{folder.name}{count:04d}.wav", source))
        soundfile.write(folder / lines[-1][0], samples, rate, subtype="PCM_16")
    return lines


def _load(path: Path, rate: int) -> FloatArray:
    """Read a recording as (samples,) at a rate in Hz; one of less than 16 kHz gives none."""
    if path.suffix == ".g722":
        import av  # libsndfile does not know G.722, which has no header and, in one prompt, no content either

        with av.open(str(path), format="g722") as container:
            frames = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
        samples, source_rate = np.hstack([*frames, np.zeros(0)]).astype(np.float32) / np.float32(32768), 16000
    else:
        channels, source_rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = channels.mean(axis=1)
    if source_rate < WIDEBAND or len(samples) == 0:
        return np.zeros(0, np.float32)
    return np.asarray(soxr.resample(samples, source_rate, rate), np.float32)


def trim(samples: FloatArray, rate: int) -> FloatArray:
    """Cut a prompt of (samples,) to its speech, at one level; where there is no speech, none are left."""
    frame = rate // 100  # 10 ms, about one pitch period
    if len(samples) < FEWEST_FRAMES * frame:
        return samples[:0]
    filtered = sosfiltfilt(butter(2, 60, "high", fs=rate, output="sos"), samples)  # no voice is under 60 Hz
    whole = filtered[: len(filtered) // frame * frame].reshape(-1, frame)
    levels = np.sqrt(np.mean(whole**2, axis=1)) + 1e-9  # (frames,)
    spoken = _spoken(levels)
    places = np.flatnonzero(spoken)
    if len(places) < FEWEST_FRAMES or voiced_share(whole[places[0] : places[-1] + 1].ravel(), rate) < VOICED:
        return samples[:0]
    speech = filtered[max(0, places[0] - 4) * frame : (places[-1] + 5) * frame]  # 40 ms more, for soft onsets
    gain = min(LEVEL / np.sqrt(np.mean(levels[spoken] ** 2)), PEAK / np.abs(speech).max())
    distance = np.minimum(np.arange(len(speech)), np.arange(len(speech))[::-1])  # to the nearer end
    fade = np.minimum(1, distance / (frame / 2))  # 5 ms, against clicks
    return np.asarray(speech * gain * fade, np.float32)


def _spoken(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Find the frames with speech from the RMS of all, (frames,)."""
    loud = np.percentile(levels, 95)
    threshold = loud * SPEECH
    if len(levels) > 60:  # shorter files have too few frames of pause to measure their noise
        noise = NOISE_FACTOR * np.percentile(levels, 3)
        threshold = min(max(threshold, noise), loud / 4)  # speech without a pause must not count as noise
    lasting = np.convolve(levels > threshold, np.ones(5), "same") >= 3  # most of 50 ms: no single clicks
    return lasting & (loud >= QUIETEST)


def voiced_share(samples: npt.NDArray[np.floating], rate: int) -> float:
    """Measure which share (0 to 1) of the loud frames in the first 3 s have a pitch of 60 to 420 Hz."""
    step = max(1, rate // 8000)  # 8 kHz is enough to see a pitch period
    samples, rate = samples[: 3 * rate : step], rate // step
    size = rate // 25  # 40 ms, two periods of the lowest voice
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]  # (frames, size)
    energy = np.mean(frames**2, axis=1)
    frames = frames[energy > 0.1 * np.percentile(energy, 95)]
    power = np.abs(np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), 2 * size)) ** 2
    correlation = np.fft.irfft(power)  # (frames, lags)
    lags = np.arange(rate // 420, rate // 60)
    periodicity = correlation[:, lags] / (correlation[:, :1] + 1e-12) * size / (size - lags)
    return float(np.mean(periodicity.max(axis=1) > 0.5))  # noise stays under 0.5 at every lag


def split(samples: FloatArray, rate: int) -> Iterator[FloatArray]:
    """Cut (samples,) at the quietest 0.1 s between 4 and 10 s until no part is over 10 s."""
    window = rate // 10
    while len(samples) > LONGEST * rate:
        start, end = 4 * rate, int(min(LONGEST * rate, len(samples) - SHORTEST * rate))
        energy = np.convolve(samples[start:end] ** 2, np.ones(window), "valid")
        cut = start + int(energy.argmin()) + window // 2
        yield samples[:cut]
        samples = samples[cut:]
    yield samples


def join(pieces: Iterable[Piece], rate: int, random: np.random.Generator) -> Iterator[Piece]:
    """Join consecutive pieces, none over 10 s, to utterances of a drawn length that are not over 10 s either."""
    gap = np.zeros(int(GAP * rate), np.float32)
    joined, sources, goal = gap[:0], "", random.uniform(*GOALS)
    for samples, source in pieces:
        longer = np.concatenate((joined, gap, samples)) if sources else samples
        if len(longer) > LONGEST * rate:
            yield joined, sources
            longer, sources, goal = samples, "", random.uniform(*GOALS)
        joined, sources = longer, f"{sources} {source}".strip()
        if len(joined) >= goal * rate:
            yield joined, sources
            joined, sources, goal = gap[:0], "", random.uniform(*GOALS)
    yield joined, sources
