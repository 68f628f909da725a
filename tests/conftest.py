"""A small corpus with AISHELL-3's layout and trap, prepared once, and a run that takes a second."""

from pathlib import Path

import pytest
import torch

from convtasnet_lit.config import Accelerator, Config, LoggerConfig, LoggerName, MetricName, ModelConfig, TrainerConfig
from convtasnet_lit.data_config import AugmentConfig, CorpusName, DataConfig
from tests.corpus.trees import write_aishell3

torch.set_num_threads(1)  # the networks of tests are too small to share


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a corpus of 12 speakers at 8 kHz."""
    return write_aishell3(tmp_path_factory.mktemp("corpora") / "small", utterances=4, seconds=0.6, sample_rate=8000)


@pytest.fixture
def data(corpus: Path) -> DataConfig:
    """Mixtures of the small corpus."""
    return DataConfig(
        corpus=CorpusName.aishell3,
        root=str(corpus),
        store=str(corpus.parent / "store"),
        sample_rate=8000,
        segment="500ms",
        train_mixtures=16,
        validation_mixtures=5,
        test_mixtures=6,
        num_workers=0,
    )


@pytest.fixture
def config(data: DataConfig) -> Config:
    """A run of two epochs of four optimizer steps."""
    return Config(
        metrics=[MetricName.si_sdr, MetricName.si_sdri],
        model=ModelConfig(
            num_filters=16,
            kernel_size=40,
            bottleneck_channels=8,
            hidden_channels=12,
            skip_channels=8,
            num_blocks=2,
            num_repeats=1,
        ),
        data=data,
        augment=AugmentConfig(),
        trainer=TrainerConfig(max_epochs=2, accumulate_grad_batches=2, accelerator=Accelerator.cpu, progress_bar=False),
        logger=LoggerConfig(name=LoggerName.csv),
    )
