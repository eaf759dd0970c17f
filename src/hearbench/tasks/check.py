"""Reading a task folder in the official layout, and all that can be wrong with one.

    <task>-<version>-<mode>/
        task_metadata.json
        labelvocabulary.csv       columns idx,label
        <split>.json              {"file.wav": [label, ...]}, or events as label, start, end in ms,
                                  or numbers as label, value
        <rate>/<split>/file.wav   16-bit mono, one folder per sample rate
        captions.json             {"<split>": {"file.wav": [text, ...]}}, if clips have captions

The last is hearbench's own; whatever reads the official layout passes it over.
Labels may be integers in the JSON and are their ``str()`` in memory. Files whose name begins with
a dot are passed over.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hearbench.audio.encode import length_of_wav16
from hearbench.files import SYNTAX_ERRORS, is_file
from hearbench.tasks.clips import Event
from hearbench.tasks.inventory import FileFacts, wav_facts
from hearbench.tasks.problems import Problems
from hearbench.tasks.spec import TaskMetadata, filename_problem, is_plain_name
from hearbench.tasks.task_type import Items
from hearbench.workspace import Workspace

__all__ = [
    "CAPTIONS",
    "METADATA",
    "VOCABULARY",
    "FolderContent",
    "Splits",
    "read_task_folder",
]

METADATA = "task_metadata.json"
VOCABULARY = "labelvocabulary.csv"
CAPTIONS = "captions.json"

# Labels or events of all clips, by split and file name.
Splits = dict[str, dict[str, Items]]
# Captions of the clips that have some, by split and file name.
Captions = dict[str, dict[str, tuple[str, ...]]]

_LONGEST_INDEX = 18
# Published events end somewhat after their clip at times. Scoring takes time and memory until
# the last event's end, so a slip by some powers of ten mustn't get that far.
_LATEST_END_MS = 3_600_000.0
_FEWEST_FOLDS = 3  # one to test, one to validate, one to train


@dataclass
class FolderContent:
    """The contents of a task folder, as far as they could be read.

    Attributes:
        metadata: None if it can't be read.
        vocabulary: Labels in the order of their index.
        splits: Per split and file name, the labels or events.
        audio: Per sample rate in Hz and ``<split>/<file>``, what the WAV is like.
        captions: Per split and file name, the captions of clips that have some.
    """

    metadata: TaskMetadata | None = None
    vocabulary: tuple[str, ...] = ()
    splits: Splits = field(default_factory=dict)
    audio: dict[int, dict[str, FileFacts]] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)
    captions: Captions = field(default_factory=dict)


def read_task_folder(
    folder: Path, workspace: Workspace, *, metadata: str = METADATA
) -> FolderContent:
    """Reads and checks a task folder; never raises for what is wrong in it, but lists it.

    Args:
        workspace: Where the cache is, and how many threads.
        metadata: Name of the file of metadata, which is another while a task is being made.
    """
    content = FolderContent()
    content.metadata = _read_metadata(folder / metadata, content.problems)
    content.vocabulary = _read_vocabulary(folder, content.problems)
    if content.metadata is not None:
        _check_split_names(content.metadata, content.problems)
        for split in content.metadata.splits:
            if not filename_problem(split):
                content.splits[split] = _read_split(folder, split, content.metadata, content)
        _check_once(content.splits, content.problems)
        # A split may be called so, too.
        if is_file(folder / CAPTIONS) and Path(CAPTIONS).stem not in content.splits:
            content.captions = _read_captions(folder, content.splits, content.problems)
    _check_audio(folder, content, workspace)
    _check_ends(folder, content)
    return content


def _read_json(
    path: Path, problems: Problems, *, constant: Callable[[str], Any] | None = None
) -> Any:
    """What a file holds.

    Args:
        constant: What becomes of NaN and infinities, which are no JSON; by default they make the
            file invalid.
    """
    duplicates: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            duplicates.extend(key for key, count in counts.items() if count > 1)
        return value

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number in JSON")

    try:
        value = json.loads(
            path.read_text(encoding="utf-8-sig"),
            object_pairs_hook=unique,
            parse_constant=constant or refuse,
        )
    except FileNotFoundError:
        problems.add("files that are missing", path.name)
        return None
    except (OSError, *SYNTAX_ERRORS) as error:
        problems.add("files that are no valid JSON", f"{path.name}: {error}")
        return None
    for key in duplicates:
        problems.add("names that stand twice in one file", f"{path.name}: {key!r}")
    return value


def _read_metadata(path: Path, problems: Problems) -> TaskMetadata | None:
    before = len(problems)
    value = _read_json(path, problems)
    if value is None and len(problems) > before:
        return None
    try:
        return TaskMetadata.model_validate(value)
    except ValidationError as error:
        for item in error.errors():
            place = ".".join(map(str, item["loc"])) or "the whole"
            message = item["msg"].removeprefix("Value error, ").removesuffix(".")
            problems.add(f"entries of {METADATA} that are wrong", f"{place}: {message}")
        return None


def _read_vocabulary(folder: Path, problems: Problems) -> tuple[str, ...]:
    path = folder / VOCABULARY
    kind = f"what is wrong with {VOCABULARY}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        problems.add("files that are missing", VOCABULARY)
        return ()
    except (OSError, ValueError, csv.Error) as error:
        problems.add(kind, str(error))
        return ()
    if not rows or rows[0] != ["idx", "label"]:
        problems.add(kind, f"its first line is {rows[0] if rows else 'missing'}, not idx,label")
        return ()
    labels: dict[int, str] = {}
    seen: set[str] = set()
    for number, row in enumerate(rows[1:], start=2):
        index = _index(row[0]) if len(row) == 2 else None
        if index is None:
            problems.add(kind, f"row {number} is not an index and a label: {row}")
            continue
        if index in labels:
            problems.add(kind, f"index {index} stands twice")
        if row[1] in seen:
            problems.add(kind, f"label {row[1]!r} stands twice")
        labels[index] = row[1]
        seen.add(row[1])
    if not labels:
        problems.add(kind, "it holds no labels")
    elif sorted(labels) != list(range(len(labels))):
        problems.add(kind, f"the indices are not 0 to {len(labels) - 1}, each once")
    return tuple(labels[index] for index in sorted(labels))


def _index(text: str) -> int | None:
    # Python refuses to read numbers of thousands of digits, and no vocabulary has them.
    if not text.strip().isdecimal() or len(text) > _LONGEST_INDEX:
        return None
    return int(text)


def _check_split_names(metadata: TaskMetadata, problems: Problems) -> None:
    kind = f"entries of {METADATA} that are wrong"
    splits = metadata.splits
    for key in ("task_name", "version", "mode"):
        # They name folders, in the cache and among the results.
        if not is_plain_name(getattr(metadata, key)):
            text = getattr(metadata, key)
            problems.add(kind, f"{key}: {text!r} can't be part of a folder's name")
    for split in splits:
        if filename_problem(split):
            problems.add(kind, f"splits: {split!r} can't name a file")
    if len(set(splits)) < len(splits):
        problems.add(kind, f"splits: a name stands twice in {list(splits)}")
    if metadata.split_mode == "trainvaltest":
        if set(splits) != {"train", "valid", "test"}:
            problems.add(kind, f"splits: train, valid and test are needed, got {list(splits)}")
    elif len(splits) < _FEWEST_FOLDS:
        problems.add(kind, f"splits: at least {_FEWEST_FOLDS} folds are needed, got {list(splits)}")
    elif metadata.nfolds is not None and metadata.nfolds != len(splits):
        problems.add(kind, f"nfolds: is {metadata.nfolds}, but there are {len(splits)} splits")


def _read_split(
    folder: Path, split: str, metadata: TaskMetadata, content: FolderContent
) -> dict[str, Items]:
    problems, kind = content.problems, metadata.task_type
    path = folder / f"{split}.json"
    before = len(problems)
    # The kind of task refuses them, and names the clip.
    value = _read_json(path, problems, constant=float)
    if value is None and len(problems) > before:
        return {}
    if not isinstance(value, dict):
        problems.add("splits that are no JSON object of files", path.name)
        return {}
    if not value:
        problems.add("splits without a file", path.name)
    files: dict[str, Items] = {}
    for name, items in value.items():
        where = f"{split}/{name}"
        if filename_problem(name):
            problems.add("file names that are paths", f"{split}: {name!r}")
            continue
        if not isinstance(items, list):
            problems.add("files whose labels are no list", where)
            continue
        files[name] = kind.read_items(items, metadata.prediction_type, where, problems)
        if content.vocabulary:
            kind.check_labels(files[name], content.vocabulary, where, problems)
    return files


def _read_captions(folder: Path, splits: Splits, problems: Problems) -> Captions:
    value = _read_json(folder / CAPTIONS, problems)
    if not isinstance(value, dict) or not all(isinstance(files, dict) for files in value.values()):
        problems.add("captions that are no JSON object of splits and files", CAPTIONS)
        return {}
    captions: Captions = {}
    for split, files in value.items():
        for name, texts in files.items():
            if name not in splits.get(split, {}):
                problems.add("captions of files that no split names", f"{split}/{name}")
            elif not isinstance(texts, list) or not all(_is_caption(text) for text in texts):
                problems.add("captions that are no list of texts", f"{split}/{name}")
            elif texts:
                captions.setdefault(split, {})[name] = tuple(texts)
    return captions


def _is_caption(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_once(splits: Mapping[str, Mapping[str, Items]], problems: Problems) -> None:
    first: dict[str, str] = {}
    for split, files in splits.items():
        for name in files:
            if name in first:
                problems.add("files in two splits", f"{name} in {first[name]} and {split}")
            first.setdefault(name, split)


def _check_audio(folder: Path, content: FolderContent, workspace: Workspace) -> None:
    problems = content.problems
    try:
        rates = sorted(
            int(path.name)
            for path in folder.iterdir()
            if path.is_dir() and path.name.isdecimal() and str(int(path.name)) == path.name
        )
    except OSError as error:
        problems.add("folders that can't be read", f"{folder}: {error.strerror}")
        return
    if not rates:
        problems.add("folders that are missing", "<sample rate>/ with the audio")
    for rate in rates:
        content.audio[rate] = _check_rate(folder / str(rate), rate, content, workspace)


def _check_rate(
    folder: Path, rate: int, content: FolderContent, workspace: Workspace
) -> dict[str, FileFacts]:
    problems = content.problems
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.parts[-2:])
    }
    named = [f"{split}/{name}" for split, files in content.splits.items() for name in files]
    # A hidden file may be named on purpose; only unnamed ones are passed over.
    found = [name for name in named if name in there or is_file(folder / name)]
    for name in sorted(set(named) - set(found)):
        problems.add("audio that is missing", f"{rate}/{name}")
    # With an unreadable split nothing can be said about what is too much.
    if content.metadata is not None and set(content.splits) == set(content.metadata.splits):
        empty = {split for split, files in content.splits.items() if not files}
        for name in sorted(there - set(named)):
            if name.split("/")[0] not in empty:
                problems.add("audio that no split names", f"{rate}/{name}")
    facts = dict(zip(found, wav_facts(folder, found, workspace), strict=True))
    for name, fact in facts.items():
        if fact.problem is not None:
            problems.add("audio that can't be used", f"{rate}/{name}: {fact.problem}")
        elif fact.sample_rate != rate:
            problems.add(
                "audio of another rate than its folder", f"{rate}/{name} has {fact.sample_rate} Hz"
            )
    return facts


def _check_ends(folder: Path, content: FolderContent) -> None:
    """Notes events that end so long after their clip that they can't be meant."""
    for rate, audio in content.audio.items():
        for split, files in content.splits.items():
            for name, items in files.items():
                last_ms = max((item.end_ms for item in items if isinstance(item, Event)), default=0)
                if last_ms <= _LATEST_END_MS or f"{split}/{name}" not in audio:
                    continue
                # Other writers' headers are longer, but never by an hour.
                n_samples = length_of_wav16(folder / str(rate) / split / name)
                clip_ms = 1000.0 * n_samples / rate
                if last_ms > clip_ms + _LATEST_END_MS:
                    content.problems.add(
                        "events that end more than an hour after their clip",
                        f"{last_ms:g} ms in {rate}/{split}/{name} of {clip_ms:.0f} ms",
                    )
        return  # the same events at every rate
