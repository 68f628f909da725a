"""What sounds and pictures cost a training: `python -m benchmarks.media experiment=demo logger=wandb`."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from hydra import compose, initialize_config_dir

from convtasnet_lit.command_line import reported
from convtasnet_lit.config import Config, typed
from convtasnet_lit.dashboards.media import ValidationMedia
from convtasnet_lit.doors import CONF_DIR, explained
from convtasnet_lit.training.run import train


class Timed(ValidationMedia):
    """Logs the same, and keeps the seconds that each epoch's sounds and pictures took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_validation_epoch_end(self, *run: Any) -> None:
        """Log them against the clock."""
        started = time.perf_counter()
        super().on_validation_epoch_end(*run)
        self.seconds.append(time.perf_counter() - started)


def main() -> None:
    """Train the run that the command line describes in a folder for the time being, and print what the media took."""
    with reported(), explained(), tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(CONF_DIR.absolute()), version_base="1.3"):
            config = typed(Config, compose("train", sys.argv[1:]))
        media = Timed()
        train(config, Path(folder), [media])
        epochs = pd.read_csv(Path(folder, "history.csv"))["seconds"]
    for number, (took, epoch) in enumerate(zip(media.seconds[-len(epochs) :], epochs, strict=True), start=1):
        print(f"epoch {number}: {took:.2f} of {epoch:.1f} s, {took / epoch:.1%}")


if __name__ == "__main__":
    main()
