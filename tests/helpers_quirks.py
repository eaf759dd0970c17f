"""Models that do things their own way, and must run all the same."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

TESTS = Path(__file__).resolve().parent
QUIRKY, BAD = TESTS / "quirky_models", TESTS / "bad_models"


@dataclass(frozen=True)
class Quirk:
    """A model of one of the folders.

    Attributes:
        name: Of its file, or its import name.
        folder: Where it is.
        options: Of its ``load_model``.
        needs_checkpoint: Whether it wants a file.
        warns: What the validator must warn of.
        error: What it must call an error, as the original one did.
    """

    name: str
    folder: Path = QUIRKY
    options: Mapping[str, Any] = field(default_factory=dict)
    needs_checkpoint: bool = False
    warns: tuple[str, ...] = ()
    error: tuple[str, ...] = ()

    @property
    def is_package(self) -> bool:
        return "." in self.name

    @property
    def spec(self) -> str:
        """What a user calls it; a package has to be where Python finds it."""
        return self.name if self.is_package else str(self.folder / f"{self.name}.py")


# Those whose fault is also one that the validator warns of are among the bad models.
QUIRKS = [
    Quirk("plain"),
    Quirk("path_required"),
    Quirk("model_path"),
    Quirk("more_arguments", options={"device": "cpu", "layer": "3", "frame_length": "1024"}),
    Quirk("pickled_checkpoint", needs_checkpoint=True),
    Quirk("levels.base"),
    Quirk("levels.base2level"),
    Quirk("moves_itself"),
    Quirk("timestamps_elsewhere"),
    Quirk("list_of_two"),
    Quirk("writes_into_audio"),
    Quirk("long_window"),
    Quirk("whole_windows_only", warns=("timestamp-start", "timestamp-end")),
    Quirk("normalises_the_clip"),
    # A recurrent layer with the batch first returns what lies the other way.
    Quirk("remembers", warns=("return-types",)),
    Quirk("int64_timestamps", BAD, warns=("return-types",)),
    Quirk("float64_timestamps", BAD, warns=("return-types",)),
    Quirk("numpy_embeddings", BAD, warns=("return-types",)),
    Quirk("batch_norm_in_training", BAD, warns=("batch-independence",)),
    Quirk("scene_changes_state", BAD, warns=("state",)),
    Quirk("size_numpy", BAD, error=("timestamp-size",)),
]


def write_checkpoint(folder: Path) -> Path:
    """A checkpoint that holds an object of a class beside its tensors."""
    path = folder / "checkpoint.pt"
    state = {"weights": torch.linspace(-1.0, 1.0, 8)}
    torch.save({"arguments": argparse.Namespace(frame=1024), "state": state}, path)
    return path
