"""Folders on the Hugging Face Hub. Needs the extra `hub` where it is used."""

import re
from pathlib import Path

from convtasnet_lit.errors import InputError


def is_hub_id(text: str) -> bool:
    """Whether a text means a repository on the Hub: `user/name` or `user/name@revision`, where no folder `user` is.

    Args:
        text: What a user gave, perhaps a path.

    Example:
        >>> is_hub_id("someone/convtasnet-8k@v1"), is_hub_id("/data/run"), is_hub_id("runs/best.ckpt")
        (True, False, False)
    """
    named = re.fullmatch(r"(\w[\w.-]*)/\w[\w.-]*(@\S+)?", text)
    is_file = text.endswith((".ckpt", ".pth", ".pt"))
    return named is not None and not is_file and not Path(named[1]).exists()


def download(name: str, files: list[str]) -> Path:
    """Download files of a repository, those that were not downloaded before.

    Args:
        name: `user/name` or `user/name@revision`.
        files: Their names; those that are not there are left out.

    Returns:
        The folder that holds them, in the Hub's cache.

    Raises:
        InputError: The extra `hub` is missing, there is no network, or no such repository.
    """
    repository, _, revision = name.partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise _missing_package(name) from error
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=files))
    except Exception as error:  # of the transport, whichever it is
        raise _failed(name, error) from error


def upload(folder: Path, name: str, private: bool) -> str:
    """Upload a folder as a repository, which is made where there is none.

    Args:
        folder: What it shall hold.
        name: `user/name`.
        private: Whether a new one is for its owner's eyes alone.

    Returns:
        Its address.

    Raises:
        InputError: The extra `hub` is missing, there is no network, no token, or no right to write there.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise _missing_package(name) from error
    try:
        address = HfApi().create_repo(name, private=private, exist_ok=True)
        HfApi().upload_folder(repo_id=name, folder_path=folder, commit_message="Published by convtasnet_lit")
    except Exception as error:  # of the transport, whichever it is
        raise InputError(f"{name}: not published: {str(error).splitlines()[0]}") from error
    return str(address)


def _missing_package(name: str) -> InputError:
    return InputError(f"{name}: not here, and the Hub needs a package: pip install 'convtasnet_lit[hub]'")


def _failed(name: str, error: Exception) -> InputError:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RepositoryNotFoundError):
        return InputError(f"{name}: neither here nor on the Hub, or not for your token to see")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{name}: on the Hub there is no such revision")
    return InputError(f"{name}: not here, and the Hub did not answer as hoped: {str(error).splitlines()[0]}")
