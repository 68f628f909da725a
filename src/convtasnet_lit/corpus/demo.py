"""The demo corpus: twenty synthetic Mandarin speakers in AISHELL-3's layout, spoken by espeak-ng."""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from rich.console import Console
from rich.progress import track

from convtasnet_lit.corpus.aishell3 import write_tables
from convtasnet_lit.errors import InputError
from convtasnet_lit.files import built_whole

FloatArray = npt.NDArray[np.float32]

ESPEAK_RATE = 22050  # Hz; fixed by the phoneme data that espeak-ng ships
CORPUS_RATE = 44100  # Hz; that of AISHELL-3
UTTERANCES = 45  # for each speaker; about 3 minutes of speech
TRAP_SPEAKERS = 3  # train speakers who also speak under test/, as many of AISHELL-3's do
TRAP_UTTERANCES = 6
SHORT = 11  # hanzi or fewer may last under 2.5 s, so two such sentences make one utterance

# espeak-ng's C interface, from its header speak_lib.h.
SYNCHRONOUS = 2
DO_NOT_EXIT = 0x8000  # without it a missing data folder ends the whole process
TEXT_IS_UTF8 = 1
SPEED, VOLUME, PITCH = 1, 2, 3
SAFE_VOLUME = 45  # of 100; at 60 the loudest variant of SPEAKERS already clips
ON_AUDIO = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speaker(NamedTuple):
    """A synthetic voice: its number, an espeak-ng variant, pitch (0 to 99) and speed (words a minute)."""

    number: int
    variant: str
    gender: str
    pitch: int
    speed: int
    part: str


# Variants whose timbre differs clearly; m1 to m8 at one pitch, for instance, are nearly one voice. Of each, nine
# tenths of the voiced frames have an F0 within half an octave of its median, as in read speech; variants such as
# Michael, Mario or robert, whose F0 jumps, are not used. The women's median F0 lies between 163 and 258 Hz, the men's
# between 75 and 157.
SPEAKERS = (
    Speaker(9001, "f1", "female", 90, 170, "train"),
    Speaker(9002, "", "male", 40, 172, "train"),
    Speaker(9003, "f3", "female", 40, 178, "train"),
    Speaker(9004, "m3", "male", 78, 176, "train"),
    Speaker(9005, "f5", "female", 75, 166, "train"),
    Speaker(9006, "m7", "male", 99, 182, "train"),
    Speaker(9007, "Annie", "female", 60, 170, "train"),
    Speaker(9008, "klatt2", "male", 60, 166, "train"),
    Speaker(9009, "belinda", "female", 35, 178, "train"),
    Speaker(9010, "klatt4", "male", 30, 172, "train"),
    Speaker(9011, "linda", "female", 65, 178, "train"),
    Speaker(9012, "Henrique", "male", 25, 180, "train"),
    Speaker(9013, "grandma", "female", 85, 164, "train"),
    Speaker(9014, "Denis", "male", 68, 164, "train"),
    Speaker(9015, "anika", "female", 30, 95, "train"),  # this variant is 1.5 times as fast as the others
    Speaker(9016, "edward", "male", 90, 180, "train"),
    Speaker(9017, "Alicia", "female", 55, 180, "test"),
    Speaker(9018, "Diogo", "male", 85, 172, "test"),
    Speaker(9019, "steph", "female", 50, 176, "test"),
    Speaker(9020, "m8", "male", 75, 178, "test"),
)


class _Line(NamedTuple):
    """One utterance to be spoken: who, where its file lies below the corpus, and the text."""

    speaker: Speaker
    part: str
    name: str
    text: str


def build_demo(root: Path) -> None:
    """Build the demo corpus in AISHELL-3's layout, unless it is there already.

    Sixteen speakers are under `train/` and four only under `test/`; as in AISHELL-3, `test/` also holds a few
    utterances of train speakers. `content.txt` gives hanzi separated by blanks, without AISHELL-3's pinyin.
    Every run writes the same bytes.

    Args:
        root: Folder of the corpus; it appears only when all of it is written.

    Raises:
        InputError: espeakng-loader is missing or its data cannot be loaded.
    """
    if root.exists() and any(root.iterdir()):
        return
    with built_whole(root) as partial:
        _write_corpus(partial, SPEAKERS, UTTERANCES)


def speak(text: str, speaker: Speaker) -> FloatArray:
    """Synthesize Mandarin speech; equal arguments give equal samples, whatever was said before.

    Args:
        text: Hanzi with their punctuation.
        speaker: The voice.

    Returns:
        (samples,) at 22,050 Hz, within -1 to 1.

    Raises:
        InputError: espeakng-loader is missing or its data cannot be loaded.
    """
    chunks: list[npt.NDArray[np.int16]] = []

    @ON_AUDIO
    def keep(samples, count, _events):  # type: ignore[no-untyped-def]  # called from C only
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())  # espeak-ng reuses its buffer
        return 0

    encoded = text.encode() + b"\0"
    with _fresh_library() as library:
        library.espeak_SetSynthCallback(keep)
        library.espeak_ng_SetRandSeed(ctypes.c_long(speaker.number))
        voice = "+".join(filter(None, ("cmn", speaker.variant)))
        library.espeak_SetVoiceByName(voice.encode())
        for parameter, value in ((SPEED, speaker.speed), (PITCH, speaker.pitch), (VOLUME, SAFE_VOLUME)):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 0, 0, TEXT_IS_UTF8, None, None)
        library.espeak_Synchronize()
    return np.concatenate(chunks).astype(np.float32) / np.float32(32768)


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    """Load espeak-ng for one utterance, as only unloading clears the static state of its noise and flutter."""
    try:
        import espeakng_loader
    except ImportError:
        message = "the demo corpus needs espeakng-loader: pip install 'convtasnet_lit[demo]'"
        raise InputError(message) from None
    data = espeakng_loader.get_data_path()
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    if library.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(data), DO_NOT_EXIT) != ESPEAK_RATE:
        raise InputError(f"espeak-ng cannot load its data from {data}: is the path over 150 characters long?")
    try:
        yield library
    finally:
        library.espeak_Terminate()
        _unload(library)


def _unload(library: ctypes.CDLL) -> None:
    """Drop a shared library from memory, and its static variables with it."""
    import _ctypes  # the only door to dlclose

    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)


def _texts(speaker: Speaker, sentences: list[str]) -> Iterator[str]:
    """Give the texts of a speaker's utterances: all sentences in an own order, short ones in pairs."""
    waiting = ""
    for sentence in np.random.default_rng(speaker.number).permutation(sentences).tolist():
        if len(_hanzi(sentence)) > SHORT:
            yield sentence
        elif waiting:
            yield waiting + sentence
            waiting = ""
        else:
            waiting = sentence


def _hanzi(text: str) -> list[str]:
    """Leave out the punctuation."""
    return [character for character in text if character.isalpha()]


def _plan(speakers: Iterable[Speaker], utterances: int) -> Iterator[_Line]:
    """List every utterance; the first speakers go on under test/, which is AISHELL-3's trap."""
    sentences = Path(__file__).with_name("demo_sentences.txt").read_text(encoding="utf-8").splitlines()
    for index, speaker in enumerate(speakers):
        extra = TRAP_UTTERANCES if index < TRAP_SPEAKERS else 0
        texts = zip(range(utterances + extra), _texts(speaker, sentences), strict=False)
        for count, text in texts:
            part = speaker.part if count < utterances else "test"
            yield _Line(speaker, part, f"SSB{speaker.number}{count + 1:04d}.wav", text)


def _write_corpus(root: Path, speakers: tuple[Speaker, ...], utterances: int) -> None:
    """Write the recordings and the tables below an empty folder."""
    lines = list(_plan(speakers, utterances))
    for line in track(lines, "demo corpus", console=Console(stderr=True)):
        folder = root / line.part / "wav" / line.name[:7]
        folder.mkdir(parents=True, exist_ok=True)
        samples = soxr.resample(speak(line.text, line.speaker), ESPEAK_RATE, CORPUS_RATE)
        soundfile.write(folder / line.name, samples, CORPUS_RATE, subtype="PCM_16")
    write_tables(
        root,
        content=((line.part, line.name, " ".join(_hanzi(line.text))) for line in lines),
        speakers=((f"SSB{speaker.number}", speaker.gender, "north") for speaker in speakers),
    )
