"""Check data, model and metrics: `python -m convtasnet_lit.diagnose` with any overrides of training."""

import sys
from dataclasses import replace
from pathlib import Path

from convtasnet_lit.config import Config, Precision
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import require


def _run(config: Config, _: Path) -> None:
    require(not config.init, "init", config.init, "left out: here a network of random weights is looked at")
    from rich import print as show
    from rich.table import Table

    from convtasnet_lit.devices import find_device
    from convtasnet_lit.training.budget import room_here, settled
    from convtasnet_lit.training.diagnosis import diagnose

    device = str(find_device(config.trainer.accelerator.name, "accelerator"))
    config = settled(config, replace(room_here(config), precision=Precision.fp32))  # here no step is autocast
    table = Table("check", "", "measured", "advice")
    findings = list(diagnose(config, device))
    for finding in findings:
        mark = "[green]pass[/]" if finding.passed else "[red]FAIL[/]"
        table.add_row(finding.name, mark, finding.figure, "" if finding.passed else finding.advice)
    show(table)
    if not all(finding.passed for finding in findings):
        sys.exit(1)


main = hydra_door("diagnose", Config, _run)

if __name__ == "__main__":
    main()
