"""Five small tasks, from synthesised clips through the package's own preparation.

==========  =====================================  ==========  =========================
task        what is asked                          splits      scores
==========  =====================================  ==========  =========================
notes       which of 24 pitches a note has         train,      pitch_acc, chroma_acc
                                                   valid, test
strokes     which of 6 drums is struck             3 folds     top1_acc, mAP, aucroc
layers      which of 5 textures sound, together    train,      mAP, aucroc
                                                   valid, test
pitch       what frequency a note has, in Hz       train,      r2, pearson_r, ccc, mae
                                                   valid, test
yard        which of 4 sounds begins when, and     train,      event_onset_200ms_fms,
            how long it lasts                      valid, test segment_1s_er
==========  =====================================  ==========  =========================

Every clip is drawn from a generator named by its file, so the clips are the same on every run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.audio.encode import write_wav16
from hearbench.files import write_text
from hearbench.progress import SILENT
from hearbench.tasks.clips import Clip, Event, Value
from hearbench.tasks.parallel import in_threads
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.recipe import Recipe
from hearbench.workspace import Workspace

__all__ = [
    "DEMO_EVENT_CLIP",
    "DEMO_GRID_POINTS",
    "DEMO_ONLY",
    "DEMO_PROTOCOL",
    "DEMO_TASKS",
    "make_demo_tasks",
    "write_starter_model",
]

DEMO_PROTOCOL = "fast"
# Grid points of one hidden layer, as ``--only`` takes it.
DEMO_ONLY = ("hidden_layers=1",)
DEMO_GRID_POINTS = 1
"""The whole published protocol would take longer than a demo may."""
DEMO_EVENT_CLIP = "test-00.wav"
"""A test clip of the event task, the last one, to look at."""

SAMPLE_RATE = 44100
_VERSION, _MODE = "1.0.0", "demo"
_CLIPS = {"train": 6, "valid": 2, "test": 3}
_YARD = "yard"
_YARD_CLIPS = {"train": 8, "valid": 4, "test": 6}
_YARD_DURATION_S = 6.0
_YARD_EVENTS = 8


@dataclass(frozen=True)
class _Sound:
    """One clip to be synthesised."""

    filestem: str
    labels: tuple[str, ...]
    split: str | None
    make: Callable[[np.random.Generator], npt.NDArray[np.float64]]
    events: tuple[Event, ...] = ()
    values: tuple[Value, ...] = ()


def _notes() -> Iterator[_Sound]:
    from hearbench.demo.sounds import note

    for midi in range(48, 72):
        for split, count in _CLIPS.items():
            for i in range(count):
                yield _Sound(
                    f"{split}-{midi}-{i}",
                    (str(midi),),
                    split,
                    lambda rng, midi=midi: note(midi, 0.5, SAMPLE_RATE, rng),  # type: ignore[misc]
                )


def _pitches() -> Iterator[_Sound]:
    for sound in _notes():
        (midi,) = sound.labels
        hz = 440.0 * 2 ** ((int(midi) - 69) / 12)
        yield replace(sound, labels=(), values=(Value("pitch_hz", hz),))


def _strokes() -> Iterator[_Sound]:
    from hearbench.demo.sounds import STROKES, stroke

    for label in STROKES:
        for i in range(20):
            yield _Sound(
                f"{label}-{i:02d}",
                (label,),
                None,
                lambda rng, label=label: stroke(label, 0.4, SAMPLE_RATE, rng),  # type: ignore[misc]
            )


def _layers() -> Iterator[_Sound]:
    from hearbench.demo.sounds import LAYERS, mixture

    names = tuple(LAYERS)
    for split, count in _CLIPS.items():
        # Every subset of the five, the empty one too, some times.
        for subset in range(2 ** len(names)):
            labels = tuple(name for bit, name in enumerate(names) if subset >> bit & 1)
            for i in range(count):
                yield _Sound(
                    f"{split}-{'+'.join(labels) or 'none'}-{i}",
                    labels,
                    split,
                    lambda rng, labels=labels: mixture(  # type: ignore[misc]
                        labels, 0.5, SAMPLE_RATE, rng
                    ),
                )


def _yard() -> Iterator[_Sound]:
    from hearbench.demo.sounds import draw_events, soundscape

    for split, count in _YARD_CLIPS.items():
        for i in range(count):
            stem = f"{split}-{i:02d}"
            events = draw_events(
                _YARD_DURATION_S, _YARD_EVENTS, _named_generator(f"{_YARD}/{stem}/events")
            )
            yield _Sound(
                stem,
                (),
                split,
                lambda rng, events=events: soundscape(  # type: ignore[misc]
                    events, _YARD_DURATION_S, SAMPLE_RATE, rng
                ),
                events,
            )


_TASKS: tuple[tuple[Recipe, Callable[[], Iterator[_Sound]]], ...] = (
    (
        Recipe(
            name="notes",
            version=_VERSION,
            mode=_MODE,
            embedding_type="scene",
            prediction_type="multiclass",
            split_mode="trainvaltest",
            sample_duration_s=0.5,
            scores=("pitch_acc", "chroma_acc"),
            sample_rates=(SAMPLE_RATE,),
        ),
        _notes,
    ),
    (
        Recipe(
            name="strokes",
            version=_VERSION,
            mode=_MODE,
            embedding_type="scene",
            prediction_type="multiclass",
            split_mode="new_split_kfold",
            nfolds=3,
            sample_duration_s=0.4,
            scores=("top1_acc", "mAP", "aucroc"),
            sample_rates=(SAMPLE_RATE,),
        ),
        _strokes,
    ),
    (
        Recipe(
            name="layers",
            version=_VERSION,
            mode=_MODE,
            embedding_type="scene",
            prediction_type="multilabel",
            split_mode="trainvaltest",
            sample_duration_s=0.5,
            scores=("mAP", "aucroc"),
            sample_rates=(SAMPLE_RATE,),
        ),
        _layers,
    ),
    (
        Recipe(
            name="pitch",
            version=_VERSION,
            mode=_MODE,
            embedding_type="scene",
            prediction_type="regression",
            split_mode="trainvaltest",
            sample_duration_s=0.5,
            scores=("r2", "pearson_r", "ccc", "mae"),
            sample_rates=(SAMPLE_RATE,),
        ),
        _pitches,
    ),
    (
        Recipe(
            name=_YARD,
            version=_VERSION,
            mode=_MODE,
            embedding_type="event",
            prediction_type="multilabel",
            split_mode="trainvaltest",
            sample_duration_s=_YARD_DURATION_S,
            scores=("event_onset_200ms_fms", "segment_1s_er"),
            sample_rates=(SAMPLE_RATE,),
        ),
        _yard,
    ),
)

DEMO_TASKS = tuple(recipe.folder_name for recipe, _ in _TASKS)
"""Names of the demo's tasks, in order."""


def make_demo_tasks(out: Path, *, workspace: Workspace | None = None) -> list[Path]:
    """Synthesises the corpora in ``out/corpora`` and prepares them in ``out/tasks``.

    What is there already stays.

    Args:
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Returns:
        The task folders, in the order of `DEMO_TASKS`.

    Raises:
        TaskError: A task folder holds something else, or can't be written.
    """
    workspace = workspace or Workspace.from_environment()
    corpora = [(recipe, list(sounds())) for recipe, sounds in _TASKS]
    items = [
        (out / "corpora" / recipe.name / f"{sound.filestem}.wav", sound)
        for recipe, sounds in corpora
        for sound in sounds
    ]

    def synthesise(item: tuple[Path, _Sound]) -> None:
        path, sound = item
        if not path.is_file():
            write_wav16(path, _int16(sound.make(_generator(path))), SAMPLE_RATE)

    with workspace.progress.stage("synthesising five small tasks", "clips") as update:
        in_threads(synthesise, items, workers=workspace.workers, update=update)
    quiet = replace(workspace, progress=SILENT)  # these clips are small
    return [
        prepare_task(
            [row for sound in sounds for row in _rows(out / "corpora" / recipe.name, sound)],
            recipe,
            out,
            workspace=quiet,
        )
        for recipe, sounds in corpora
    ]


def write_starter_model(path: Path) -> bool:
    """Writes a complete model to start from; whether it did, as an existing file stays."""
    if path.exists():
        return False
    write_text(path, Path(__file__).with_name("starter_model.py").read_text(encoding="utf-8"))
    return True


def _rows(folder: Path, sound: _Sound) -> Iterator[Clip]:
    path = folder / f"{sound.filestem}.wav"
    for event in sound.events:
        yield Clip(path, sound.filestem, event.label, sound.split, event.start_ms, event.end_ms)
    for number in sound.values:
        yield Clip(path, sound.filestem, number.label, sound.split, value=number.value)
    if not sound.events and not sound.values:
        for label in sound.labels or (None,):
            yield Clip(path, sound.filestem, label, sound.split)


def _generator(path: Path) -> np.random.Generator:
    return _named_generator(f"{path.parent.name}/{path.stem}")


def _named_generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _int16(x: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    return np.rint(x * 32767).astype(np.int16)
