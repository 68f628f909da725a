"""Every file of conf/ is composed, and the settings named in the report are what they were."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from convtasnet_lit.config import Config, EvaluateConfig, Precision, PrepareConfig, plain, typed
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.errors import InputError
from convtasnet_lit.limits import parse_duration
from convtasnet_lit.model.network import ConvTasNet

OPTIONS = sorted(f"{path.parent.name}={path.stem}" for path in CONF_DIR.glob("*/*.yaml"))
GROUPS = {
    "model",
    "data",
    "segment",
    "gpu",
    "schedule",
    "augment",
    "logger",
    "experiment",
    "ablation",
    "sweep",
    "launcher",
}


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return typed(Config, compose("train", overrides=list(overrides)))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_into_the_typed_config(option: str) -> None:
    needs = {"data=folder": ["data.root=somewhere"], "data=mixed": ["data.roots=[{root: mine, weight: 2}]"]}
    config = composed(option, *needs.get(option, []))
    assert typed(Config, plain(config)) == config


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_says_why(option: str) -> None:
    group, name = option.split("=")
    text = (CONF_DIR / group / f"{name}.yaml").read_text()
    assert any(line.startswith("# ") and "@package" not in line for line in text.splitlines())


def test_the_groups_are_the_promised_ones() -> None:
    assert {path.name for path in CONF_DIR.iterdir() if path.is_dir()} == GROUPS
    assert {path.stem for path in (CONF_DIR / "gpu").iterdir()} == {"cpu", "8gb", "16gb", "24gb", "80gb"}
    assert {path.stem for path in (CONF_DIR / "segment").iterdir()} == {"1s", "2s", "4s"}


def test_the_defaults_are_the_reports() -> None:
    config = composed()
    assert (config.model.hidden_channels, config.data.segment_samples) == (256, 32_000)
    assert (config.data.batch_size, config.trainer.accumulate_grad_batches) == (2, 4)
    adam = config.optimizer
    assert (adam.lr, adam.beta1, adam.beta2, adam.eps, adam.weight_decay) == (1e-3, 0.9, 0.999, 1e-8, 0)
    schedule = config.schedule
    assert (schedule.name.name, schedule.factor, schedule.patience, schedule.min_lr) == ("halving", 0.5, 3, 1e-8)
    assert (config.trainer.gradient_clip_norm, config.trainer.early_stopping_patience) == (5.0, 50)
    assert (config.augment.snr_probability, config.augment.snr_range_db) == (0.5, 3.0)
    assert config.trainer.precision is Precision.fp16


@pytest.mark.parametrize(
    ("gpu", "batch", "accumulate", "gib"),
    [("8gb", 1, 8, 8), ("16gb", 2, 4, 16), ("24gb", 4, 2, 24), ("80gb", 8, 1, 80), ("cpu", 2, 4, 0)],
)
def test_each_card_has_an_effective_batch_of_eight_and_leaves_the_network_alone(
    gpu: str, batch: int, accumulate: int, gib: float
) -> None:
    config = composed(f"gpu={gpu}")
    assert (config.data.batch_size, config.trainer.accumulate_grad_batches) == (batch, accumulate)
    assert config.model == composed().model
    assert config.trainer.gpu_gb == gib
    assert batch * accumulate == config.trainer.effective_batch_size == 8


def test_the_batch_may_be_auto() -> None:
    config = composed("data.batch_size=auto")
    assert config.data.batch_size == "auto"
    assert typed(Config, plain(config)) == config
    assert composed("data.batch_size=3").data.batch_size == 3


@pytest.mark.parametrize(
    ("model", "million"),
    [
        ("paper", 4.98),
        ("paper_16k", 5.0),
        ("base", 2.6),
        ("small", 1.4),
        ("tiny", 0.34),
        ("causal", 4.98),
        ("causal_small", 1.70),
    ],
)
def test_every_model_is_built(model: str, million: float) -> None:
    network = ConvTasNet(2, **plain(composed(f"model={model}"))["model"])
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(million, rel=0.06)
    assert network.eval()(torch.randn(1, 3001)).shape == (1, 2, 3001)


def test_both_spellings_of_the_segment_give_the_same_run() -> None:
    assert composed("segment=4s") == composed("data.segment=4s")
    assert composed("segment=4s").data.segment_samples == 64_000
    assert composed("segment=4s", "data.segment=1s").data.segment_samples == 16_000  # the value wins


def test_an_ablation_arm_is_only_its_difference() -> None:
    baseline = plain(composed())
    for arm, key, value in (
        ("sigmoid_mask", "model.mask_activation", "sigmoid"),
        ("no_normalization", "data.normalize", False),
        ("warmup_cosine", "schedule.name", "warmup_cosine"),
    ):
        changed = OmegaConf.create(plain(composed(f"ablation={arm}")))
        assert OmegaConf.select(changed, key) == value
        OmegaConf.update(changed, key, OmegaConf.select(OmegaConf.create(baseline), key))
        assert changed == baseline


@pytest.mark.parametrize(("text", "seconds"), [("4s", 4.0), ("3.5s", 3.5), ("500ms", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.segment=4", "data.segment: '4'"),
        ("data.segment=0s", "data.segment"),
        ("data.num_speakers=6", "data.num_speakers: 6"),
        ("data.fewest_speakers=3", "data.fewest_speakers: 3"),
        ("data.fewest_speakers=-1", "it must be 0 (always data.num_speakers) or 1 to 2"),
        ("data.validation_fraction=1.5", "data.validation_fraction"),
        ("model.kernel_size=15", "model.kernel_size"),
        ("model.block_kernel_size=4", "model.block_kernel_size"),
        ("model.num_blocks=0", "model.num_blocks"),
        ("model.causal=true", "model.norm: gLN"),
        ("augment.snr_probability=2", "augment.snr_probability"),
        ("trainer.max_epochs=0", "trainer.max_epochs"),
        ("trainer.gpu_gb=-1", "trainer.gpu_gb: -1"),
        ("trainer.effective_batch_size=0", "trainer.effective_batch_size: 0"),
        ("data.batch_size=0", "data.batch_size: 0 is not allowed; it must be from 1 to 1000000, or auto"),
        ("data.batch_size=most", "data.batch_size: most"),
        ("optimizer.lr=0", "optimizer.lr"),
        ("metrics=[]", "metrics"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_name(override: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        composed(override)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_other_doors_compose() -> None:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        assert typed(PrepareConfig, compose("prepare", overrides=["data=aishell3"])).data.root == "data/aishell3"
        evaluated = typed(EvaluateConfig, compose("evaluate", overrides=["checkpoint=x"]))
        assert set(plain(evaluated)["data"].values()) == {None}
        other = typed(EvaluateConfig, compose("evaluate", overrides=["checkpoint=x", "data=voices"]))
        assert Path(other.data.root) == Path("data/voices")
        for door in ("diagnose", "plan_memory"):
            assert typed(Config, compose(door, overrides=["model=paper"])).model.hidden_channels == 512
