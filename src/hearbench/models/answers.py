"""What the process of a model may answer, by command.

The process runs the model's code, which can write anything into the answers. Whoever reads one
finds every key that is listed here, with a value of its type; what else is there is passed over.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FORMS", "Fault", "Form", "Violations"]


class Form(BaseModel):
    """What an answer must hold; here of a command whose reader looks for itself."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class Violations(Form):
    """What every answer has: the paths that the model asked for and mustn't read."""

    violations: list[str]


class Fault(Form):
    """Why a command failed.

    Attributes:
        missing: Module that wasn't found, if that is why.
        is_plain: Whether the text is a message to the model's user rather than a traceback.
    """

    text: str
    missing: str | None
    is_plain: bool


_Kind = Literal["positional", "either", "keyword", "args", "kwargs"]
_Type = Literal["str", "int", "float", "bool"]
# JSON has lists alone.
_Parameter = Annotated[tuple[str, _Kind, bool, _Type], Field(strict=False)]


class _Import(Form):
    missing: list[str]
    below: list[str]
    parameters: list[_Parameter] | None
    effects: dict[str, list[str]]
    random_digests: dict[str, str]
    watched: bool


class _Attribute(Form):
    there: bool
    type: str = ""
    repr: str = ""
    value: int | float | None = None


class _Sources(Form):
    folder: str = ""
    files: list[str] = []
    places: list[str] = []


class _Load(Form):
    kind: str
    device: str
    seconds: float
    attributes: dict[str, _Attribute]
    layer_functions: list[Literal["get_scene_layers", "get_timestamp_layers"]]
    embeds_text: bool
    sources: _Sources
    versions: dict[str, str]
    n_weights: int
    notes: list[str]


class _Returned(Form):
    kind: str | None
    roots: list[str]


class _Gradients(Form):
    requires_grad: bool


class _Memory(Form):
    resident_mb: float | None
    device_mb: float | None


class _Reads(Form):
    files: list[str]
    variables: dict[str, str | None]
    packages: dict[str, list[str]]
    unseen: list[str]


FORMS: dict[str, type[Form]] = {
    "import": _Import,
    "load": _Load,
    "returned": _Returned,
    "gradients": _Gradients,
    "memory": _Memory,
    "reads": _Reads,
}
"""By command; the arrays of a call are compared with what lies in their places instead."""
