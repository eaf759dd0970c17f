"""The package of a model that is to be submitted, or run again: its code, its weights, its card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hearbench.digest import digest_file
from hearbench.errors import HearError, ResultError
from hearbench.leaderboard.card import CARD_FILE, Card
from hearbench.leaderboard.origin import (
    Origin,
    check_weights,
    fetch_source,
    fetch_weights,
    is_address,
    is_web_address,
)
from hearbench.leaderboard.submission import Submission
from hearbench.workspace import Workspace, user_path

__all__ = ["Package", "find_package", "submitted_package"]

_VERSION = re.compile(r"3(\.\d+){1,2}")


@dataclass(frozen=True)
class Package:
    """A model's package, once all of it is on this machine.

    Attributes:
        card: What its team says of it.
        module: Import name of the module with the HEAR API.
        tree: Source folder, of which an environment is made; None of a module that is installed.
        weights: File or folder that ``load_model`` gets; None for a model that brings its own.
        origin: Where code and weights come from; None unless it was named by an address.
    """

    card: Card
    module: str
    tree: str | None
    weights: str | None
    origin: Origin | None

    def origin_with(self, python: str | None) -> Origin | None:
        """The origin, with the version of Python that the environment was asked for."""
        if self.origin is None or python is None or not _VERSION.fullmatch(python):
            return self.origin
        return self.origin.model_copy(update={"python": python})


def find_package(
    model: str, workspace: Workspace, *, card: Path | None = None, weights: str | None = None
) -> Package:
    """Finds or fetches what a user names to be submitted.

    Args:
        model: A source folder; ``git+https://HOST/ORG/REPO@REVISION``; or an installed module.
        workspace: Where the cache is, and who is shown progress.
        card: The card's file; by default ``card.toml`` in the source tree.
        weights: A file, a folder, or an address on the web; by default the card's for a package
            that is named by its address, and none for any other.

    Raises:
        ResultError: There is no card, it can't be read, or it names other weights.
        DownloadError: The repository or the weights can't be had.
        HearError: The address is none that can be used, or there is no git.
    """
    if not is_address(model):
        tree = model if user_path(model).is_dir() else None
        said = _card(card, tree)
        said, path = _weights(said, weights, workspace)
        return Package(said, model if tree is None else said.api, tree, path, None)
    source = fetch_source(model, workspace)
    said = _card(card, str(source.folder))
    said, path = _weights(said, weights or said.weights_url or None, workspace)
    origin = Origin(address=model, commit=source.commit)
    if path is not None and (file := user_path(path)).is_file():
        facts = {"weights_sha256": digest_file(file), "weights_bytes": file.stat().st_size}
        origin = origin.model_copy(update=facts)
    return Package(said, said.api, str(source.folder), path, origin)


def submitted_package(
    submission: Submission,
    workspace: Workspace,
    *,
    package: str | None = None,
    weights: str | None = None,
) -> Package:
    """Fetches the package of a submission: the very commit, and weights of the same content.

    Args:
        workspace: Where the cache is, and who is shown progress.
        package: A folder or an address to take the code from in the place of the submission's.
        weights: A file to take in the place of what the card's address gives.

    Returns:
        The package, whose origin is what was fetched; None of a folder.

    Raises:
        ResultError: The submission doesn't say where it comes from, or an option of its card names
            a path of this machine.
        DownloadError: The repository or the weights can't be had, or they are others.
    """
    card, origin = submission.card, submission.origin
    _refuse_paths(card)
    if package is None and origin is None:
        raise ResultError(
            "The submission was made from a folder and doesn't say where its code can be had. Name "
            "its repository or folder with --package."
        )
    sha256 = None if origin is None else origin.weights_sha256
    path = None if weights is None else str(user_path(weights))
    if path is not None:
        check_weights(Path(path), sha256, path)
    elif card.weights_url and (sha256 is not None or origin is None):
        path = str(fetch_weights(card.weights_url, workspace, sha256=sha256))
    elif sha256 is not None:
        raise ResultError(
            "The card doesn't say where the weights can be had. Ask the submission's team for the "
            "file, and name it with --weights."
        )
    address = origin.at_commit if package is None and origin is not None else package or ""
    if not is_address(address):
        return Package(card, card.api, address, path, None)
    source = fetch_source(address, workspace)
    told = {"address": address, "commit": source.commit, "weights_sha256": sha256}
    return Package(card, card.api, str(source.folder), path, Origin.model_validate(told))


def _card(file: Path | None, tree: str | None) -> Card:
    if file is None and tree is None:
        raise ResultError("Of a module that is installed the card is to be named: --card F.")
    return Card.read(file if file is not None else user_path(str(tree)) / CARD_FILE)


def _weights(card: Card, named: str | None, workspace: Workspace) -> tuple[Card, str | None]:
    """The card with the weights' address, and the weights on this machine."""
    if named is None or not is_web_address(named):
        return card, named
    if card.weights_url not in ("", named):
        raise ResultError(
            f"The card's weights_url is {card.weights_url}, and --weights {named}. Let them be the "
            "same."
        )
    # Checked as if the card had said it.
    card = Card.from_content({**card.model_dump(), "weights_url": named}, "--weights")
    return card, str(fetch_weights(named, workspace))


def _refuse_paths(card: Card) -> None:
    """Refuses options that would make files of this machine readable in the model's sandbox."""
    for key, value in card.options.items():
        try:
            is_path = isinstance(value, str) and bool(value) and user_path(value).exists()
        except (HearError, OSError, ValueError):
            is_path = False
        if is_path:
            raise ResultError(
                f"The option {key} of the card is {value!r}, which is a path of this machine. A "
                "submission's options name none; from another folder it may be none."
            )
