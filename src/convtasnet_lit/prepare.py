"""Prepare a corpus: `python -m convtasnet_lit.prepare data=aishell3 data.root=/corpora/data_aishell3`."""

from pathlib import Path

from convtasnet_lit.config import PrepareConfig
from convtasnet_lit.doors import hydra_door


def _run(config: PrepareConfig, _: Path) -> None:
    from rich import print as show

    from convtasnet_lit.corpus.prepared import describe
    from convtasnet_lit.mixing.datamodule import MixtureDataModule

    data = MixtureDataModule(config.data, conditions=config.conditions)
    lists = data.check()
    show(describe(data.corpus))
    print(f"store: {data.corpus.store.folder}")
    print(*(f"mixtures: {path}" for path in lists), sep="\n")
    if config.export:
        from convtasnet_lit.mixing.exported import export_mixtures

        export_mixtures(data, Path(config.export))
        print(f"exported: {config.export}")


main = hydra_door("prepare", PrepareConfig, _run)

if __name__ == "__main__":
    main()
