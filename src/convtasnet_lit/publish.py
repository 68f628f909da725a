"""Publish a network as a folder or on the Hugging Face Hub: `convtasnet publish CHECKPOINT TARGET`."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from convtasnet_lit.command_line import Parser, reported
from convtasnet_lit.errors import InputError

if TYPE_CHECKING:
    from convtasnet_lit.weights.stored import StoredNetwork


def publish(checkpoint: str, target: str, licence: str = "", private: bool = False, about: str = "") -> str:
    """Write a network's weights, settings and model card to a folder, or upload them.

    Args:
        checkpoint: Anything that `load_pretrained` opens.
        target: A folder, or `user/name` on the Hub where there is no folder `user`.
        licence: Of the weights, by the Hub's name; by default apache-2.0 for a network that was trained here.
        private: Whether a new repository is for its owner's eyes alone.
        about: A file of Markdown that the card takes into its section on the data.

    Returns:
        Where it is now.

    Raises:
        InputError: The checkpoint cannot be opened, or the target cannot be written.
    """
    from convtasnet_lit.evaluation.card import model_card
    from convtasnet_lit.files import built_whole
    from convtasnet_lit.weights.pretrained import read_stored
    from convtasnet_lit.weights.published import is_hub_id, may_make_way, upload

    stored = read_stored(checkpoint)
    if not licence and stored.config is None:
        raise InputError(f"--licence: must be given, as {stored.file} was not trained here: that of its weights")
    try:
        text = Path(about).read_text(encoding="utf-8") if about else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--about: {about} cannot be read as text") from error
    card = model_card(stored, target, licence or "apache-2.0", text)
    try:
        if is_hub_id(target):
            with TemporaryDirectory() as folder:
                _write(stored, card, Path(folder))
                return upload(Path(folder), target, private)
        place = Path(target).resolve()
        if place.exists() and not may_make_way(place):
            raise InputError(f"{target}: holds what is no published network; name a folder that is new or empty")
        with built_whole(place, replace=True) as partial:
            _write(stored, card, partial)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    return target


def _write(stored: "StoredNetwork", card: str, folder: Path) -> None:
    from convtasnet_lit.weights.published import CARD, write_published

    write_published(stored, folder)
    (folder / CARD).write_text(card, encoding="utf-8")


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser("publish", description="Share a network as safetensors with a model card.")
    parser.add_argument("checkpoint", help="a .ckpt file, the folder of a run, or any other that separate opens")
    parser.add_argument("target", help="a folder; or user/name on the Hugging Face Hub where no folder `user` is")
    parser.add_argument("--licence", default="", help="of the weights; apache-2.0 for networks trained here")
    parser.add_argument("--about", default="", metavar="FILE", help="Markdown that the card says of the data")
    parser.add_argument("--private", action="store_true", help="let no one else see a new repository on the Hub")
    return parser


def main() -> None:
    """Publish one network and say where it is."""
    with reported():
        options = arguments().parse_args()
        print(
            f"published: {publish(options.checkpoint, options.target, options.licence, options.private, options.about)}"
        )


if __name__ == "__main__":
    main()
