"""A user's own corpus as a task: from a CSV file with a row per label or event.

Columns: ``path`` (relative to the audio folder) and ``label``; optionally ``split`` (train,
valid, test) or ``fold`` (``fold00``, ... or integers); for event tasks ``start_ms`` and
``end_ms``. An empty label is a clip without labels or events. A scene task may have a column
``caption``, with several rows for several captions of a clip; without a column ``label``, all
clips have the label ``captioned`` then. A regression task has a column of numbers per target
instead of ``label``, and a row per clip. All that is wrong is reported in one error, with line
numbers.
"""

from __future__ import annotations

import csv
import difflib
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.files import is_file
from hearbench.registry import did_you_mean
from hearbench.tasks.clips import Clip
from hearbench.tasks.event_times import seconds_error
from hearbench.tasks.own_recipe import OwnTask, agreed_prediction, agreed_split_mode, own_recipe
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.problems import Problems
from hearbench.tasks.recipe import SMALL
from hearbench.tasks.spec import SplitMode, filename_problem, label_problem
from hearbench.tasks.splits import TRAIN_VALID_TEST, named_folds
from hearbench.tasks.task_type import PredictionType
from hearbench.workspace import Workspace

__all__ = ["prepare_from_csv", "read_clip_table"]

_NEEDED = ("path", "label")
_TIMES = ("start_ms", "end_ms")
_COLUMNS = (*_NEEDED, "split", "fold", *_TIMES, "caption")
_CAPTIONED = "captioned"  # the label of clips that have captions alone
_FOLD = re.compile(r"fold(\d+)")
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rar", ".7z")
_SHORTEST_MS = 1.0
_REMEDY = "Mend the file and run the same again."


def prepare_from_csv(
    csv: Path, audio_dir: Path, task: OwnTask, out: Path, *, workspace: Workspace | None = None
) -> Path:
    """Makes a task out of a list of clips and returns its folder.

    The kind of task follows from the list: with ``start_ms`` and ``end_ms`` it is an event task;
    with ``task.targets`` a regression task; else a scene task, multilabel if a clip has several
    labels or ``task.multilabel`` says so. With a column ``split`` the splits that are missing are
    cut out of train; with ``fold`` the folds stay as they are; with neither the clips are split by
    the reference's rules.

    Args:
        csv: The list; its columns are described above.
        audio_dir: The folder that its paths are relative to.
        out: Folder that takes ``tasks/<name>-<version>-<mode>/``.
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Raises:
        TaskError: The list, the settings or some audio can't be used, or the folder holds
            something else; the message lists all that is wrong.
    """
    table = read_clip_table(csv, audio_dir, task.targets, missing_ok=task.mode == SMALL)
    recipe = own_recipe(
        task,
        "event" if table.has_events else "scene",
        _prediction(table, task),
        split_mode=_split_mode(table, task.wanted_split_mode, csv),
    )
    return prepare_task(
        table.clips, recipe, out, skip_corrupt=task.skip_corrupt, workspace=workspace
    )


def _prediction(table: _ClipTable, task: OwnTask) -> PredictionType:
    if task.targets:
        return "regression"
    if table.has_events:
        return "multilabel"
    return agreed_prediction(
        several=table.has_several,
        unlabelled=[path.name for path in table.unlabelled],
        n_clips=len({clip.path for clip in table.clips}),
        wanted=task.multilabel,
    )


def _split_mode(table: _ClipTable, wanted: SplitMode | None, csv: Path) -> SplitMode:
    given: SplitMode | None = None
    if "fold" in table.columns:
        given = "presplit_kfold"
    elif "split" in table.columns:
        given = "trainvaltest"
    column = "fold" if given == "presplit_kfold" else "split"
    return agreed_split_mode(
        given,
        wanted,
        given_by=f"{csv} has a column {column!r}",
        folds_need=f"{csv}: folds that are given need a column 'fold'",
    )


@dataclass(frozen=True)
class _ClipTable:
    """The content of a list of clips.

    Attributes:
        clips: A row per label or event, with unique file stems.
        columns: The known columns that the file has.
    """

    clips: tuple[Clip, ...]
    columns: frozenset[str]

    @property
    def has_events(self) -> bool:
        """Whether labels have times."""
        return "start_ms" in self.columns

    @property
    def has_several(self) -> bool:
        """Whether some clip has more than one label."""
        return any(n > 1 for n in Counter(clip.path for clip in self.clips).values())

    @property
    def unlabelled(self) -> tuple[Path, ...]:
        """The files of clips without a label or event."""
        return tuple(clip.path for clip in self.clips if clip.label is None)


@dataclass(frozen=True)
class _Row:
    line: int
    path: str  # as it stands in the file, tidied
    label: str | None
    home: str  # the split or fold; empty without such a column
    start_ms: float | None
    end_ms: float | None
    caption: str
    value: float | None = None


def read_clip_table(
    path: Path, audio_dir: Path, targets: Sequence[str] = (), *, missing_ok: bool = False
) -> _ClipTable:
    """Reads and checks a list of clips.

    Args:
        path: The CSV file, in UTF-8.
        audio_dir: The folder that its paths are relative to.
        targets: Columns of numbers that take the place of the label.
        missing_ok: Whether files may be missing, as in the mode ``small``.

    Raises:
        TaskError: It can't be read or used; the message lists what is wrong on which lines.
    """
    heading = f"{path} can't be used as a list of clips; wrong are:"
    _check_audio_dir(audio_dir)
    problems = Problems()
    lines = _read_lines(path)
    header = [name.strip().lower() for name in lines[0][1]]
    wanted = tuple(name.strip().lower() for name in targets)
    _check_header(header, wanted, problems)
    if problems:
        raise problems.error(heading, _REMEDY)
    rows = _parse(lines[1:], header, wanted, problems)
    files = {row.path: audio_dir / row.path for row in rows}
    if not missing_ok:
        _check_files(rows, files, problems)
    elif missing := sum(not is_file(file) for file in files.values()):
        logging.getLogger(__name__).warning(
            "%d of the %d files of %s are missing, and left out", missing, len(files), path
        )
    _check_rows(rows, "start_ms" in header, problems)
    homes = _homes(rows, header, problems)
    stems = _unique_stems(rows, problems)
    if not rows and not problems:
        problems.add("clips", "there are none below the header")
    elif all(row.label is None for row in rows) and not problems:
        problems.add("labels", "there are none")
    if problems:
        raise problems.error(heading, _REMEDY)
    _refuse_seconds(path, rows)
    captions: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.caption:
            captions.setdefault(row.path, {})[row.caption] = None
    clips = [
        Clip(
            files[r.path],
            stems[r.path],
            r.label,
            homes.get(r.home),
            r.start_ms,
            r.end_ms,
            captions=tuple(captions.get(r.path, ())),
            value=r.value,
        )
        for r in rows
    ]
    if captions:
        clips = list(dict.fromkeys(clips))  # a clip has a row per caption
    return _ClipTable(tuple(clips), frozenset(header) & frozenset(_COLUMNS))


def _check_audio_dir(folder: Path) -> None:
    try:
        if folder.is_dir():
            return
        if folder.exists():
            what = "a file"
            if folder.name.lower().endswith(_ARCHIVES):
                what = "an archive; unpack it and name the folder that comes out of it"
            raise TaskError(f"The audio folder {folder} is no folder but {what}.")
    except (OSError, ValueError) as error:
        raise TaskError(f"The audio folder {folder} can't be read: {error}.") from error
    raise TaskError(f"The audio folder {folder} is not there.", code="not_found")


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Rows with the number of the line that each begins on, empty ones left out."""
    lines: list[tuple[int, list[str]]] = []
    try:
        # Spreadsheets put a byte order mark before UTF-8; it would hide the first column.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            begin = 1
            for row in reader:
                if any(cell.strip() for cell in row):
                    lines.append((begin, row))
                begin = reader.line_num + 1
    except FileNotFoundError as error:
        raise TaskError(f"The list of clips {path} is not there.", code="not_found") from error
    except OSError as error:
        raise TaskError(
            f"The list of clips {path} can't be read: {error.strerror}.", code="io"
        ) from error
    except UnicodeDecodeError as error:
        raise TaskError(
            f"The list of clips {path} is not in UTF-8 (byte {error.start}: {error.reason}); "
            "save it as CSV in UTF-8."
        ) from error
    except csv.Error as error:
        raise TaskError(
            f"The list of clips {path} is no valid CSV at line {begin}: {error}."
        ) from error
    if not lines:
        raise TaskError(
            f"The list of clips {path} is empty; its first line names the columns, such as "
            "path,label."
        )
    if any("\0" in cell for cell in lines[0][1]):
        raise TaskError(
            f"The list of clips {path} is not in UTF-8 (every other character of its first line is "
            "a NUL, as in UTF-16); save it as CSV in UTF-8."
        )
    return lines


def _check_header(header: Sequence[str], targets: Sequence[str], problems: Problems) -> None:
    kind = "columns (line 1)"
    # A caption or numbers can stand for the label.
    needed = ("path", *targets) if targets or "caption" in header else _NEEDED
    for name in needed:
        if name not in header:
            others = [column for column in header if column not in _COLUMNS]
            near = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
            hint = f" (is {near[0]!r} meant?)" if near else ""
            problems.add(kind, f"{name!r} is missing{hint}; there are {', '.join(header)}")
    for name in sorted(set(header)):
        if name and header.count(name) > 1:
            problems.add(kind, f"{name!r} stands twice")
        near = difflib.get_close_matches(name, _COLUMNS, n=1, cutoff=0.8)
        # Another column is none of our business, but a slip would be ignored without a word.
        if name not in (*_COLUMNS, *targets) and near and near[0] not in header:
            problems.add(kind, f"{name!r} is unknown; {did_you_mean(name, list(_COLUMNS))}")
    if "split" in header and "fold" in header:
        problems.add(kind, "there are both 'split' and 'fold'; keep one")
    if len(set(_TIMES) & set(header)) == 1:
        problems.add(kind, "an event task needs both 'start_ms' and 'end_ms'")
    reserved = [name for name in targets if name in _COLUMNS or targets.count(name) > 1]
    for name in dict.fromkeys(reserved):
        problems.add(kind, f"{name!r} can't be a target, or is named twice as one")
    for name in ("label", *_TIMES) if targets else ():
        if name in header:
            problems.add(kind, f"a task of numbers has no column {name!r}")
    if "caption" in header and set(_TIMES) & set(header):
        problems.add(kind, "captions are of whole clips; keep either 'caption' or the times")


def _parse(
    lines: Sequence[tuple[int, list[str]]],
    header: Sequence[str],
    targets: Sequence[str],
    problems: Problems,
) -> list[_Row]:
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            problems.add(
                "rows of another length than the header",
                f"line {line} has {len(cells)} cells, not {len(header)}",
            )
            continue
        values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        path = os.path.normpath(values["path"])
        if "\0" in path or not Path(path).name:  # the folder itself has no name
            problems.add("rows without a path", f"line {line}")
            continue
        home = values.get("split") or values.get("fold") or ""
        for target in targets:
            value = _number(values[target])
            if value is None:
                problems.add(
                    "targets that are no finite number",
                    f"line {line}: {target} {values[target]!r} of {path}",
                )
            else:
                row = _Row(line, path, target, home, None, None, values.get("caption", ""), value)
                rows.append(row)
        if targets:
            continue
        label = values.get("label", _CAPTIONED) or None
        if label is not None and (slip := label_problem(label)):
            problems.add("labels that can't be", f"line {line}: {slip} in {label!r:.60}")
        times = [_time(values.get(name, ""), name, line, problems) for name in _TIMES]
        given = [bool(values.get(name)) for name in _TIMES]
        if "start_ms" in header and label is None and any(given):
            problems.add("events without a label", f"line {line}")
        if "start_ms" in header and label is not None and not all(given):
            problems.add("events without start_ms and end_ms", f"line {line}")
        start, end = times
        if start is not None and end is not None and end < start:
            problems.add("events that end before they start", f"line {line}: {start:g} to {end:g}")
        rows.append(_Row(line, path, label, home, start, end, values.get("caption", "")))
    return rows


def _number(text: str) -> float | None:
    """The finite number that a text says; None if it says none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _time(text: str, name: str, line: int, problems: Problems) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        problems.add("times that are no milliseconds from 0 on", f"line {line}: {name} {text!r}")
        return None
    return value


def _check_files(rows: Sequence[_Row], files: dict[str, Path], problems: Problems) -> None:
    missing = {name for name, path in files.items() if not is_file(path)}
    for row in rows:
        if row.path in missing:
            missing.discard(row.path)  # the first line that names it is enough
            hint = ""
            if is_file(Path(str(files[row.path]).replace("\\", "/"))):
                hint = " (write paths with slashes, not with backslashes)"
            problems.add("files that are missing", f"line {row.line}: {files[row.path]}{hint}")


def _check_rows(rows: Sequence[_Row], events: bool, problems: Problems) -> None:
    seen: dict[object, int] = {}
    numbers: dict[object, int] = {}
    labelled: dict[str, tuple[bool, int]] = {}
    homes: dict[str, tuple[str, int]] = {}
    for row in rows:
        same: tuple[object, ...] = (row.path, row.label, row.caption)
        if events:
            same = (row.path, row.label, row.start_ms, row.end_ms)
        if row.value is None and same in seen:
            problems.add(
                "rows that stand twice",
                f"lines {seen[same]} and {row.line}: {row.path}, {row.label or 'no label'}",
            )
        seen.setdefault(same, row.line)
        if row.value is not None:
            line = numbers.setdefault((row.path, row.label), row.line)
            if line != row.line:
                problems.add(
                    "clips with two numbers of one target",
                    f"lines {line} and {row.line}: {row.label} of {row.path}",
                )
        has, first = labelled.setdefault(row.path, (row.label is not None, row.line))
        if has != (row.label is not None):
            problems.add(
                "clips both with and without a label", f"lines {first} and {row.line}: {row.path}"
            )
        home, first = homes.setdefault(row.path, (row.home, row.line))
        if home != row.home:
            problems.add(
                "clips in two splits or folds",
                f"lines {first} and {row.line}: {row.path} in {home!r} and {row.home!r}",
            )


def _homes(rows: Sequence[_Row], header: Sequence[str], problems: Problems) -> dict[str, str]:
    """The split of every value of the column ``split`` or ``fold``."""
    if "split" in header:
        for row in rows:
            if row.home not in TRAIN_VALID_TEST:
                problems.add(
                    "splits other than train, valid and test", f"line {row.line}: {row.home!r}"
                )
        return {name: name for name in TRAIN_VALID_TEST}
    if "fold" not in header:
        return {}
    try:
        return named_folds({row.home for row in rows})
    except ValueError:
        for row in rows:
            if not _FOLD.fullmatch(row.home) and not row.home.isdecimal():
                problems.add(
                    "folds that are neither fold00, fold01, ... nor integers",
                    f"line {row.line}: {row.home!r}",
                )
        if not problems:
            problems.add("folds", "some are named fold00, fold01, ..., others are integers")
        return {}


def _unique_stems(rows: Sequence[_Row], problems: Problems) -> dict[str, str]:
    """A name for every file: its stem, or its whole path where stems collide."""
    lines: dict[str, int] = {}
    for row in rows:
        lines.setdefault(row.path, row.line)
    counts = Counter(Path(path).stem for path in lines)
    stems = {
        path: Path(path).stem
        if counts[Path(path).stem] == 1
        else "_".join(part for part in Path(path).with_suffix("").parts if part not in {"/", ".."})
        for path in lines
    }
    first: dict[str, str] = {}
    for path, stem in stems.items():
        if slip := filename_problem(f"{stem}.wav"):
            problems.add(
                "names that no file of a task can have", f"line {lines[path]}: {slip} in {path}"
            )
        if stem in first:
            problems.add(
                "files that would have the same name in the task",
                f"lines {lines[first[stem]]} and {lines[path]}: {first[stem]} and {path}",
            )
        first.setdefault(stem, path)
    return stems


def _refuse_seconds(path: Path, rows: Sequence[_Row]) -> None:
    """Refuses times that are seconds by the looks of them; others are compared with the audio.

    Events without a length say nothing: only their onsets count.
    """
    times = [
        (r.start_ms, r.end_ms) for r in rows if r.start_ms is not None and r.end_ms is not None
    ]
    longest = max((end - start for start, end in times), default=0.0)
    last = max((end for _, end in times), default=0.0)
    if 0 < longest < _SHORTEST_MS and last < 1000 * _SHORTEST_MS:
        why = f"none is longer than {longest:g} ms, and the last one ends at {last:g} ms"
        raise seconds_error(str(path), why)
