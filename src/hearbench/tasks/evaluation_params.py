"""Changes of the protocol by ``evaluation_params`` in a task's metadata.

Source: the metadata of the published tasks (Turian et al., "HEAR: Holistic Evaluation of Audio
Representations", PMLR 176, 2022). The keys of both grids are the published code's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hearbench.errors import TaskError

__all__ = [
    "PARAM_GRID",
    "POSTPROCESSING_GRID",
    "BatchSize",
    "Dropout",
    "EvaluationParams",
    "HiddenDim",
    "HiddenLayers",
    "Initialization",
    "LearningRate",
    "ParamGrid",
    "PostprocessingGrid",
    "Whole",
    "evaluation_params",
]

HiddenLayers = Annotated[int, Field(ge=0, le=16)]
HiddenDim = Annotated[int, Field(ge=1, le=1 << 20)]
Initialization = Literal["uniform", "normal"]
LearningRate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
# Larger ones are slips, and don't fit the integers and floats that they are counted with.
Whole = Annotated[int, Field(ge=1, le=10**9)]
BatchSize = Annotated[int, Field(ge=2, le=10**9)]

# The keys of both grids.
PARAM_GRID = "task_specific_param_grid"
POSTPROCESSING_GRID = "event_postprocessing_grid"

_LengthMs = Annotated[int | float, Field(ge=0, allow_inf_nan=False)]

# Combinations of a task's values; they multiply with those of the protocol.
_MOST_POINTS = 10_000

T = TypeVar("T")
_Values = Annotated[
    list[T],
    BeforeValidator(lambda value: list(value) if isinstance(value, tuple) else value),
    Field(min_length=1),
]


class _Grid(BaseModel):
    # Strict, as JSON's true would be the number 1 otherwise and a text might be a number.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PostprocessingGrid(_Grid):
    """The ways from frames to events that are tried; all of their combinations.

    Attributes:
        median_filter_ms: Lengths of the median filter, 0 for none.
        min_duration: Shortest events that are kept, in ms.
    """

    # As in the published code, where a grid leaves one of them out.
    median_filter_ms: _Values[_LengthMs] = [150.0]
    min_duration: _Values[_LengthMs] = [60.0]


class ParamGrid(_Grid):
    """The hyperparameters that a task changes: the values that points are drawn from.

    Attributes:
        hidden_layers: Numbers of hidden layers.
        hidden_dim: Widths of the hidden layers.
        dropout: Shares of units that are dropped.
        lr: Learning rates.
        patience: Validations without improvement after which it stops.
        max_epochs: Most epochs.
        check_val_every_n_epoch: Epochs between validations.
        batch_size: Examples per step; one value.
        initialization: Xavier's, uniform or normal.
        norm_after_activation: What there is: normalisation comes before the activation.
    """

    hidden_layers: _Values[HiddenLayers] | None = None
    hidden_dim: _Values[HiddenDim] | None = None
    dropout: _Values[Dropout] | None = None
    lr: _Values[LearningRate] | None = None
    patience: _Values[Whole] | None = None
    max_epochs: _Values[Whole] | None = None
    check_val_every_n_epoch: _Values[Whole] | None = None
    batch_size: Annotated[_Values[BatchSize], Field(max_length=1)] | None = None
    initialization: _Values[Initialization] | None = None
    norm_after_activation: _Values[Literal[False]] | None = None

    @model_validator(mode="after")
    def _can_be_tried(self) -> ParamGrid:
        if math.prod(len(values) for values in self.values().values()) > _MOST_POINTS:
            raise ValueError(f"its values have more than {_MOST_POINTS} combinations")
        epochs, every = self.max_epochs, self.check_val_every_n_epoch
        if epochs and every and min(epochs) < max(every):
            raise ValueError(
                f"with max_epochs {min(epochs)} and check_val_every_n_epoch {max(every)} there "
                "would be no validation"
            )
        return self

    def values(self) -> dict[str, list[Any]]:
        """The lists that are given, by the names of a grid point's fields."""
        names = {"check_val_every_n_epoch": "check_every"}
        given = self.model_dump(exclude_none=True, exclude={"norm_after_activation"})
        return {names.get(name, name): values for name, values in given.items()}


class EvaluationParams(BaseModel):
    """Changes of the protocol that a task asks for; other keys are ignored.

    Attributes:
        event_postprocessing_grid: Values to try in postprocessing of events; None for the default.
        task_specific_param_grid: Values of the grid that the task changes; None changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    event_postprocessing_grid: PostprocessingGrid | None = None
    task_specific_param_grid: ParamGrid | None = None


def evaluation_params(
    values: Mapping[str, Any] | None,
    keys: Collection[str] = (PARAM_GRID, POSTPROCESSING_GRID),
) -> EvaluationParams:
    """Reads ``evaluation_params``.

    Args:
        values: What the task's metadata hold.
        keys: The grids that are looked at.

    Raises:
        TaskError: A grid has other keys, or values that can't be.
    """
    given = {key: value for key, value in (values or {}).items() if key in keys}
    try:
        return EvaluationParams.model_validate(given)
    except ValidationError as error:
        listed = [_problem(item["loc"], item["type"], item["msg"]) for item in error.errors()]
        raise TaskError(f"evaluation_params: {'; '.join(listed)}.") from error


def _problem(place: tuple[int | str, ...], kind: str, message: str) -> str:
    where = ".".join(map(str, place))
    if kind == "extra_forbidden":
        grid = PostprocessingGrid if place[0] == POSTPROCESSING_GRID else ParamGrid
        return f"{where} can't be set by a task, only {', '.join(sorted(grid.model_fields))}"
    return f"{where}: {message.removeprefix('Value error, ')}"
