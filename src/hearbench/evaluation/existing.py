"""Results that exist already: from which inputs they were made, and whether they are kept.

A result that was made from the same inputs is kept; one that was made from others is never
replaced unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hearbench.errors import ResultError
from hearbench.locks import lock_beside, one_after_another
from hearbench.results.aggregate import mean_std, same_number
from hearbench.results.damage import damaged_files, note_file
from hearbench.sums import note_if_none
from hearbench.tasks.inventory import tell_damaged

if TYPE_CHECKING:
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.results import UntrainedResult
    from hearbench.models.fingerprint import Fingerprint
    from hearbench.probe.protocol import Protocol
    from hearbench.progress import Progress
    from hearbench.results import Result

__all__ = ["Inputs", "alone_in", "differences_of_training", "existing", "result_folder"]

R = TypeVar("R")

_REMEDY = (
    "Nothing was changed. Choose --name or another --out to keep both, or --overwrite to replace "
    "it."
)


@dataclass(frozen=True)
class Inputs:
    """The embeddings from which a result is made.

    Attributes:
        model: Digest of the model, with what its function reads when it is called.
        fingerprint: What the model makes of a fixed signal; None if that isn't known.
        task: Digest of the task at the model's rate.
        dtype: Type of the embeddings on disk.
    """

    model: str
    fingerprint: Fingerprint | None
    task: str
    dtype: str

    @classmethod
    def of(cls, store: EmbeddingStore) -> Inputs:
        """The embeddings of a store that are scored."""
        manifest = (store.test or store).manifest
        made_from = manifest.model.called_digest or manifest.model.digest
        return cls(made_from, manifest.model.fingerprint, manifest.task.digest, manifest.dtype)

    def differences(self, result: Result | UntrainedResult) -> list[str]:
        """In what a result was made from other embeddings, in words."""
        found = result.model.differences(self.model, self.fingerprint)
        if result.task.digest != self.task:
            found.append("other content of the task")
        if result.embeddings.dtype != self.dtype:
            found.append(f"embeddings in {result.embeddings.dtype} instead of {self.dtype}")
        return found


def differences_of_training(
    result: Result, protocol: Protocol, seed: int, precision: str
) -> list[str]:
    """In what a result was trained differently, in words.

    Args:
        protocol: The protocol as it is applied to the task.
        precision: Precision of the matrix products.
    """
    found = []
    if not result.protocol.trains_as(protocol, result.primary_score):
        same_name = result.protocol.name == protocol.name
        more = " of other content" if same_name else f" instead of {protocol.name}"
        found.append(f"the protocol {result.protocol.name}{more}")
    if _follows_earlier_rule(result):
        found.append("an earlier version's rule for undefined scores")
    if result.seed != seed:
        found.append(f"seed {result.seed} instead of {seed}")
    if result.precision != precision:
        found.append(f"training in {result.precision} instead of {precision}")
    return found


def _follows_earlier_rule(result: Result) -> bool:
    """Tells whether undefined scores were treated as by earlier versions, so that scores differ."""
    # Nothing was left of a grid point with an undefined validation, and no mean with such a fold.
    if any(each.ended == "undefined_score" and not each.best_epoch for each in result.grid):
        return True
    return not all(
        same_number(summary.mean, mean_std(list(summary.per_fold.values()))[0])
        for summary in result.scores.values()
    )


def result_folder(out: Path, model: str, task: str) -> Path:
    """``out/<model>/<task>``.

    Raises:
        ResultError: The name of the model or task can't be a folder's.
    """
    for part in (model, task):
        if not part or part.startswith(".") or set(part) & {"/", "\\", "\0"}:
            raise ResultError(f"{part!r} can't be the name of a result's folder.")
    return out / model / task


@contextmanager
def alone_in(folder: Path, progress: Progress) -> Iterator[None]:
    """Keeps other processes out of a result's folder while the block runs; waits for them.

    Args:
        folder: ``out/<model>/<task>``, which need not exist.
        progress: Receives a line that says who is in there, if another process is.
    """
    with one_after_another(lock_beside(folder), f"writing {folder}", progress.line):
        yield


def existing(
    path: Path,
    read: Callable[[Path], R],
    differences: Callable[[R], Sequence[str]],
    *,
    overwrite: bool,
) -> R | None:
    """The result that is in a file already, if it was made from the same inputs.

    None if there is none, a damaged one, or one from other inputs that is to be overwritten.

    Args:
        differences: Says in what it was made from something else than what is wanted now.
        overwrite: Whether to replace it then.

    Raises:
        ResultError: It can't be read, or was made from something else, and isn't to be replaced.
    """
    if not path.exists():
        return None
    damaged = damaged_files(path.parent, path.name)
    broken = [path.parent / name for name in damaged]
    if path.name in damaged:
        # What it was made from can't be told.
        tell_damaged(broken, "evaluated again")
        return None
    try:
        result = read(path)
    except ResultError as error:
        if overwrite:
            return None
        raise ResultError(f"{error} {_REMEDY}") from error
    found = differences(result)
    if found and overwrite:
        return None
    if found:
        raise ResultError(
            f"{path} holds a result that was made from other inputs: {', '.join(found)}. {_REMEDY}",
            code="would_overwrite",
        )
    if damaged:
        tell_damaged(broken, "evaluated again")
        return None
    note_if_none(path.parent, lambda: note_file(path.parent, path.name))
    return result
