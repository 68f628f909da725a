"""The typed configuration of the data: the corpora, their splits and mixtures, and what training varies in them."""

from dataclasses import dataclass, field, replace
from enum import Enum
from math import inf
from pathlib import Path

from omegaconf import MISSING

from convtasnet_lit.errors import require
from convtasnet_lit.files import printable
from convtasnet_lit.limits import Checked, limited, parse_duration

AUTO = "auto"

CorpusName = Enum("CorpusName", ["aishell3", "demo", "voices", "folder", "mixed", "librimix"])
MixtureType = Enum("MixtureType", ["mix_clean", "mix_both", "mix_single"])
PairBalance = Enum("PairBalance", ["random", "equal"])
LengthMode = Enum("LengthMode", ["min", "max"])
Target = Enum("Target", ["reverberant", "dry"])
# In the order of a recording; `lone`, which says who speaks, was the last to come. The numbers name random streams.
Condition = Enum("Condition", ["overlap", "room", "noise", "band", "codec", "lone"])


@dataclass
class RootConfig:
    """One of several corpora that are trained on together."""

    root: str = MISSING  # the corpus's folder below data.root
    corpus: CorpusName = CorpusName.folder
    speaker_depth: int = 1  # corpus=folder: the level of the folders named by speakers
    weight: float = 1.0  # how often each of its speakers is drawn, beside 1 for a speaker of weight 1

    def __post_init__(self) -> None:
        place, key = Path(self.root), f"data.roots[{self.root}]"
        below = not place.is_absolute() and ".." not in place.parts
        require(below, f"{key}.root", self.root, "a folder below data.root, such as VCTK/wav48")
        require(self.corpus is not CorpusName.mixed, f"{key}.corpus", self.corpus, "one corpus")
        require(self.speaker_depth >= 1, f"{key}.speaker_depth", self.speaker_depth, "at least 1")
        require(0 < self.weight < inf, f"{key}.weight", self.weight, "above 0, and finite")

    @property
    def prefix(self) -> str:
        """What the names of its utterances begin with: `VCTK/wav48/`."""
        place = printable(Path(self.root).as_posix())
        return "" if place == "." else f"{place}/"


@dataclass
class DataConfig(Checked):
    """The corpus, how it is split by speaker, and the mixtures made from it."""

    corpus: CorpusName = CorpusName.demo
    root: str = "data/demo"  # a folder; or the address of a store that lies elsewhere, such as s3://bucket/store
    store: str = "data/store"  # folder of the prepared corpora
    download: bool = False
    speaker_depth: int = limited(1, at_least=1)  # corpus=folder: the level of the folders named by speakers
    roots: list[RootConfig] = field(default_factory=list)  # corpus=mixed: the corpora in it
    mixture_type: MixtureType = MixtureType.mix_clean  # corpus=librimix: the lists to score on
    train_subset: str = "train-100"  # corpus=librimix: whose single utterances are trained on
    cache_gb: float = limited(10.0, above=0)  # of a store that lies elsewhere
    sample_rate: int = limited(16_000, at_least=4_000, at_most=192_000)  # Hz
    num_workers: int = limited(1, at_least=0)

    max_speakers: int = limited(0, at_least=0)  # 0: all
    train_speakers: int = limited(0, at_least=0)  # of those left for training, drawn by the seed; 0: all
    train_hours: float = limited(0.0, at_least=0)  # of their speech, as much from each; 0: all
    validation_fraction: float = limited(0.1, above=0, below=1)  # of the speakers that are not tested on
    validation_speakers: list[str] = field(default_factory=list)  # if given, these and no others
    test_fraction: float = limited(0.1, above=0, below=1)  # only for a corpus without test speakers of its own
    test_speakers: list[str] = field(default_factory=list)

    segment: str = "2s"
    batch_size: int | str = 2  # or `auto`: the largest divisor of trainer.effective_batch_size that fits
    num_speakers: int = limited(2, at_least=2, at_most=5)  # in a mixture, and outputs of the network
    fewest_speakers: int = 0  # 1 to num_speakers: mixtures of so many up to num_speakers; 0: always num_speakers
    train_mixtures: int = limited(800, at_least=1)  # an epoch
    active_shards: int = limited(0, at_least=0)  # of the store, from which an epoch is drawn; 0: all
    validation_mixtures: int = limited(100, at_least=1)
    test_mixtures: int = limited(100, at_least=1)
    level_range_db: float = limited(2.5, at_least=0, at_most=100)  # other speakers: U(-r, r) dB beside the first
    pair_balance: PairBalance = PairBalance.random
    length_mode: LengthMode = LengthMode.min  # of the whole utterances in validation and test
    normalize: bool = True  # to -25 dBFS
    target: Target = Target.reverberant  # in rooms: each speaker with the echoes, or the direct sound alone
    noise_root: str = ""  # recordings of noise, which are then half of all noise

    def __post_init__(self) -> None:
        super().__post_init__()
        segment = 0.1 <= parse_duration(self.segment) <= 3600  # 0.1 s is about a syllable
        require(segment, "data.segment", self.segment, "100ms to 3600s")
        names, allowed = [each.root for each in self.roots], "[{root: FOLDER}, ...] with data=mixed, [] without"
        require((self.corpus is CorpusName.mixed) == bool(names), "data.roots", names, allowed)
        for key in ("validation_speakers", "test_speakers"):
            listed = getattr(self, key)
            require(all(isinstance(name, str) for name in listed), f"data.{key}", listed, "names, such as [A,B]")
        fewest, allowed = self.fewest_speakers, f"0 (always data.num_speakers) or 1 to {self.num_speakers}"
        require(0 <= fewest <= self.num_speakers, "data.fewest_speakers", fewest, allowed)
        size = self.batch_size
        fits = isinstance(size, int) and 1 <= size <= 1_000_000
        require(size == AUTO or fits, "data.batch_size", size, "from 1 to 1000000, or auto")

    def at_absolute_paths(self) -> "DataConfig":
        """The same data, wherever it is asked for."""
        noise = self.noise_root and str(Path(self.noise_root).absolute())
        root = self.root if self.is_remote else str(Path(self.root).absolute())
        return replace(self, root=root, store=str(Path(self.store).absolute()), noise_root=noise)

    @property
    def is_remote(self) -> bool:
        """Whether the root is the address of a store that lies elsewhere."""
        return "://" in self.root

    @property
    def mixed_counts(self) -> bool:
        """Whether mixtures hold different numbers of speakers."""
        return 0 < self.fewest_speakers < self.num_speakers

    @property
    def mixtures_per_batch(self) -> int:
        """The batch size as a number; training settles what `auto` is before it loads anything."""
        require(self.batch_size != AUTO, "data.batch_size", AUTO, "a number here")
        return int(self.batch_size)

    @property
    def segment_samples(self) -> int:
        """Length of a training segment in samples."""
        return round(parse_duration(self.segment) * self.sample_rate)


@dataclass
class AugmentConfig(Checked):
    """What is varied in training, never in validation or test."""

    random_crop: bool = True
    speed_range: float = limited(0.0, at_least=0, below=0.5)  # r: sources are played U(1 - r, 1 + r) times as fast
    snr_probability: float = limited(0.5, at_least=0, at_most=1)  # 0 switches dynamic SNR mixing off
    snr_range_db: float = limited(3.0, at_least=0, at_most=100)
    # How often mixtures are made like recordings; docs/corpora.md says how.
    overlap_probability: float = limited(0.0, at_least=0, at_most=1)
    room_probability: float = limited(0.0, at_least=0, at_most=1)
    noise_probability: float = limited(0.0, at_least=0, at_most=1)
    band_probability: float = limited(0.0, at_least=0, at_most=1)
    codec_probability: float = limited(0.0, at_least=0, at_most=1)
    lone_probability: float = limited(0.0, at_least=0, at_most=1)

    @property
    def chances(self) -> dict[Condition, float]:
        """How often each condition is met, by its name."""
        return {condition: getattr(self, f"{condition.name}_probability") for condition in Condition}
