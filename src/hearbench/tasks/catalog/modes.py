"""What is particular to the modes of a task, and the kinds of values in a task's file."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    model_validator,
)

from hearbench.records import Record
from hearbench.tasks.catalog.downloads import Download, Text, check_downloads
from hearbench.tasks.spec import is_plain_name
from hearbench.tasks.splits import TRAIN_VALID_TEST

__all__ = ["Downloads", "Flag", "Folds", "ModeSpec", "PlainName", "Positive", "TfdsSource"]


def _plain(text: str) -> str:
    if not is_plain_name(text):
        raise ValueError(
            f"{text!r} can't be part of a folder's name; use letters, digits and _ . + -"
        )
    return text


def _max_duration(value: Any) -> Any:
    # By hand, as pydantic would complain about a union once for each of its members.
    numbers = value.values() if isinstance(value, dict) else [value]
    for number in numbers:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not (is_number and 0 < number < math.inf):
            raise ValueError(f"a duration is a positive number of seconds, not {number!r}")
    if isinstance(value, dict) and (not value or not set(value) <= set(TRAIN_VALID_TEST)):
        raise ValueError(
            f"it has numbers for train, valid or test, not for {sorted(map(str, value))}"
        )
    return value


# Strict, because a TOML file that says "5" where 5 is meant, or true for 1, is wrong.
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Strict(), Field(ge=0, le=100)]
Count = Annotated[int, Strict(), Field(ge=1)]
Folds = Annotated[int, Strict(), Field(ge=3, le=100)]
Flag = Annotated[bool, Strict()]
PlainName = Annotated[str, AfterValidator(_plain)]
SplitName = Literal["train", "valid", "test"]
MaxDuration = Annotated[float | dict[SplitName, float], BeforeValidator(_max_duration)]
Downloads = Annotated[tuple[Download, ...], AfterValidator(check_downloads)]


class TfdsSource(Record):
    """The TensorFlow dataset that a task was exported from.

    Attributes:
        name: Name of the dataset.
        version: Its version.
        splits: Its splits that were exported.
    """

    name: PlainName
    version: PlainName
    splits: Annotated[tuple[Text, ...], Field(min_length=1)]


class ModeSpec(Record):
    """What is particular to one mode of a task; whatever is None is as in the task.

    Attributes:
        sample_duration_s: Length in seconds that every clip is brought to.
        nfolds: Number of folds.
        split_percentage: Percentages of train, valid and test, where splits are cut out of
            train; None for 80, 10 and 10.
        max_duration_s: Total duration in seconds that is kept of every fold, or of each of
            train, valid and test by name; without one, all is kept.
        downloads: The files of this mode's corpus.
        clips: Number of clips in all splits together, where it is known.
        hours: Total duration of the audio as published, where clips differ in length.
        leaderboard: Column of the benchmark's table of results that it is.
    """

    sample_duration_s: Positive | None = None
    nfolds: Folds | None = None
    split_percentage: dict[SplitName, Percent] | None = None
    max_duration_s: MaxDuration | None = None
    downloads: Downloads | None = None
    clips: Count | None = None
    hours: Positive | None = None
    leaderboard: Text | None = None

    @model_validator(mode="after")
    def _percentages(self) -> ModeSpec:
        given = self.split_percentage
        if given is None:
            return self
        if set(given) != set(TRAIN_VALID_TEST) or not given["train"]:
            raise ValueError("split_percentage has numbers for train (not 0), valid and test")
        if not math.isclose(sum(given.values()), 100):
            raise ValueError(
                f"split_percentage adds up to {sum(given.values()):g}, where it should be 100"
            )
        return self
