"""Naming a model so that any process can load it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearbench.models.loaded import Interpreter
    from hearbench.models.model import Model
    from hearbench.models.options import OptionValue
    from hearbench.workspace import Workspace

__all__ = ["MODEL_DTYPES", "ModelRef"]

MODEL_DTYPES = ("float32", "bfloat16", "float16")
"""Precisions of a model's own computation, by their names in torch; the first is the default."""


@dataclass(frozen=True)
class ModelRef:
    """A model by name, with all that loading it takes; it can be compared and pickled.

    Attributes:
        spec: Import name, path of a ``.py`` file, or another form that `load_model` takes.
        weights: File or folder that the module's own ``load_model`` gets.
        options: Further keywords of the module's ``load_model``, as pairs.
        host: Another Python that runs the model; None for the process that loads it.
    """

    spec: str
    weights: str | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()
    host: Interpreter | None = None

    def load(self, workspace: Workspace) -> Model:
        """Loads the model.

        Raises:
            ModelError: It can't be loaded.
        """
        from hearbench.models.loading import load_model

        return load_model(
            self.spec,
            self.weights,
            workspace=workspace,
            interpreter=self.host,
            **dict(self.options),
        )
