"""Tasks on disk: loading, checking, resampling and preparing them."""

from hearkit.tasks.archives import unpack_archive
from hearkit.tasks.clips import Clip, Event, Label
from hearkit.tasks.from_csv import prepare_from_csv
from hearkit.tasks.prepare import prepare_task
from hearkit.tasks.recipe import Recipe
from hearkit.tasks.spec import TaskMetadata
from hearkit.tasks.store import FoldSplit, PreparedTask, load_task, with_rate

__all__ = [
    "Clip",
    "Event",
    "FoldSplit",
    "Label",
    "PreparedTask",
    "Recipe",
    "TaskMetadata",
    "load_task",
    "prepare_from_csv",
    "prepare_task",
    "unpack_archive",
    "with_rate",
]
