"""Prepare a corpus: `python -m convtasnet_lit.prepare data=aishell3 data.root=/corpora/data_aishell3`.

Before the settings a word may say which step is done alone: `prepare merge data=...`, `prepare verify data=...`.
"""

import sys
from pathlib import Path

from convtasnet_lit.config import PrepareConfig, PrepareStep
from convtasnet_lit.doors import hydra_door
from convtasnet_lit.errors import InputError


def _run(config: PrepareConfig, _: Path) -> None:
    if config.shard:
        _prepare_share(config)
    elif config.step is PrepareStep.verify:
        _verify(config)
    else:
        _prepare(config)


def _prepare(config: PrepareConfig) -> None:
    from rich import print as show

    from convtasnet_lit.corpus.prepared import describe, preparation
    from convtasnet_lit.mixing.datamodule import MixtureDataModule

    if config.step is PrepareStep.merge:
        plan = preparation(config.data)
        if missing := plan.missing():
            listed = ", ".join(str(shard) for shard in missing[:10]) + (", ..." if len(missing) > 10 else "")
            text = f"{len(missing)} of {plan.shards} shards are not in {plan.partial}: {listed}"
            raise InputError(f"data.store: {text}; prepare shard=I/N writes them, prepare alone writes and joins them")
    data = MixtureDataModule(config.data, conditions=config.conditions)
    lists = data.check()
    show(describe(data.corpus))
    print(f"store: {data.corpus.store.folder}")
    print(*(f"mixtures: {path}" for path in lists), sep="\n")
    if config.export:
        from convtasnet_lit.mixing.exported import export_mixtures

        export_mixtures(data, Path(config.export))
        print(f"exported: {config.export}")


def _prepare_share(config: PrepareConfig) -> None:
    from convtasnet_lit.corpus.prepared import preparation
    from convtasnet_lit.corpus.preparing import prepare_share

    plan = preparation(config.data)
    written = prepare_share(plan, *config.share)
    print(*(f"shard: {path}" for path in written), sep="\n", end="\n" if written else "")
    if not written:
        why = f"{plan.folder} is there" if plan.folder.exists() else f"the corpus makes {plan.shards} shards"
        print(f"nothing is left for shard={config.shard}: {why}")


def _verify(config: PrepareConfig) -> None:
    from convtasnet_lit.corpus.prepared import prepare_corpus
    from convtasnet_lit.corpus.verifying import refuse_damaged

    store = prepare_corpus(config.data, may_prepare=config.data.is_remote).store
    refuse_damaged(store)
    print(f"store: {store.folder} holds what was written: {len(store.index)} utterances in {store.shards} shards")


def as_settings(words: list[str]) -> list[str]:
    """Spell a step that is a word as the setting it is.

    Args:
        words: The command line.

    Example:
        >>> as_settings(["verify", "data=demo"])
        ['step=verify', 'data=demo']
    """
    return [f"step={word}" if word in ("merge", "verify") else word for word in words]


_door = hydra_door("prepare", PrepareConfig, _run)


def main() -> None:
    """Prepare what the command line asks for."""
    sys.argv[1:] = as_settings(sys.argv[1:])
    _door()


if __name__ == "__main__":
    main()
