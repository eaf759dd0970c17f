"""What a ``card.toml`` beside results says a model was trained on."""

from __future__ import annotations

from pathlib import Path

from hearbench.errors import ResultError
from hearbench.files import SYNTAX_ERRORS
from hearbench.tasks.catalog import catalog_task, get_spec
from hearbench.tasks.training_sets import find_training_sets
from hearbench.toml import tomllib

__all__ = ["CARD_FILE", "declared_training_sets", "trained_on_test"]

CARD_FILE = "card.toml"
_MOST_BYTES = 1 << 20


def declared_training_sets(folder: Path) -> tuple[str, ...] | None:
    """The known training sets that a card in a model's folder of results names.

    The card needn't be whole: only its key ``training_sets`` is read.

    Returns:
        Their names; None if there is no card, or it doesn't say.

    Raises:
        ResultError: The card can't be read, or names a set that isn't known.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ResultError(f"{path} is larger than a card can be (1 MiB).")
        sets = tomllib.loads(path.read_text(encoding="utf-8")).get("training_sets")
        if sets is None:
            return None
        if not isinstance(sets, list) or not all(isinstance(each, str) for each in sets):
            raise ResultError(f'{path}: training_sets is a list of names, as ["AudioSet"].')
        return find_training_sets(sets)
    except OSError as error:
        raise ResultError(f"{path} can't be read: {error.strerror}.", code="io") from error
    except SYNTAX_ERRORS as error:  # of TOML and UTF-8, and names that aren't known
        raise ResultError(f"{path}: {error}") from error


def trained_on_test(folder: Path, task: str) -> str | None:
    """Why a model's training held a task's test data, by the card in its folder of results.

    Args:
        task: ``<name>-<version>-<mode>``.

    Returns:
        The reason in sentences; None if it didn't, or nothing is said of it.

    Raises:
        ResultError: See `declared_training_sets`.
    """
    known = catalog_task(task)
    sets = declared_training_sets(folder)
    if known is None or not sets:
        return None
    overlaps = get_spec(known[0].name).overlaps
    why = [
        f"{each.set}: {each.why}" for each in overlaps if each.how == "test" and each.set in sets
    ]
    return " ".join(why) or None
