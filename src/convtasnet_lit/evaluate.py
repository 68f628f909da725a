"""Evaluate a network on unseen speakers: `convtasnet evaluate checkpoint=runs/experiment-demo`."""

import sys
from pathlib import Path
from typing import Any

from convtasnet_lit.command_line import taken
from convtasnet_lit.config import EvaluateConfig
from convtasnet_lit.doors import hydra_door


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
    _show_wandb(report, folder)
    print(f"{folder}/metrics.json, per_utterance.csv and examples/")


def _show_wandb(report: dict[str, Any], folder: Path) -> None:
    """Add the scores to the W&B run of the training, if it has one."""
    settings = folder.parent / ".hydra" / "config.yaml"
    is_its_own = Path(report["checkpoint"]).absolute().parents[1] == folder.parent.absolute()
    if is_its_own and settings.is_file() and (folder.parent / "wandb").is_dir():
        import pandas as pd
        from omegaconf import OmegaConf

        from convtasnet_lit.dashboards.results import log_evaluation

        values: Any = OmegaConf.to_container(OmegaConf.load(settings))  # nothing resolved: it may be somebody else's
        try:
            log_evaluation(folder.parent, values["logger"], report, pd.read_csv(folder / "per_utterance.csv"))
        except Exception as error:  # the evaluation is on disk
            print(f"warning: W&B was not told the scores: {error}", file=sys.stderr)


main = hydra_door("evaluate", EvaluateConfig, _run)

if __name__ == "__main__":
    main()
