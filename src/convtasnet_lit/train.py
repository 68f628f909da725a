"""Train a separator: `python -m convtasnet_lit.train model=paper data.segment=4s`."""

import re
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from convtasnet_lit.command_line import REQUEUE, STOPPED, leave, reported
from convtasnet_lit.config import Config, LauncherName, LoggerName
from convtasnet_lit.doors import explained, given_settings, hydra_door
from convtasnet_lit.errors import InputError
from convtasnet_lit.sweeps.jobs import Sweep, asked_sweep


def _run(config: Config, folder: Path) -> None:
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.utilities import rank_zero_info

    from convtasnet_lit.dashboards.media import ValidationMedia
    from convtasnet_lit.training.callbacks import Interrupted
    from convtasnet_lit.training.run import train

    try:
        media = [] if config.logger.name is LoggerName.csv else [ValidationMedia()]
        tags, arm = config.logger.tags or _tags(config), config.logger.arm or _arm()
        logger = replace(config.logger, tags=tags, arm=arm)
        given = given_settings(HydraConfig.get().overrides.task)
        result = train(replace(config, logger=logger), folder, media, given)
    except Interrupted as stopped:
        code = STOPPED if stopped.args == (signal.SIGINT,) else REQUEUE
        last = folder / "checkpoints" / "last.ckpt"
        leave(f"stopped; the state is in {last}: the same command with resume=true goes on", code)
    except MisconfigurationException as error:  # such as more devices than there are
        raise InputError(" ".join(str(error).split())) from error
    rank_zero_info(f"best checkpoint: {result.best} (validation SI-SDR {-result.validation_loss:.2f} dB)")
    rank_zero_info(f"curves: {result.folder}/curves.png, history: {result.folder}/history.csv")


def _tags(config: Config) -> list[str]:
    """What a run is looked for by in W&B: its experiment, ablation, sweep and corpus."""
    chosen = HydraConfig.get().runtime.choices
    words = [chosen["experiment"], chosen["ablation"], config.logger.group, config.data.corpus.name]
    return list(dict.fromkeys(word[:64] for word in words if word))  # no tag may be longer


def _arm() -> str:
    """What a run shares with those of other seeds: its overrides that change the result."""
    overrides = HydraConfig.get().job.override_dirname
    return re.sub(r"(^|\+)seed-\d+", "", overrides).strip("+") or "default"


_one = hydra_door("train", Config, _run)


def main() -> None:
    """Train one run, or each run of a sweep."""
    with reported(), explained():
        sweep = asked_sweep()
        if sweep is not None:
            sys.exit(_launch(sweep))
    _one()


def _launch(sweep: Sweep) -> int:
    if sweep.launcher.name is LauncherName.slurm:
        from convtasnet_lit.sweeps.slurm import write_script

        print(f"sbatch {write_script(sweep, Path('runs'))}")
        return 0
    from convtasnet_lit.sweeps.local import run_locally

    failed = run_locally(sweep)
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    if failed:
        return 1
    folders = " ".join(shlex.quote(str(job.folder)) for job in sweep.jobs)
    print(f"compare them: python -m convtasnet_lit.report {folders}")
    return 0


if __name__ == "__main__":
    main()
