"""Reading a task's TOML file, and saying what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from hearbench.errors import TaskError
from hearbench.files import SYNTAX_ERRORS
from hearbench.registry import did_you_mean
from hearbench.tasks.problems import Problems
from hearbench.toml import tomllib

__all__ = ["explain", "parse"]

_SHOWN = 20


def parse(text: str, source: str) -> dict[str, Any]:
    """The values of a TOML file; ``source`` names it in messages.

    Raises:
        TaskError: It is no TOML.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except SYNTAX_ERRORS as error:
        raise TaskError(f"The task file {source} is no TOML: {error}.") from error
    return values


def explain(
    error: ValidationError, source: str, models: Mapping[str, type[BaseModel]]
) -> TaskError:
    """All that is wrong with such a file in one error.

    Args:
        error: What pydantic says of its values.
        source: Names the file.
        models: The model below each key of a table, and that of the whole file below ``""``.
    """
    problems = Problems(examples=_SHOWN)
    for item in error.errors(include_url=False):
        place = item["loc"]
        key = ".".join(map(str, place))
        if item["type"] == "extra_forbidden":
            within = next((str(part) for part in place[-2::-1] if part in models), "")
            known = did_you_mean(str(place[-1]), list(models[within].model_fields))
            problems.add("unknown keys", f"{key}. {known}")
        elif item["type"] == "missing":
            problems.add("keys that are missing", key)
        else:
            message = item["msg"].removeprefix("Value error, ")
            problems.add("values", f"{key}: {message}" if key else message)
    return problems.error(f"The task file {source} can't be used; wrong are:", "Mend these.")
