"""``hearbench overlap``: copies of test clips among other audio."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.amounts import number
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.table import Column, Table

if TYPE_CHECKING:
    from hearbench.overlap import Overlap

__all__ = ["overlap"]


@verb(
    "hearbench overlap data/training --task esc50-v2.0.0-full",
    "hearbench overlap data/training --task tasks/esc50-v2.0.0-full --csv overlap.csv",
    options="task csv cache workers json",
)
def overlap(
    audio: Annotated[
        Path,
        typer.Argument(
            metavar="AUDIO_DIR",
            help="Folder of the audio to search, with all below it.",
            show_default=False,
        ),
    ],
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="TASK",
            help="A prepared task: its folder, its .tar.gz, or its name in the cache.",
            show_default=False,
        ),
    ],
    place: o.WorkspaceOptions,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="CSV to write, with a row per copy."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Finds copies of a task's test clips in a folder of audio, such as a training set.

    Copies may be cut, coded, louder or quieter, resampled, somewhat noisy, and within longer
    files. Sounds that are played faster, at another pitch, or recorded again aren't found.
    """
    from hearbench.files import write_text
    from hearbench.overlap import find_overlap
    from hearbench.tasks.store import load_task

    with answers_only():
        workspace = place.workspace()
        loaded = load_task(task, workspace=workspace, download=False)
        found = find_overlap(audio, loaded, workspace)
        table = _table(found)
        if csv is not None:
            write_text(csv, table.to_csv())
            say(f"wrote {csv}")
    if json:
        answer_json({**asdict(found), "clips": found.clips})
        return
    for name, why in found.unread.items():
        say(f"{name} wasn't searched: {why}")
    show(*([table] if found.copies else []), *_sentences(found))


def _table(found: Overlap) -> Table:
    table = Table(
        [
            Column("file", wrap="anywhere"),
            Column("offset_s", "{:.2f}", align="right"),
            Column("clip", wrap="anywhere"),
            Column("share", number, align="right"),
            Column("score", number, align="right"),
        ],
        f"{found.task}: copies of test clips",
    )
    for copy in found.copies:
        table.add(copy.file, copy.offset_s, copy.clip, copy.share, copy.score)
    return table


def _sentences(found: Overlap) -> list[str]:
    n_files = len({copy.file for copy in found.copies})
    lines = [
        f"{len(found.clips)} of {found.n_clips} test clips of {found.task} are in "
        f"{n_files} of {found.n_files} files."
    ]
    if found.copies:
        lines.append("share: of the clip's sound, by time; score: correlation of the waveforms.")
    if found.unfit:
        lines.append(
            "No search finds these test clips, as they are silent, too short, or tones that many "
            f"have: {', '.join(found.unfit)}."
        )
    return lines
