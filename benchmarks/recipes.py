"""How each contestant is trained: as its own recipe says, or all alike."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from benchmarks.scoring import PEERS as LOSSES
from convtasnet_lit.config import Config, OptimizerName, Precision, ScheduleName, plain
from convtasnet_lit.training.losses import pit_loss
from convtasnet_lit.training.schedules import warmup_cosine_factor

SETTINGS = ("recipe", "same-size")
# The sizes of the paper's best network, which torchaudio's and Asteroid's recipes share.
PAPER_SHAPE = {
    "num_filters": 512,
    "kernel_size": 16,
    "bottleneck_channels": 128,
    "hidden_channels": 512,
    "skip_channels": 128,
    "block_kernel_size": 3,
    "num_blocks": 8,
    "num_repeats": 3,
    "mask_activation": "relu",
}
ADAMS_RATE = 1e-3  # of the paper, torchaudio and Asteroid
_PARTS = 1000  # of the budget, between which the rate is moved on


@dataclass(frozen=True)
class Recipe:
    """What a training is made of, beside its data, loss and length; all clip norms alike.

    Args:
        shape: Arguments of `ConvTasNet`; the peers' networks are given the same by other names.
        batch: Mixtures.
        seconds: Of a mixture.
        learning_rate: The highest.
        speed_range: r; each source is played U(1 - r, 1 + r) times as fast.
        bfloat16: Compute in bfloat16, by autocast.
        optimizer: Adam for all peers.
        warmup_fraction: Share of the budget in which the rate rises, before it falls along half a cosine; None keeps it
            constant.
    """

    shape: dict[str, Any]
    batch: int
    seconds: float
    learning_rate: float
    speed_range: float = 0.0
    bfloat16: bool = False
    optimizer: OptimizerName = OptimizerName.adam
    warmup_fraction: float | None = None

    def rate(self, used: float) -> float:
        """Return the learning rate when a share of the budget is used.

        Args:
            used: From 0 to 1.

        Example:
            >>> recipe = Recipe({}, 4, 2.0, 1e-3, warmup_fraction=0.5)
            >>> [round(recipe.rate(used), 6) for used in (0.25, 0.5, 0.75, 1.0)]
            [0.000502, 0.001, 0.0005, 0.0]
        """
        if self.warmup_fraction is None:
            return self.learning_rate
        return self.learning_rate * warmup_cosine_factor(round(_PARTS * used), _PARTS, self.warmup_fraction)


@dataclass(frozen=True)
class System:
    """A contestant.

    Args:
        network: Its name among `contestants.BUILDERS`.
        make_loss: Its own loss, of (estimates, sources); raises ImportError if the peer is not installed.
        recipe: Its published recipe; None for ours, which is the run that was asked for.
    """

    network: str
    make_loss: Callable[[], Callable[[Tensor, Tensor], Tensor]]
    recipe: Recipe | None = None


# The facts of each recipe are from the peers' repositories. All clip gradients to a norm of 5, as we do. All halve the
# rate, and two stop early, when the validation loss has not fallen for some epochs, each of tens of hours of mixtures.
# Minutes hold no such epoch, so both are left out, and their rates are constant.
SYSTEMS = {
    "ours": System("lean", lambda: pit_loss),
    # pytorch/audio, examples/source_separation/lightning_train.py. It masks by ReLU, unlike the network's default. The
    # loss lies in the example and not in the package; torchmetrics computes the same, SI-SDR of zero-mean signals.
    "torchaudio": System("torchaudio", LOSSES["torchmetrics"], Recipe(PAPER_SHAPE, 3, 3.0, 1e-3)),
    # asteroid-team/asteroid, egs/librimix/ConvTasNet/local/conf.yml. run.sh beside it asks for a batch of 24, which
    # would leave a quarter of the steps.
    "asteroid": System("Asteroid", LOSSES["Asteroid"], Recipe(PAPER_SHAPE, 6, 3.0, 1e-3)),
    # speechbrain/speechbrain, recipes/WSJ0Mix/separation/hparams/convtasnet.yaml. It trains on whole mixtures, one a
    # step; 5 s are about their mean length. It draws speeds from 0.95, 1 and 1.05. It leaves losses below -30 dB out,
    # which minutes do not reach. Later versions of the file say `causal: True` beside a norm that sees the future; the
    # network here is that of the earlier ones, which is not causal.
    "speechbrain": System(
        "SpeechBrain",
        LOSSES["SpeechBrain"],
        Recipe(
            PAPER_SHAPE | {"num_filters": 256, "bottleneck_channels": 256, "num_blocks": 6, "num_repeats": 4},
            batch=1,
            seconds=5.0,
            learning_rate=1.5e-4,
            speed_range=0.05,
        ),
    ),
}


def recipe_of(system: str, settings: str, config: Config) -> Recipe:
    """Return how a contestant is trained.

    Args:
        system: One of `SYSTEMS`.
        settings: `recipe`, or `same-size`: our run's sizes and batch, in float32, with Adam at the paper's rate.
        config: Our run.
    """
    schedule, data = config.schedule, config.data
    ours = Recipe(
        plain(config.model),
        data.mixtures_per_batch,
        data.segment_samples / data.sample_rate,
        config.optimizer.lr,
        config.augment.speed_range,
        config.trainer.precision is Precision.bf16,
        config.optimizer.name,
        schedule.warmup_fraction if schedule.name is ScheduleName.warmup_cosine else None,
    )
    if settings == "same-size":
        return replace(
            ours, learning_rate=ADAMS_RATE, bfloat16=False, optimizer=OptimizerName.adam, warmup_fraction=None
        )
    return SYSTEMS[system].recipe or ours
