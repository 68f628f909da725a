"""Train a separator: `python -m convtasnet_lit.train model=paper data.segment=4s`."""

from pathlib import Path

from convtasnet_lit.command_line import STOPPED, leave
from convtasnet_lit.config import Config
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import InputError


def _run(config: Config, folder: Path) -> None:
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch.utilities import rank_zero_info

    from convtasnet_lit.training.callbacks import Interrupted
    from convtasnet_lit.training.run import train

    try:
        result = train(config, folder)
    except Interrupted:
        last = folder / "checkpoints" / "last.ckpt"
        leave(f"stopped; the state is in {last}: the same command with resume=true goes on", STOPPED)
    except MisconfigurationException as error:  # such as more devices than there are
        raise InputError(" ".join(str(error).split())) from error
    rank_zero_info(f"best checkpoint: {result.best} (validation SI-SDR {-result.validation_loss:.2f} dB)")
    rank_zero_info(f"curves: {result.folder}/curves.png, history: {result.folder}/history.csv")


main = hydra_door("train", Config, _run)

if __name__ == "__main__":
    main()
