"""Plan a run's memory without a GPU: `python -m convtasnet_lit.plan_memory model=paper data.segment=4s gpu=8gb`."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from convtasnet_lit.config import Config, Memory, NormName
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import require

if TYPE_CHECKING:
    from rich.table import Table

    from convtasnet_lit.training.memory import MemoryPlan

MIB = 2**20


def _run(config: Config, _: Path) -> None:
    require(not config.init, "init", config.init, "left out: here a network of random weights is looked at")
    from rich import print as show

    from convtasnet_lit.training.budget import ADVICE, readable, room_of_profile, settled, step_of
    from convtasnet_lit.training.memory import largest_batch, plan

    room = room_of_profile(config)
    config = settled(config, room)
    step, batch = step_of(config, room.precision), config.data.mixtures_per_batch
    settings = [config.trainer.memory.name]
    settings += [other.name for other in Memory if other is not config.trainer.memory and _allowed(other, config)]
    show(memory_table({name: plan(replace(step, memory=name), batch) for name in settings}))
    needed, largest = plan(step, batch).total, largest_batch(step, room.usable)
    fits = "fits" if needed <= room.usable else "does not fit"
    print(f"batch {batch} of {config.data.segment} in {room.precision.name}, trainer.memory={step.memory}: {fits}")
    print(f"it takes {readable(needed)} of the {room}; the largest batch that fits is {largest}")
    if needed > room.usable:
        print(ADVICE)


def _allowed(memory: Memory, config: Config) -> bool:
    return not (memory is Memory.checkpoint and config.model.norm is NormName.BN)


def memory_table(plans: "dict[str, MemoryPlan]") -> "Table":
    """Return the parts as rows.

    Args:
        plans: Of each setting of `trainer.memory`.
    """
    from rich.table import Table

    from convtasnet_lit.training.memory import MemoryPlan

    table = Table("MiB", *plans)
    for column in table.columns[1:]:
        column.justify = "right"
    for part in fields(MemoryPlan):
        table.add_row(part.name, *(f"{getattr(plan, part.name) / MIB:,.1f}" for plan in plans.values()))
    table.add_section()
    table.add_row("total", *(f"{plan.total / MIB:,.1f}" for plan in plans.values()))
    return table


main = hydra_door("plan_memory", Config, _run)

if __name__ == "__main__":
    main()
