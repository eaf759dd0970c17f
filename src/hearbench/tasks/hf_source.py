"""Opening a Hugging Face dataset: from a folder on disk, or from the hub."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hearbench.digest import digest_json
from hearbench.errors import DownloadError, HearError, TaskError
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["dataset_splits", "datasets_library", "identity_of"]

# What `save_to_disk` leaves at the top of a folder.
_SAVED = ("dataset_dict.json", "state.json")


def datasets_library() -> ModuleType:
    """The library ``datasets``, an extra.

    Raises:
        HearError: The library isn't installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise HearError(
            "Hugging Face datasets need the library datasets, which isn't installed. Install it "
            "with `pip install 'hearbench[hf]'`.",
            code="not_installed",
        ) from error
    library: ModuleType = datasets
    return library


def dataset_splits(
    source: str, *, config: str | None, revision: str | None, workspace: Workspace
) -> dict[str, Dataset]:
    """The splits of a dataset by their names; one that was saved without a name is ``train``.

    Args:
        source: A folder that ``save_to_disk`` wrote, another folder that ``load_dataset``
            understands, or the name of a dataset on the hub.
        config: Name of the dataset's configuration, where it has several.
        revision: Branch, tag or commit on the hub.
        workspace: Where the cache is. What ``load_dataset`` converts out of a folder goes there;
            what it gets from the hub goes where the library keeps such things.

    Raises:
        TaskError: The folder is not there or holds no dataset.
        DownloadError: The hub can't be reached, or has no such dataset.
        HearError: The library isn't installed.
    """
    library = datasets_library()
    folder = user_path(source)
    if not folder.is_dir():
        if folder.exists():
            raise TaskError(f"{source} is a file; a dataset is named by its folder.")
        if not _may_be_on_the_hub(source):
            raise TaskError(
                f"{source!r}: there is no such folder, and a dataset on the hub is named "
                "OWNER/NAME.",
                code="not_found",
            )
        return _from_hub(library, source, config, revision)
    if revision is not None:
        raise TaskError(f"{source} is a folder; only datasets on the hub have revisions.")
    saved = any((folder / name).is_file() for name in _SAVED)
    if saved and config is not None:
        raise TaskError(f"{source} was written by save_to_disk and has no configurations.")
    try:
        if saved:
            found = library.load_from_disk(str(folder))
        else:
            converted = workspace.path("huggingface")
            found = _loaded(library, str(folder), name=config, cache_dir=str(converted))
    except Exception as error:
        # Of what is damaged or empty the library raises all kinds.
        raise TaskError(f"{source} can't be read as a dataset: {_said(error)}") from error
    return _by_name(found, source)


def _may_be_on_the_hub(source: str) -> bool:
    parts = source.split("/")
    return len(parts) <= 2 and all(parts) and not source.startswith((".", "~"))


def _from_hub(
    library: ModuleType, source: str, config: str | None, revision: str | None
) -> dict[str, Dataset]:
    try:
        found = _loaded(library, source, name=config, revision=revision)
    except (OSError, ValueError, RuntimeError, library.exceptions.DatasetsError) as error:
        raise DownloadError(
            f"The dataset {source!r} can't be had from the hub: {_said(error)} There is no folder "
            "of that name either.",
            code="not_found",
        ) from error
    return _by_name(found, source)


def _loaded(library: ModuleType, path: str, **where: str | None) -> object:
    """``load_dataset``, which for loose audio files wants torchcodec that nothing here needs."""
    builder = library.load_dataset_builder(path, **where)
    if not isinstance(builder, library.GeneratorBasedBuilder):
        return library.load_dataset(path, **where)
    # The library encodes each row of such a dataset by its column's type, although its audio is
    # encoded already; so it gets a type that leaves it as it is.
    kinds = next(iter(builder.as_streaming_dataset().values())).features or {}
    as_stored = _as_stored(library)
    features = {
        name: as_stored(decode=False) if isinstance(kind, library.Audio) else kind
        for name, kind in kinds.items()
    }
    return library.load_dataset(path, features=library.Features(features) or None, **where)


def _as_stored(library: ModuleType) -> Any:
    class AsStored(library.Audio):  # type: ignore[name-defined, misc]
        """Audio that is never encoded again."""

        def encode_example(self, value: Any) -> dict[str, Any]:
            """Gives the content or the path, whichever exists."""
            if isinstance(value, bytes):
                return {"bytes": value, "path": None}
            if isinstance(value, Mapping):
                return {"bytes": value.get("bytes"), "path": value.get("path")}
            return {"bytes": None, "path": str(value)}

    return AsStored


def _said(error: BaseException) -> str:
    """The text of an error and, where it only says that something failed, that of its cause."""
    told = [error]
    while (cause := told[-1].__cause__) is not None:
        told.append(cause)
    texts = (" ".join(str(item).split()).rstrip(".") or type(item).__name__ for item in told)
    return f"{': '.join(dict.fromkeys(texts))}."


def _by_name(found: object, source: str) -> dict[str, Dataset]:
    splits = found if isinstance(found, Mapping) else {"train": found}
    if not splits:
        raise TaskError(f"{source} holds no split.")
    return dict(splits)


def identity_of(splits: Mapping[str, Dataset], column: str) -> str:
    """Digest that stands for the content of a column, without reading it.

    The library keeps a fingerprint of every split's content: written by ``save_to_disk``, else
    made of the files' places, times and commits.
    """
    return digest_json(
        {
            "column": column,
            "splits": [
                # Underscored, but documented: the only name that it has.
                [name, split._fingerprint, split.num_rows]  # noqa: SLF001
                for name, split in sorted(splits.items())
            ],
        }
    )
