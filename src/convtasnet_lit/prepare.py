"""Prepare a corpus: `python -m convtasnet_lit.prepare data=aishell3 data.root=/corpora/data_aishell3`."""

from pathlib import Path

from rich import print as show

from convtasnet_lit.config import PrepareConfig
from convtasnet_lit.corpus.prepared import describe, prepare_corpus
from convtasnet_lit.doors import hydra_door


def _run(config: PrepareConfig, folder: Path) -> None:
    prepared = prepare_corpus(config.data)
    show(describe(prepared))
    show(f"store: {prepared.store.folder}")


main = hydra_door("prepare", PrepareConfig, _run)

if __name__ == "__main__":
    main()
