"""The LightningDataModule: corpus, splits, mixtures, loaders."""

import hashlib
import os
import signal
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from convtasnet_lit.config import Split
from convtasnet_lit.corpus.marks import marks_of_speakers
from convtasnet_lit.corpus.noises import prepare_noise
from convtasnet_lit.corpus.prepared import PreparedCorpus, prepare_corpus
from convtasnet_lit.corpus.store import Store
from convtasnet_lit.data_config import AugmentConfig, Condition, CorpusName, DataConfig, LengthMode, PairBalance, Target
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.files import written_whole
from convtasnet_lit.mixing.conditions import Conditions
from convtasnet_lit.mixing.dataset import EpochSampler, FixedMixtures, Mixture, TrainingMixtures
from convtasnet_lit.mixing.listed import ListedMixtures
from convtasnet_lit.mixing.noise import Noises
from convtasnet_lit.mixing.plan import Draw, Speakers

_SPLIT_NUMBERS = {Split.validation: 1, Split.test: 2}


class MixtureDataModule(LightningDataModule):
    """Mixtures of a corpus for training, validation and test.

    Args:
        data: The corpus and its mixtures.
        augment: What is varied in training.
        seed: The seed that the training mixtures are drawn from.
        may_prepare: Whether a corpus may be made or downloaded, and a store be written.
        conditions: What validation and test mixtures are put into.

    Raises:
        InputError: The corpus is missing or damaged, or has too few speakers.
    """

    def __init__(
        self,
        data: DataConfig,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        may_prepare: bool = True,
        conditions: Sequence[Condition] = (),
    ) -> None:
        super().__init__()
        self.may_prepare, self.conditions = may_prepare, conditions
        self.data, self.augment, self.seed = data, augment or AugmentConfig(), seed
        self._corpus: PreparedCorpus | None = None
        self._fixed: dict[Split, FixedMixtures] = {}
        self._epoch = self._batches_done = 0  # where training begins
        self.met_before(())

    def met_before(self, recordings: Sequence[str], unmarked: str = "") -> None:
        """Tell whom a network has met that is trained further here.

        Args:
            recordings: Marks of their recordings.
            unmarked: The network's name, if it does not say which recordings it was trained on.
        """
        self._met_before, self._unmarked = tuple(recordings), unmarked

    def prepare_data(self) -> None:
        """Make the store, once a machine."""
        self.check()

    def check(self) -> list[Path]:
        """Make the store, refuse what could not be mixed, and write the fixed lists.

        Returns:
            The lists of validation and test, as CSV.
        """
        self.training_mixtures()
        _ = self._recorded
        return [self.write_list(self.fixed_mixtures(split), split) for split in _SPLIT_NUMBERS]

    def content(self) -> dict[str, str]:
        """Name what is mixed, each by a hash of its content."""
        lists = {
            f"{split.name} list": self.write_list(self.fixed_mixtures(split), split).stem for split in _SPLIT_NUMBERS
        }
        return {"store": self.corpus.store.folder.name, "training and validation": self._utterances, **lists}

    @property
    def corpus(self) -> PreparedCorpus:
        """The prepared corpus; opened at first use."""
        if self._corpus is None:
            self._corpus = prepare_corpus(self.data, self.may_prepare)
        return self._corpus

    @cached_property
    def _trained(self) -> PreparedCorpus:
        """The corpus, without the training speakers that are left out."""
        return self.corpus.with_fewer(self.data.train_speakers, self._quota, f"train {self.seed}")

    @property
    def _quota(self) -> int:
        """Samples of each training speaker; 0 means all."""
        hours, speakers = self.data.train_hours, self.data.train_speakers or len(self.corpus.splits.train)
        allowed = f"at least {speakers / 3600:.3g}, a second for each of {speakers} speakers, or 0 for all"
        require(hours == 0 or hours * 3600 >= speakers, "data.train_hours", hours, allowed)
        return round(hours * 3600 * self.data.sample_rate / speakers)

    def training_mixtures(self) -> TrainingMixtures:
        """The mixtures drawn on the fly."""
        return TrainingMixtures(
            self.corpus.store,
            self._draw(Split.train),
            self.data.segment_samples,
            self.seed,
            normalized=self.data.normalize,
            random_crop=self.augment.random_crop,
            speed_range=self.augment.speed_range,
            snr_probability=self.augment.snr_probability,
            snr_range_db=self.augment.snr_range_db,
            conditions=self._conditions(self.augment.chances),
            active_shards=self.data.active_shards,
        )

    def fixed_mixtures(self, split: Split) -> FixedMixtures:
        """The list of the validation or the test split."""
        if split not in self._fixed:
            data, number = self.data, _SPLIT_NUMBERS[split]
            count = data.validation_mixtures if split is Split.validation else data.test_mixtures
            if data.corpus is CorpusName.librimix:
                names = ", ".join(condition.name for condition in self.conditions)
                require(not names, "conditions", names, "[] with data=librimix, which is scored as published")
                self._fixed[split] = ListedMixtures(data, split.name, count)
                return self._fixed[split]
            met = self._conditions(dict.fromkeys(self.conditions, 1.0), number)
            how = (number, count, data.length_mode is LengthMode.max, data.normalize, met)
            self._fixed[split] = FixedMixtures(self.corpus.store, self._draw(split), *how)
        return self._fixed[split]

    def _conditions(self, chances: Mapping[Condition, float], split: int = 0) -> Conditions:
        noises = self._noises(split) if chances.get(Condition.noise) else None
        return Conditions(self.data.sample_rate, chances, noises, self.data.target is Target.dry, bank=split)

    def _noises(self, split: int) -> Noises:
        everyone = Speakers.of(self.corpus.store.index, self.corpus.rows("train"))  # the lists are those of all runs
        talkers = everyone if split else self._draw(Split.train).speakers
        return Noises(self.corpus.store, talkers, self._recorded, kept=bool(split))

    @cached_property
    def _recorded(self) -> Store | None:
        return prepare_noise(self.data, self.may_prepare) if self.data.noise_root else None

    def write_list(self, mixtures: FixedMixtures, split: Split) -> Path:
        """Write a fixed list as CSV beside the store, its content's hash in its name.

        A store that is for reading only, or that was named by somebody else's file, stays as it is.

        Args:
            mixtures: The list.
            split: Whose list it is.

        Returns:
            The file.
        """
        text = mixtures.table().assign(**mixtures.conditions.described()).to_csv(index=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        listed = self.data.corpus is CorpusName.librimix  # its lists need no store
        name = f"{split.name}-{self.data.num_speakers}spk-{f'{self.data.mixture_type.name}-' if listed else ''}{digest}"
        folder = Path(self.data.store) if listed else self.corpus.store.folder
        path = folder / "mixtures" / f"{name}.csv"
        if self.may_prepare and os.access(folder, os.W_OK) and not path.exists():
            with written_whole(path) as partial:
                partial.write_text(text, encoding="utf-8")
        return path

    def train_dataloader(self) -> DataLoader[Mixture]:
        """Batches of training mixtures; each process gets its share."""
        (rank, world_size), batch_size = self._process(), self.data.mixtures_per_batch
        skip = self._batches_done * batch_size
        sampler = EpochSampler(self.data.train_mixtures, rank, world_size, self._epoch, skip)
        if len(sampler) < batch_size:
            raise InputError(
                f"data.train_mixtures: {self.data.train_mixtures} make no batch of {batch_size} on each of "
                f"{world_size} processes"
            )
        return self._loader(self.training_mixtures(), sampler, batch_size, drop_last=True)

    def val_dataloader(self) -> DataLoader[Mixture]:
        """Whole validation mixtures, one by one."""
        return self._fixed_loader(Split.validation)

    def test_dataloader(self) -> DataLoader[Mixture]:
        """Whole test mixtures, one by one."""
        return self._fixed_loader(Split.test)

    def state_dict(self) -> dict[str, Any]:
        """Who was trained on, and where training goes on: at an epoch's end 0 batches into the next one."""
        trainer = self.trainer
        if trainer is None:
            return {}
        batches = trainer.fit_loop.epoch_loop.batch_progress
        return {
            "speakers": list(self._trained.splits.train + self._trained.splits.validation),
            "recordings": list(dict.fromkeys([*self._met_before, *self._recordings])),
            "unmarked": self._unmarked,
            "utterances": self._utterances,
            "epoch": trainer.fit_loop.epoch_progress.current.processed,  # type: ignore[attr-defined]
            "batches_done": 0 if batches.is_last_batch else batches.current.ready,
        }

    @cached_property
    def _recordings(self) -> list[str]:
        """Marks of recordings of those who are trained and validated on."""
        return marks_of_speakers(self.corpus.store, self._trained.splits.train + self._trained.splits.validation)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint was written.

        Raises:
            InputError: It was trained on other recordings, wherever they lie.
        """
        if state_dict.get("utterances") != self._utterances:
            noise = f", or data.noise_root: {self.data.noise_root!r}," if self.augment.noise_probability else ""
            raise InputError(
                f"data.root: {self.data.root}{noise} does not hold the training and validation utterances that this "
                "run began with, or it began with an earlier version of convtasnet_lit; choose another name=..."
            )
        self._epoch, self._batches_done = state_dict["epoch"], state_dict["batches_done"]
        self.met_before(state_dict.get("recordings", ()), state_dict.get("unmarked", ""))

    @cached_property
    def _utterances(self) -> str:
        """A hash of what the mixtures of training and validation are drawn from: names, samples and their order."""
        index = self.corpus.store.index[["speaker", "gender", "utterance", "sha256"]]
        text = "".join(index.iloc[self._trained.rows(split)].to_csv(index=False) for split in ("train", "validation"))
        if self.augment.noise_probability and self._recorded is not None:
            text += self._recorded.index.to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _draw(self, split: Split) -> Draw:
        corpus = self._trained if split is Split.train else self.corpus
        weights = {each.prefix: each.weight for each in self.data.roots} if split is Split.train else {}
        speakers = Speakers.of(corpus.store.index, corpus.rows(split.name), weights)
        if split is Split.train and self._quota:
            speakers = speakers.limited(self._quota)
        known, wanted = len(speakers.genders), self.data.num_speakers
        if known < wanted:
            train = "train_speakers" if self.data.train_speakers else "max_speakers"
            key = train if split is Split.train else f"{split.name}_fraction or _speakers"
            raise InputError(f"data.num_speakers: {wanted}, but {split.name} has {known} speakers; see data.{key}")
        balanced = self.data.pair_balance is PairBalance.equal
        return Draw(speakers, wanted, self.data.level_range_db, balanced, self.data.fewest_speakers)

    def _fixed_loader(self, split: Split) -> DataLoader[Mixture]:
        mixtures = self.fixed_mixtures(split)
        rank, world_size = self._process()
        # Each mixture once: no padding to equal shares, which would count some twice. One by one: a batch would
        # need padding, and the global norm would see it.
        return self._loader(mixtures, range(rank, len(mixtures), world_size), batch_size=1)

    def _loader(self, dataset: Any, sampler: Any, batch_size: int, drop_last: bool = False) -> DataLoader[Mixture]:
        return DataLoader(
            dataset,
            batch_size,
            sampler=sampler,
            num_workers=self.data.num_workers,
            persistent_workers=self.data.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            drop_last=drop_last,
            worker_init_fn=_start_worker,
        )

    def _process(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the training process saves the state
    # Tensors go by file name: a descriptor is asked for and sent back while the worker renders, a millisecond a batch.
    # Files outlive only a kill of the whole group, torch's own keeper of them included.
    torch.multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
