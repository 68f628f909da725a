"""The typed configuration: one dataclass a config group.

Hydra composes `conf/` into these classes, so a misspelt key, a wrong type or an unknown name is an error before any
work begins. Nothing but the doors knows Hydra.
"""

import re
from dataclasses import dataclass, field, fields, make_dataclass
from enum import Enum
from typing import Any, TypeVar

from omegaconf import OmegaConf

from convtasnet_lit.data_config import AugmentConfig, Condition, DataConfig
from convtasnet_lit.errors import InputError, require
from convtasnet_lit.limits import Checked, limited

T = TypeVar("T")

# The members' names are what is typed on the command line and what the network, the trainer and the metrics are given.
NormName = Enum("NormName", ["gLN", "cLN", "BN"])
EncoderActivation = Enum("EncoderActivation", ["linear", "relu"])
MaskActivation = Enum("MaskActivation", ["relu", "sigmoid", "softmax"])
OptimizerName = Enum("OptimizerName", ["adam", "muon"])
ScheduleName = Enum("ScheduleName", ["halving", "warmup_cosine"])
LoggerName = Enum("LoggerName", ["wandb", "tensorboard", "csv"])
LauncherName = Enum("LauncherName", ["local", "joblib", "slurm"])
MetricName = Enum("MetricName", ["si_sdr", "sdr", "si_sdri", "sdri", "pesq", "stoi"])
Precision = Enum("Precision", ["fp32", "fp16", "bf16"])
Memory = Enum("Memory", ["lean", "plain", "checkpoint"])
Accelerator = Enum("Accelerator", ["auto", "cpu", "gpu", "mps"])
Split = Enum("Split", ["train", "validation", "test"])
PrepareStep = Enum("PrepareStep", ["all", "merge", "verify"])

_SHARE = re.compile(r"\d{1,9}/\d{1,9}", re.ASCII)

_MOST_WEIGHTS = 1_000_000_000  # the paper's network has 5 million


@dataclass
class ModelConfig(Checked):
    """Hyperparameters of the network, with the letters of Table I of the paper; each is an argument of `ConvTasNet`."""

    num_filters: int = limited(512, at_least=1, at_most=65_536)  # N
    kernel_size: int = limited(16, at_least=2, at_most=65_536)  # L, samples; the stride is half of it
    bottleneck_channels: int = limited(128, at_least=1, at_most=65_536)  # B
    hidden_channels: int = limited(512, at_least=1, at_most=65_536)  # H
    skip_channels: int = limited(128, at_least=1, at_most=65_536)  # Sc
    block_kernel_size: int = limited(3, at_least=1, at_most=1_001)  # P
    num_blocks: int = limited(8, at_least=1, at_most=20)  # X, in each repeat
    num_repeats: int = limited(3, at_least=1, at_most=100)  # R
    norm: NormName = NormName.gLN
    causal: bool = False
    encoder_activation: EncoderActivation = EncoderActivation.linear
    mask_activation: MaskActivation = MaskActivation.relu
    edge_padding: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.kernel_size % 2 == 0, "model.kernel_size", self.kernel_size, "even")
        require(self.block_kernel_size % 2 == 1, "model.block_kernel_size", self.block_kernel_size, "odd")
        blocks, wide = self.num_blocks * self.num_repeats, self.hidden_channels
        weights = blocks * wide * (2 * self.bottleneck_channels + self.skip_channels + self.block_kernel_size)
        weights += self.num_filters * (2 * self.kernel_size + self.bottleneck_channels + self.skip_channels)
        require(weights <= _MOST_WEIGHTS, "model", f"{weights:,} weights", f"of {_MOST_WEIGHTS:,} at most")
        if self.causal and self.norm is NormName.gLN:
            raise InputError("model.norm: gLN sees the future; model.causal=true needs model.norm=cLN or model.norm=BN")


@dataclass
class ScheduleConfig(Checked):
    """How the learning rate falls."""

    name: ScheduleName = ScheduleName.halving
    factor: float = limited(0.5, above=0, below=1)
    patience: int = limited(3, at_least=0)  # epochs
    min_lr: float = limited(1e-8, at_least=0)
    warmup_fraction: float = limited(0.05, at_least=0, below=1)  # warmup_cosine: share of all steps


@dataclass
class OptimizerConfig(Checked):
    """Adam, as in the paper, or Muon for the matrices, and Adam for the rest."""

    name: OptimizerName = OptimizerName.adam
    lr: float = limited(1e-3, above=0, at_most=1)  # each step of Adam is about as long
    beta1: float = limited(0.9, at_least=0, below=1)
    beta2: float = limited(0.999, at_least=0, below=1)
    eps: float = limited(1e-8, at_least=0)
    weight_decay: float = limited(0.0, at_least=0)


@dataclass
class TrainerConfig(Checked):
    """How long and on what; the batch, precision and accumulation come from a gpu profile."""

    max_epochs: int = limited(100, at_least=1)  # the paper: 100
    early_stopping_patience: int = limited(50, at_least=1)  # epochs
    gradient_clip_norm: float = limited(5.0, above=0)
    ema_decay: float = limited(0.0, at_least=0, below=1)  # of the weights' moving average, which is then kept; 0: none
    accumulate_grad_batches: int = limited(4, at_least=1)
    effective_batch_size: int = limited(8, at_least=1)  # of data.batch_size=auto: batch x accumulation x devices
    gpu_gb: float = limited(0.0, at_least=0)  # GiB of the card a profile is for, 0: none; training asks the GPU itself
    precision: Precision = Precision.fp16
    memory: Memory = Memory.lean  # what is kept for the backward pass; the gradients are the same
    tf32: bool = True  # GPUs: float32 products from shorter factors, several times as fast
    compile: bool = False  # by torch.compile, about a minute before the first step
    accelerator: Accelerator = Accelerator.auto
    devices: int = limited(1, at_least=1)
    num_nodes: int = limited(1, at_least=1)
    threads: int = limited(0, at_least=0)  # of torch, 0: as many as it takes; weights are bit-exact at equal numbers
    progress_bar: bool = True


@dataclass
class LoggerConfig:
    """Where curves go besides the run's own `history.csv`."""

    name: LoggerName = LoggerName.wandb
    project: str = "convtasnet_lit"
    group: str = ""  # of the runs of a sweep
    label: str = ""  # the run's name in W&B; by default that of its folder, in a sweep what it differs in
    arm: str = ""  # what runs share that differ in their seed alone; by default their other overrides
    tags: list[str] = field(default_factory=list)  # in W&B; by default experiment, ablation, sweep and corpus
    artifacts: bool = False  # W&B keeps the best checkpoint of a training that ended

    def __post_init__(self) -> None:
        wandb = self.name is LoggerName.wandb
        require(wandb or not self.artifacts, "logger.artifacts", self.artifacts, "false without logger=wandb")


@dataclass
class LauncherConfig(Checked):
    """How the runs of a sweep are started."""

    name: LauncherName = LauncherName.local
    parallel: int = limited(0, at_least=0)  # runs at once, 0: one on each GPU, or as many as the cores have threads for
    threads: int = limited(1, at_least=1)  # of torch in each run


@dataclass
class Config:
    """One training run."""

    name: str = ""  # names the run's folder; by default the overrides do
    seed: int = 0
    resume: bool = False
    init: str = ""  # a trained network to begin with: `shipped`, or anything that weights.pretrained opens
    metrics: list[MetricName] = field(default_factory=lambda: list(MetricName)[:3])  # si_sdr, sdr, si_sdri
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 4294967295")
        require(len(self.metrics) > 0, "metrics", "[]", "a list such as [si_sdr,sdr,si_sdri]")
        if self.trainer.memory is Memory.checkpoint and self.model.norm is NormName.BN:
            raise InputError("trainer.memory: checkpoint would count batches twice in model.norm=BN; use lean or plain")


@dataclass
class PrepareConfig:
    """One corpus to prepare."""

    export: str = ""  # a folder to write the lists of validation and test to, as LibriMix's tree
    conditions: list[Condition] = field(default_factory=list)  # that the mixtures of both lists are put into
    step: PrepareStep = PrepareStep.all  # merge: join shards that are there; verify: compare a store with its hashes
    shard: str = ""  # I/N: write the I-th of N equal shares of the shards, and no more
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        fits = not self.shard or (bool(_SHARE.fullmatch(self.shard)) and 1 <= self.share[0] <= self.share[1])
        require(fits, "shard", self.shard, "I/N, from 1/N to N/N")
        alone = not self.shard or self.step is PrepareStep.all
        require(alone, "shard", self.shard, f"empty with step={self.step.name}")

    @property
    def share(self) -> tuple[int, int]:
        """Which share is written, counted from 1, and of how many."""
        number, count = self.shard.split("/")
        return int(number), int(count)


# The same settings, each None unless it is given.
DataOverrides: Any = make_dataclass("DataOverrides", [(f.name, f.type | None, None) for f in fields(DataConfig)])  # type: ignore[operator]


@dataclass
class EvaluateConfig:
    """One checkpoint to evaluate."""

    checkpoint: str | None = None  # anything that weights.pretrained opens; by default the first in the package
    split: Split = Split.test
    conditions: list[Condition] = field(default_factory=list)  # that all its mixtures are put into; else they are clean
    metrics: list[MetricName] = field(default_factory=lambda: list(MetricName)[:4])  # si_sdr, sdr, si_sdri, sdri
    examples: int = 4  # the first mixtures, written as WAV and PNG with the worst and best two; 0: none
    accelerator: Accelerator = Accelerator.auto
    bfloat16: bool = False  # multiply in bfloat16
    # By default `evaluation-SPLIT` in the run's folder, `evaluation-NAME-SPLIT` for other networks; conditions follow.
    output: str = ""
    data: DataOverrides = field(default_factory=DataOverrides)  # over the data the checkpoint was trained on

    def __post_init__(self) -> None:
        self.conditions = [condition for condition in Condition if condition in self.conditions]
        require(self.split is not Split.train, "split", "train", "validation or test")
        require(self.examples >= 0, "examples", self.examples, "0 or more")
        require(len(self.metrics) > 0, "metrics", "[]", "a list such as [si_sdr,sdr,si_sdri]")


def typed(schema: type[T], values: Any) -> T:
    """Turn a composed or stored configuration into its dataclass, checks included.

    Args:
        schema: The dataclass.
        values: A DictConfig, or the nested dict of `plain`.

    Raises:
        InputError: A check refused a value.
        omegaconf.errors.OmegaConfBaseException: A key or type does not fit the schema.
    """
    if OmegaConf.is_config(values):  # as plain values, so that a key appended with + is unknown, too
        values = OmegaConf.to_container(values, resolve=True, enum_to_str=True)
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), values))  # type: ignore[return-value]


def plain(config: Any) -> dict[str, Any]:
    """Turn a typed configuration into nested dicts of plain values, enums as their names: safe in any checkpoint.

    Example:
        >>> plain(ModelConfig())["mask_activation"]
        'relu'
    """
    return OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)  # type: ignore[return-value]
