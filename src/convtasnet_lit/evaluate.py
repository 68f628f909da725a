"""Evaluate a network on unseen speakers: `convtasnet evaluate checkpoint=runs/experiment-demo`."""

import sys
from pathlib import Path
from typing import Any

from convtasnet_lit.command_line import taken
from convtasnet_lit.config import EvaluateConfig
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import InputError


def _run(config: EvaluateConfig, _: Path) -> None:
    from rich import print as show

    from convtasnet_lit.evaluation.evaluating import evaluate
    from convtasnet_lit.evaluation.tables import counting_table, score_table

    taken(config.checkpoint)  # says so if it is the default
    report, folder = evaluate(config)
    if report["not_finite"]:
        numbers = ", ".join(map(str, report["not_finite"][:9]))
        print(
            f"warning: {len(report['not_finite'])} mixtures have estimates that are not finite: {numbers}",
            file=sys.stderr,
        )
    show(score_table(report))
    if "counting" in report:
        show(counting_table(report["counting"]))
    if "lone_held" in report:
        print(f"lone speakers held on one output, the others 20 dB under it: {report['lone_held']['share']:.0%}")
    print(f"{folder}/metrics.json, per_utterance.csv and examples/")
    if _is_of_its_run(report, folder):
        _show_wandb(report, folder)
        _show_page(folder)


def _is_of_its_run(report: dict[str, Any], folder: Path) -> bool:
    """Whether an evaluation lies in the folder of the run whose checkpoint it is of."""
    its_own = Path(report["checkpoint"]).absolute().parent.parent == folder.parent.absolute()
    return its_own and (folder.parent / ".hydra" / "config.yaml").is_file()


def _show_wandb(report: dict[str, Any], folder: Path) -> None:
    """Add the scores to the W&B run of the training, if it has one."""
    if (folder.parent / "wandb").is_dir():
        import pandas as pd
        from omegaconf import OmegaConf

        from convtasnet_lit.dashboards.results import log_evaluation

        # nothing resolved: it may be somebody else's
        values: Any = OmegaConf.to_container(OmegaConf.load(folder.parent / ".hydra" / "config.yaml"))
        try:
            log_evaluation(folder.parent, values["logger"], report, pd.read_csv(folder / "per_utterance.csv"))
        except Exception as error:  # the evaluation is on disk
            print(f"warning: W&B was not told the scores: {error}", file=sys.stderr)


def _show_page(folder: Path) -> None:
    """Write the page of the run beside the evaluation that it shows."""
    from convtasnet_lit.comparison.answers import answer
    from convtasnet_lit.comparison.arms import read_sweep
    from convtasnet_lit.comparison.page import page
    from convtasnet_lit.comparison.runs import EVALUATION
    from convtasnet_lit.files import written_whole

    if folder.name == EVALUATION:
        try:
            shown = page(answer(read_sweep([folder.parent])))
            with written_whole(folder.parent / "report.html") as partial:
                partial.write_text(shown, encoding="utf-8")
            print(f"{folder.parent}/report.html: all of it on one page")
        except (InputError, OSError) as error:
            print(f"warning: {folder.parent}/report.html was not written: {error}", file=sys.stderr)


main = hydra_door("evaluate", EvaluateConfig, _run)

if __name__ == "__main__":
    main()
