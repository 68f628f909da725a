"""Search for good settings: `python -m convtasnet_lit.search data=demo 'optimizer.lr=log(1e-4,1e-2)' --trials 20`."""

import argparse
import os
import shlex
import signal
import sys
import traceback
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import OmegaConf

from convtasnet_lit.command_line import STOPPED, Parser, leave, reported
from convtasnet_lit.config import Config, typed
from convtasnet_lit.doors import CONF_DIR, explained, given_settings, one_line, run_folder
from convtasnet_lit.errors import InputError, require

if TYPE_CHECKING:  # help needs no torch
    import optuna
    from optuna.distributions import BaseDistribution

    from convtasnet_lit.studies import SharedStudy

SPACE = ["optimizer.lr=log(1e-4,1e-2)", "schedule.patience=2,3,5", "augment=all,speed,none"]


def search(options: argparse.Namespace) -> None:
    """Train trials until the study has as many as it shall have, and say what was found.

    Args:
        options: The command line.

    Raises:
        InputError: A setting cannot be used, or no trial was trained to its end.
        SystemExit: Ctrl-C; the state was saved.
    """
    if not options.overrides:
        searched = f"{options.trials} trials of the default training would search {' '.join(SPACE)}"
        raise InputError(f"overrides: none; {searched}; say what to train, such as data=demo model=tiny")
    if not (find_spec("optuna") and find_spec("plotly")):
        raise InputError("search needs packages: pip install 'convtasnet_lit[search]'")
    folder = Path(options.out or f"searches/{run_folder('', '+'.join(options.overrides).replace('=', '-'))}")
    above = next(path for path in (folder, *folder.parents) if path.exists())
    writable = above.is_dir() and os.access(above, os.W_OK)
    require(writable, "--out", folder, f"a folder that can be written, and {above} is none")
    fixed, space = _read(options.overrides)
    configs = _composed(fixed, space)
    from convtasnet_lit.studies import SharedStudy  # not before: bad settings need no torch

    _check_here(configs, options.threads)
    settings = {name: getattr(options, name) for name in ("overrides", "seed", "pruner")}
    epochs, data = max(config.trainer.max_epochs for config in configs), configs[0].data
    study = SharedStudy(folder, space, settings, epochs, options.trials)
    hours = epochs * data.train_mixtures * data.segment_samples / data.sample_rate / 3600
    print(f"search of {', '.join(space)} in {folder}: {options.trials} trials", end=" ")
    print(f"of at most {epochs} epochs ({hours:.2g} h of audio) each; {study.outlook()}", flush=True)
    while claimed := study.claim():
        trial, held = claimed
        with held:
            _train(study, trial, [*fixed, *_assigned(trial.params)], options.threads)
        study.draw()
        print(f"{study.describe(study.trials()[trial.number])}; {study.outlook()}", flush=True)
    _show_results(study)


def _read(overrides: list[str]) -> "tuple[list[str], dict[str, BaseDistribution]]":
    """Tell the overrides of all trials from those that are searched, in Hydra's grammar of sweeps with `log` added."""
    functions = create_functions()
    functions.register("log", _log)
    parser = OverridesParser(functions, GlobalHydra.instance().config_loader())
    lines = parser.parse_overrides(overrides)
    if not any(line.is_sweep_override() for line in lines):
        lines += parser.parse_overrides(SPACE)
    fixed = [str(line.input_line) for line in lines if not line.is_sweep_override()]
    return fixed, {line.get_key_element(): _distribution(line) for line in lines if line.is_sweep_override()}


def _log(low: int | float, high: int | float) -> IntervalSweep:
    return IntervalSweep(start=float(low), end=float(high), tags={"log"})


def _distribution(line: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    try:
        if line.is_discrete_sweep():
            return CategoricalDistribution(list(line.sweep_string_iterator()))
        interval: Any = line.value()
        kind = IntDistribution if isinstance(interval.start, int) else FloatDistribution
        return kind(interval.start, interval.end, log="log" in interval.tags)
    except ValueError as error:
        raise InputError(f"{line.input_line}: {error}") from error


def _assigned(values: dict[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def _composed(fixed: list[str], space: "dict[str, BaseDistribution]") -> list[Config]:
    """Compose each value that may be drawn, of intervals both ends, each beside the others' first values."""
    values = {key: getattr(drawn, "choices", None) or (drawn.low, drawn.high) for key, drawn in space.items()}  # type: ignore[attr-defined]
    first = {key: candidates[0] for key, candidates in values.items()}
    drawn = [first | {key: value} for key, candidates in values.items() for value in candidates]
    return [typed(Config, compose("train", [*fixed, *_assigned(trial)])) for trial in drawn]


def _check_here(configs: list[Config], threads: int) -> None:
    """Prepare the data, and refuse what cannot be trained on this machine."""
    import torch

    from convtasnet_lit.mixing.datamodule import MixtureDataModule
    from convtasnet_lit.training.budget import room_here, settled

    torch.set_num_threads(threads)
    for index, config in enumerate(configs):
        processes = config.trainer.devices * config.trainer.num_nodes
        require(processes == 1, "trainer.devices", processes, "1: start the search once for each device instead")
        if all(config.data != other.data or config.trainer != other.trainer for other in configs[:index]):
            data = MixtureDataModule(settled(config, room_here(config)).data)
            data.check()
            data.train_dataloader()


def _train(study: "SharedStudy", trial: "optuna.Trial", overrides: list[str], threads: int) -> None:
    """Train one trial, or go on with it, and tell the study how it ended."""
    from convtasnet_lit.studies import ReportEpochs
    from convtasnet_lit.training.callbacks import Interrupted
    from convtasnet_lit.training.run import train

    folder, report = study.folder / f"trial-{trial.number}", ReportEpochs(study, trial)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    repeats = sum(earlier.params == trial.params for earlier in study.trials()[: trial.number])
    try:
        if repeats:  # where there are few choices; another seed shows what chance does
            overrides = [*overrides, f"seed={compose('train', overrides).seed + repeats}"]
        composed = compose("train", overrides)
        config = replace(typed(Config, composed), resume=True)
        OmegaConf.save(composed, folder / ".hydra" / "config.yaml")
        OmegaConf.save(OmegaConf.create(overrides), folder / ".hydra" / "overrides.yaml")
        command = shlex.join(["python", "-m", "convtasnet_lit.train", *overrides])
        trial.set_user_attr("command", f"OMP_NUM_THREADS={threads} {command}")
        trial.set_user_attr("seed", config.seed)
        result = train(config, folder, [report], given_settings(overrides))
    except (Interrupted, KeyboardInterrupt):
        trial.set_user_attr("starts", 0)  # this end was asked for
        leave("stopped; the same command goes on with it", STOPPED)
    except Exception as error:  # the other trials go on
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        study.end(trial, error=one_line(error) or type(error).__name__)
    else:
        study.end(trial, None if report.pruned else result.validation_loss)


def _show_results(study: "SharedStudy") -> None:
    from optuna.trial import TrialState

    for trial in study.trials(TrialState.FAIL):
        print(study.describe(trial))
    if not study.trials(TrialState.COMPLETE):
        if study.trials(TrialState.RUNNING):  # in other processes, the last of which says what was found
            return
        raise InputError(f"{study.folder}: no trial was trained to its end")
    best = study.optuna.best_trial
    print(f"best: {study.describe(best)} with {' '.join(_assigned(best.params))}")
    plots = ", ".join(path.name for path in sorted(study.folder.glob("*.html")))
    print(f"in {study.folder}: trial-{best.number}/checkpoints/best.ckpt, trials.csv, {plots}")
    print(f"to train it again: {best.user_attrs['command']}")


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser(
        "search",
        description="Find settings with a low validation loss. The same command in other terminals shares the trials, "
        "and after a stop it goes on.",
        epilog="Several values are KEY=A,B,C, KEY=interval(LOW,HIGH), KEY=log(LOW,HIGH) or "
        f"KEY=int(interval(LOW,HIGH)). Where no override has several, these are searched: {' '.join(SPACE)}",
    )
    parser.add_argument("overrides", nargs="*", help="training's overrides; those with several values are searched")
    parser.add_argument("--trials", type=int, default=20, help="of the whole study; default 20")
    parser.add_argument("--pruner", choices=["median", "hyperband", "none"], default="median", help="default median")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn; default 0 (training has its own: seed=)")
    parser.add_argument("--threads", type=int, default=1, help="of this process; default 1: start one process a core")
    parser.add_argument("--out", help="the folder of the study; by default named by the overrides, in searches/")
    return parser


def main() -> None:
    """Search, and say what is wrong in one line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what was begun goes on later, and did not fail
    with reported(), explained():
        options = arguments().parse_intermixed_args()
        for name, least in (("trials", 1), ("threads", 1), ("seed", 0)):
            require(getattr(options, name) >= least, f"--{name}", getattr(options, name), f"{least} or more")
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            search(options)


if __name__ == "__main__":
    main()
