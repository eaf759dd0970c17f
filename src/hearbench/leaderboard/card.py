"""``card.toml``: what a team says about its model, as the submission form asked for it.

What can be measured isn't asked for: parameters, sizes and the tasks that were run are read off
the model and its results.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from hearbench.errors import ResultError
from hearbench.files import SYNTAX_ERRORS
from hearbench.leaderboard.cells import model_problem, text_problem, url_problem
from hearbench.leaderboard.letters import invisible_letter
from hearbench.records import Record
from hearbench.results.declared import CARD_FILE
from hearbench.tasks.training_sets import find_training_sets
from hearbench.toml import tomllib

__all__ = ["CARD_FILE", "Card", "Pretraining"]

_MOST_BYTES = 1 << 20
_SKELETONS_URL = "https://example.org/where-the-model-is-described"

Pretraining = Literal["speech", "broad", "music", "none"]


def _fits(*checks: Callable[[str], str | None]) -> AfterValidator:
    def check(text: str) -> str:
        text = text.strip()
        for problem in (one(text) for one in checks):
            if problem:
                raise ValueError(problem)
        return text

    return AfterValidator(check)


def _printable(text: str) -> str | None:
    return _seen(text, joining=False)


def _readable(text: str) -> str | None:
    """Checks running text of several lines as `_printable` does a line."""
    return _seen("".join(c for c in text if c not in "\n\r\t"), joining=True)


def _seen(text: str, *, joining: bool) -> str | None:
    hidden = invisible_letter(text, joining=joining)
    if hidden is None:
        return None
    return f"has a character that can't be seen (U+{ord(hidden):04X}), or that hides others"


def _filled_in(text: str) -> str:
    if text.strip().startswith("<") or text.strip() == _SKELETONS_URL:
        raise PydanticCustomError("placeholder", "is still a placeholder")
    return text


def _all_filled_in(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        _filled_in(text)
    return texts


Line = Annotated[str, Field(min_length=1, max_length=300), _fits(_printable)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=80),
    AfterValidator(_filled_in),
    _fits(text_problem, model_problem),
]
Address = Annotated[str, Field(max_length=500), _fits(text_problem, url_problem)]
Text = Annotated[
    str,
    Field(min_length=1, max_length=20_000),
    AfterValidator(_filled_in),
    _fits(_readable),
]
TrainingSets = Annotated[
    tuple[str, ...], AfterValidator(_all_filled_in), AfterValidator(find_training_sets)
]


class Card(Record):
    """A model and who made it.

    Attributes:
        format_version: Version of this layout.
        model: Name on the leaderboard.
        team: Name of the team that submits.
        authors: Names of the authors.
        url: Web address of the model's description, which the leaderboard links to.
        paper: Web address of a paper; may be empty.
        description: What the model is and how it was trained.
        pretraining: Kind of audio that the model has learned from.
        pretraining_data: Datasets that it has learned from.
        training_sets: Known training sets that it has learned from, by name or alias; none of
            them if it is empty, and not declared if it is missing.
        api: Import name of the module with the HEAR API.
        options: Keyword options of its ``load_model``.
        weights_url: Web address of the weights; empty for a model that brings its own.
        licence: SPDX name of the code's licence.
        weights_licence: SPDX name of the weights' licence; may be empty.
        missing: Reasons why tasks weren't run, by names of tasks or columns.
    """

    format_version: Literal[1] = 1
    model: Name
    team: Annotated[Line, AfterValidator(_filled_in)]
    authors: Annotated[
        tuple[Line, ...],
        Field(min_length=1, max_length=200),
        # Of all together, so that there is one message however many names are placeholders.
        AfterValidator(_all_filled_in),
    ]
    url: Annotated[Address, Field(min_length=1), AfterValidator(_filled_in)]
    paper: Address = ""
    description: Text
    pretraining: Pretraining
    pretraining_data: Annotated[
        str, Field(max_length=5000), AfterValidator(_filled_in), _fits(_readable)
    ] = ""
    training_sets: TrainingSets | None = None
    api: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?$", max_length=200)]
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    weights_url: Address = ""
    licence: Line
    weights_licence: Annotated[str, Field(max_length=300), _fits(_printable)] = ""
    missing: dict[Line, Line] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Card:
        """Reads a card.

        Raises:
            ResultError: It doesn't exist, isn't TOML, or says something that can't be; the message
                names the key.
        """
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise ResultError(f"{path} is larger than a card can be (1 MiB).")
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ResultError(
                f"{path} can't be read: {error.strerror}. `hearbench init-model` writes a card to "
                "fill in.",
                code="io",
            ) from error
        except SYNTAX_ERRORS as error:  # of TOML, and of UTF-8
            raise ResultError(f"{path} isn't a TOML file: {error}.") from error
        return cls.from_content(content, str(path))

    @classmethod
    def from_content(cls, content: object, where: str) -> Card:
        """Checks what a card says.

        Args:
            where: Its file, for messages.

        Raises:
            ResultError: It says something that can't be; the message names the key.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            text = "; ".join(_problems(error))
            raise ResultError(f"{where}: {text}{'' if text[-1] in '.?' else '.'}") from error


def _problems(error: ValidationError) -> list[str]:
    found, placeholders = [], []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        text = item["msg"].removeprefix("Value error, ")
        if item["type"] == "placeholder":
            placeholders.append(place)
            continue
        if item["type"] == "missing":
            text = "is missing"
        elif item["type"] == "extra_forbidden":
            known = ", ".join(Card.model_fields)
            text = f"is no key of a card; there are {known}"
        elif item["type"] in ("too_short", "string_too_short"):
            text = "is empty; fill it in"
        found.append(f"{place} {text[0].lower()}{text[1:]}")
    if len(placeholders) == 1:
        found.append(f"{placeholders[0]} is still the skeleton's placeholder; fill it in")
    elif placeholders:
        keys = f"{', '.join(placeholders[:-1])} and {placeholders[-1]}"
        found.append(f"{keys} are still the skeleton's placeholders; fill them in")
    return found
