"""Evaluate a checkpoint on unseen speakers: `python -m convtasnet_lit.evaluate checkpoint=runs/experiment-demo`."""

import sys
from pathlib import Path

from convtasnet_lit.config import EvaluateConfig
from convtasnet_lit.doors import hydra_door


def _run(config: EvaluateConfig, _: Path) -> None:
    from rich import print as show

    from convtasnet_lit.evaluation.run import evaluate
    from convtasnet_lit.evaluation.tables import counting_table, score_table

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
    print(f"{folder}/metrics.json, per_utterance.csv and examples/")


main = hydra_door("evaluate", EvaluateConfig, _run)

if __name__ == "__main__":
    main()
