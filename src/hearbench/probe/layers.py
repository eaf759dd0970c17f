"""Probes that learn from several layers of a model or from a clip's frames.

What they find out about the layers is a record; where they can't be trained is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from hearbench.errors import ProbeError, UnsuitableTaskError
from hearbench.records import Number, Record
from hearbench.tasks.task_type import EVENT

if TYPE_CHECKING:
    from hearbench.probe.protocol import Protocol
    from hearbench.tasks.store import PreparedTask

__all__ = ["LayersRecord", "check_reading"]


class LayersRecord(Record):
    """The layers of a model that a probe learned from.

    Attributes:
        numbers: Numbers of the layers, ascending.
        chosen: The layer with the best validation, where each was probed by itself; else null.
        weights: Weights of the layers, which add up to 1, by test split, where a probe learned
            from their weighted sum; else empty.
    """

    numbers: tuple[int, ...] = Field(min_length=1)
    chosen: int | None = None
    weights: dict[str, tuple[Number, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_numbers(self) -> LayersRecord:
        if self.chosen is not None and self.chosen not in self.numbers:
            raise ValueError(f"layer {self.chosen} was chosen of {self.numbers}")
        for split, weights in self.weights.items():
            if len(weights) != len(self.numbers):
                raise ValueError(f"{len(weights)} weights of {len(self.numbers)} layers ({split})")
        return self


def check_reading(protocol: Protocol, task: PreparedTask) -> None:
    """Refuses tasks whose embeddings a protocol can't read, and protocols that learn no weights.

    Raises:
        UnsuitableTaskError: Frames would be summed that have labels of their own.
        ProbeError: Weights would have to be learned without training.
    """
    if protocol.reads == "attentive" and task.task_type is EVENT:
        raise UnsuitableTaskError(
            f"{task.name} is {task.task_type.noun}, whose frames have labels of their own. "
            f"{protocol.name} sums the frames of a clip and is for scene tasks; choose another "
            "protocol for this task."
        )
    if protocol.neighbours and protocol.reads in ("weighted", "attentive"):
        raise ProbeError(
            f"{protocol.name} trains no network with which weights could be learned. Use a "
            f"protocol that does, such as {protocol.reads}:linear."
        )
