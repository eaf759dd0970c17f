"""Published audio models by name, with what is known of each: one TOML file per family.

    zoo.recipes(domain="music", licence="mit")   # those that may be used so
    zoo.get("dasheng-base").hop_ms
    hearbench.evaluate("dasheng-base", "esc50")

A file holds facts and no code. What stands above its first ``[[models]]`` is of all models of the
family, unless a model says something else.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict, TypeAdapter, ValidationError, model_validator

from hearbench.errors import ModelError, UnknownNameError
from hearbench.files import SYNTAX_ERRORS
from hearbench.models.options import OptionValue
from hearbench.records import Record
from hearbench.registry import did_you_mean
from hearbench.toml import tomllib

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TRIED", "Recipe", "find", "get", "near", "read_family", "recipes", "to_frame"]

_SUFFIX = ".toml"

Domain = Literal["speech", "environment", "music"]
TRIED = ("random weights of the published class", "real weights of a package", "not run")
"""How far a recipe can have been tried with hearbench, in the words of the files."""


def _spec(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if (colon and not rest) or (scheme == "net" and ":" not in rest):
        raise ValueError(
            f"{text!r} is neither hf:ORG/NAME, nor net:PACKAGE.MODULE:FACTORY, nor an import name"
        )
    return text


def _tried(text: str) -> str:
    if text not in TRIED:
        raise ValueError(f"{text!r} is none of: {'; '.join(TRIED)}")
    return text


Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Count = Annotated[int, Strict(), Field(ge=1)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Recipe(Record):
    """A published model: how it is loaded, and the facts that its makers give.

    Attributes:
        name: What users call it.
        family: Models with the same architecture share one.
        title: Name of the family for people.
        about: What the model is, in a sentence.
        domains: Kinds of sound it was made for.
        paper: Address of the paper.
        trained_on: Data of its training.
        licence_code: Licence of the code; ``unknown`` where none is stated.
        licence_weights: Licence of the weights; ``unknown`` where none is stated.
        sources: Addresses of what was read for these facts.
        unchecked: Keys of facts that no source confirms.
        quirks: What to know before it is used.
        spec: What is loaded: ``hf:ORG/NAME``, an import name of a module with the HEAR API, or
            ``net:PACKAGE.MODULE:FACTORY`` for a network of a package. Empty where there is no way
            to load it by name.
        needs: What it would take to run it, where spec is empty.
        revision: Commit or tag of the checkpoint on the hub.
        trust_code: Whether the checkpoint brings code that has to be run.
        requirements: What pip installs into an environment for it; none where it runs beside
            hearbench.
        extras: Extras of hearbench that it needs there.
        python: Version of Python that the environment is made with, as ``3.11``; empty for
            hearbench's own.
        options: Options that it is loaded with.
        fetches: Address of what it downloads when it is loaded first.
        size_mb: Size of that download.
        weights_file: Whether it downloads nothing itself: users do, and name the file.
        sample_rate: In Hz.
        input: What the network takes.
        output: Which of its outputs are the embeddings.
        tokens: What a position of its output stands for.
        hop_ms: Time from one embedding to the next.
        first_ms: Time on which the first embedding is centred.
        layers: Number of its blocks.
        width: Size of an embedding.
        tried: How far the recipe was tried, as one of `TRIED`.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    family: Text
    title: Text
    about: Text
    domains: Annotated[tuple[Domain, ...], Field(min_length=1)]
    paper: str = ""
    trained_on: Text
    licence_code: Text
    licence_weights: Text
    sources: Annotated[tuple[Text, ...], Field(min_length=1)]
    unchecked: tuple[str, ...] = ()
    quirks: str = ""
    spec: Annotated[str, AfterValidator(_spec)]
    needs: str = ""
    revision: str = ""
    trust_code: Annotated[bool, Strict()] = False
    requirements: tuple[Text, ...] = ()
    extras: tuple[Text, ...] = ()
    python: Annotated[str, Field(pattern=r"^(3\.\d+)?$")] = ""
    options: dict[str, OptionValue] = Field(default_factory=dict)
    fetches: str = ""
    size_mb: Annotated[float, Field(gt=0)] | None = None
    weights_file: Annotated[bool, Strict()] = False
    sample_rate: Count
    input: Text
    output: Text
    tokens: Text
    hop_ms: Milliseconds | None = None
    first_ms: Milliseconds | None = None
    layers: Count | None = None
    width: Count | None = None
    tried: Annotated[str, AfterValidator(_tried)]

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        fields = type(self).model_fields
        wrong = [
            f"unchecked: there is no key {key!r}" for key in self.unchecked if key not in fields
        ]
        if "." in self.name and all(part.isidentifier() for part in self.name.split(".")):
            wrong.append(f"{self.name!r} could be the import name of a module")
        if bool(self.spec) == bool(self.needs):
            wrong.append("either spec says what is loaded, or needs why nothing is")
        if self.revision and not self.is_checkpoint:
            wrong.append("revision belongs to hf:; a git address in requirements has its own")
        if self.weights_file and not self.fetches:
            wrong.append("weights_file needs fetches, the address of the file")
        if self.python and not self.requirements:
            wrong.append("python belongs to requirements")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def needs_environment(self) -> bool:
        """Whether it runs in an environment of its own."""
        return bool(self.requirements)

    @property
    def is_checkpoint(self) -> bool:
        """Tells whether it is a checkpoint of transformers on the Hugging Face hub."""
        return self.spec.startswith("hf:")

    @property
    def loads(self) -> str:
        """What is loaded, with its revision: another form that `hearbench.load_model` takes."""
        return f"{self.spec}@{self.revision}" if self.revision else self.spec

    @property
    def all_options(self) -> dict[str, OptionValue]:
        """Options that it is loaded with, among them the facts that a network is described by."""
        if not self.spec.startswith("net:"):
            return self.options
        facts: dict[str, OptionValue] = {"sample_rate": self.sample_rate}
        if self.hop_ms is not None and self.first_ms is not None:
            facts |= {"hop_ms": self.hop_ms, "first_ms": self.first_ms}
        return {**facts, **self.options}

    @property
    def source(self) -> str:
        """Where its weights are fetched from, and how much is fetched, in a few words."""
        on_hub = f"huggingface.co/{self.spec.removeprefix('hf:')}"
        place = on_hub if self.is_checkpoint else self.fetches
        size = "" if self.size_mb is None else f" ({self.size_mb:g} MB)"
        return f"{place}{size}" if place else ""


def recipes(
    text: str = "",
    *,
    domain: str | None = None,
    licence: str | None = None,
    needs_environment: bool | None = None,
) -> list[Recipe]:
    """The models of the zoo, sorted by name.

    Args:
        text: Words of which each stands in its name, its family, its description or what it was
            trained on.
        domain: ``speech``, ``environment`` or ``music``.
        licence: Part of the name of the weights' licence, as ``cc-by``.
        needs_environment: Only those that run in an environment of their own, or only the others.

    Raises:
        UnknownNameError: There is no such domain.
    """
    domains = list(Domain.__args__)  # type: ignore[attr-defined]
    if domain is not None and domain not in domains:
        raise UnknownNameError(f"There is no domain {domain!r}. {did_you_mean(domain, domains)}")
    return [
        recipe
        for recipe in _all().values()
        if (domain is None or domain in recipe.domains)
        and (licence is None or licence.lower() in recipe.licence_weights.lower())
        and needs_environment in (None, recipe.needs_environment)
        and all(word in _searched(recipe) for word in text.lower().split())
    ]


def find(name: str) -> Recipe | None:
    """The model of a name, in upper or lower case; None where there is none."""
    return _all().get(name.lower())


def get(name: str) -> Recipe:
    """The model of a name.

    Raises:
        UnknownNameError: There is none.
    """
    recipe = find(name)
    if recipe is None:
        raise UnknownNameError(f"There is no model named {name!r}. {near(name)}")
    return recipe


def near(name: str) -> str:
    """A sentence that proposes names like one that isn't there, or says where all are shown."""
    proposal = did_you_mean(name, [recipe.name for recipe in _all().values()])
    # All names would fill the screen.
    if proposal.startswith("Known: "):
        return "`hearbench list models` shows the published models that are known by name."
    return proposal


def to_frame(models: Sequence[Recipe] | None = None) -> pd.DataFrame:
    """A row per model with all of its facts; by default of all models."""
    import pandas as pd

    rows = [recipe.model_dump(mode="json") for recipe in (recipes() if models is None else models)]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=list(Recipe.model_fields))
    return frame


def read_family(path: str | Path) -> list[Recipe]:
    """The models of a family's file.

    Raises:
        ModelError: The file can't be read, or facts are missing, unknown or contradict each
            other; the message names all of them.
    """
    try:
        return _parse(Path(path).read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The model file {path} can't be read: {error}.") from error


def _parse(text: str, source: str) -> list[Recipe]:
    try:
        family: dict[str, Any] = tomllib.loads(text)
    except SYNTAX_ERRORS as error:
        raise ModelError(f"The model file {source} is no TOML: {error}.") from error
    models = family.pop("models", [])
    try:
        return _RECIPES.validate_python([{**family, **own} for own in models])
    except ValidationError as error:
        lines = [f"The model file {source} can't be used:"]
        for item in error.errors(include_url=False):
            i, *place = item["loc"]
            name = models[i].get("name", f"no. {int(i) + 1}")
            lines.append(f"- {': '.join([str(name), *map(str, place), item['msg']])}")
        raise ModelError("\n".join(lines)) from error


_RECIPES = TypeAdapter(list[Recipe])


@functools.cache
def _all() -> dict[str, Recipe]:
    """All models by their names in lower case, sorted."""
    folder = files(__name__)
    found = [
        recipe
        for file in folder.iterdir()
        if file.name.endswith(_SUFFIX)
        for recipe in _parse(file.read_text(encoding="utf-8"), file.name)
    ]
    names = Counter(recipe.name.lower() for recipe in found)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise ModelError(f"Several models of the zoo are named {', '.join(twice)}.")
    return {recipe.name.lower(): recipe for recipe in sorted(found, key=lambda one: one.name)}


def _searched(recipe: Recipe) -> str:
    texts = (recipe.name, recipe.family, recipe.title, recipe.about, recipe.trained_on)
    return " ".join(texts).lower()
