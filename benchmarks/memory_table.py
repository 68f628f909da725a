"""Print the table of docs/memory.md: `python benchmarks/memory_table.py`, some minutes."""

from hydra import compose, initialize_config_dir

from convtasnet_lit.config import Config, typed
from convtasnet_lit.doors import CONF_DIR
from convtasnet_lit.training.budget import GIB, room_of_profile, step_of
from convtasnet_lit.training.memory import largest_batch, plan

PROFILES = ("8gb", "16gb", "24gb", "80gb")


def row(model: str, segment: str) -> str:
    """Return a row: of each profile the GiB of a step, and the largest batch that fits.

    Args:
        model: A file of conf/model.
        segment: A file of conf/segment.
    """
    return f"| `{model}` | {segment} | " + " | ".join(cell(model, segment, profile) for profile in PROFILES) + " |"


def cell(model: str, segment: str, profile: str) -> str:
    """Return what a profile's batch takes, whether it fits, and the largest that does.

    Args:
        model: A file of conf/model.
        segment: A file of conf/segment.
        profile: A file of conf/gpu.
    """
    config = typed(Config, compose("train", overrides=[f"model={model}", f"segment={segment}", f"gpu={profile}"]))
    room = room_of_profile(config)
    step, batch = step_of(config, room.precision), config.data.mixtures_per_batch
    needed = plan(step, batch).total
    return f"{needed / GIB:.2f}{'' if needed <= room.usable else ' too much'}, {largest_batch(step, room.usable)}"


if __name__ == "__main__":
    print("| model | segment | " + " | ".join(f"`gpu={profile}`" for profile in PROFILES) + " |")
    print("| --- | --- |" + " --- |" * len(PROFILES))
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        for model in sorted(path.stem for path in (CONF_DIR / "model").iterdir()):
            for segment in sorted(path.stem for path in (CONF_DIR / "segment").iterdir()):
                print(row(model, segment), flush=True)
