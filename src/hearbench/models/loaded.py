"""What loading a model gives, wherever it runs, and where it may run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hearbench.errors import ModelError
from hearbench.models.engine import Engine
from hearbench.models.finding import NamedModel
from hearbench.models.options import OptionValue

__all__ = ["Interpreter", "Loaded", "Shown", "load_error"]

# What can't be counted in bytes by a system's limits.
_MOST_GB = float(1 << 33)


@dataclass(frozen=True)
class Interpreter:
    """Another Python that runs a model.

    Attributes:
        python: Its program, of 3.7 or later, with numpy and the model's framework.
        timeout_s: How long loading, or one call, may take before the process counts as hanging.
        sandbox: Whether it runs without a network, and sees only the files that it needs.
        memory_gb: What it may allocate, in GiB; None for any.
        readable: Further files and folders that it may read in a sandbox.
        hidden: Folders that it mustn't read, such as those of tasks, beside hearbench's cache.
        trust_code: Whether Python code that a checkpoint brings is run.

    Raises:
        ModelError: The time or the memory is no positive number that a system can count.
    """

    python: Path
    timeout_s: float = 1800.0
    sandbox: bool = False
    memory_gb: float | None = None
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    trust_code: bool = False

    def __post_init__(self) -> None:
        # A comparison with NaN is false.
        if not 0 < self.timeout_s <= threading.TIMEOUT_MAX:
            raise ModelError(f"--timeout {self.timeout_s}: a number of seconds above 0 is needed.")
        if self.memory_gb is not None and not 0 < self.memory_gb < _MOST_GB:
            raise ModelError(f"--model-memory {self.memory_gb}: a number of GiB above 0 is needed.")


@dataclass(frozen=True)
class Loaded:
    """A loaded model, before it is checked.

    Attributes:
        options: Keyword options as they were handed over.
        attributes: An object with the model's attributes.
        source_digest: Of the module's source.
        engine: What calls its functions.
        n_weights: How many numbers it has learned.
        notes: What results have to say of it, in sentences.
        environment: Versions of another interpreter and its frameworks; empty for this process.
        layer_functions: The functions that its module has for all layers at once.
        embeds_text: Whether it embeds text into the space of its scene embeddings.
    """

    options: Mapping[str, OptionValue]
    attributes: object
    source_digest: str
    engine: Engine
    n_weights: int
    notes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    layer_functions: tuple[str, ...] = ()
    embeds_text: bool = False


class Shown:
    """A value of the model's own class, of which only a text is known.

    Args:
        text: What its ``repr`` gave.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def load_error(named: NamedModel, weights: Path | None, text: str) -> ModelError:
    """The error of a ``load_model`` that fails, with the end of its traceback."""
    given = f" with {weights}" if weights else " without weights"
    return ModelError(f"{named.name}: load_model fails{given}:\n{text}")
