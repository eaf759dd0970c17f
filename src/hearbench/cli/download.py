"""``hearbench tasks download``: the benchmark's tasks, ready-made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import HearError
from hearbench.tasks.ready_made import fetch_each_ready_made, ready_made_folders

__all__ = ["download"]


@verb(
    "hearbench tasks download esc50 beijing_opera",
    "hearbench tasks download leaderboard --mirror http://files.example.org/hear",
    options="corpus_dir mirror cache workers json",
)
def download(
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK",
            help="Tasks of the catalog, with -MODE for another mode than the usual one; or "
            "`leaderboard` for all tasks of the leaderboard.",
            show_default=False,
        ),
    ],
    place: o.WorkspaceOptions,
    corpus_dir: o.CorpusDirs = None,
    json: o.Json = False,
) -> None:
    """Fetches prepared tasks, as the benchmark published them, into the cache.

    They are downloaded four at a time; a failure doesn't stop the others. The next run resumes a
    download that broke off. Every archive is checked by its MD5 before it is unpacked.
    """
    done: dict[str, Path] = {}
    failed: dict[str, str] = {}
    with answers_only():
        workspace = place.workspace()
        elsewhere = workspace.mirror is not None or bool(corpus_dir)
        folders = list(
            dict.fromkeys(
                folder for task in tasks for folder in ready_made_folders(task, elsewhere=elsewhere)
            )
        )
        outcomes = fetch_each_ready_made(
            folders, workspace=workspace, corpus_dirs=tuple(corpus_dir or ())
        )
        for names, result in outcomes:
            if isinstance(result, HearError):
                failed |= dict.fromkeys(names, str(result))
                named = len(names) == 1 < len(folders)
                say(f"error: {names[0]}: {result}" if named else f"error: {result}")
            else:
                done[names[0]] = result
                say(f"{names[0]}: here")
    if json:
        answer_json(
            {
                "downloaded": [
                    {"task": name, "folder": str(done[name])} for name in folders if name in done
                ],
                "failed": [
                    {"task": name, "error": failed[name]} for name in folders if name in failed
                ],
            }
        )
    else:
        for name in folders:
            if name in done:
                answer_line(str(done[name]))
    if len(folders) > 1:
        lost = [name for name in folders if name in failed]
        what = f"; failed: {', '.join(lost)}" if lost else ""
        say(f"{len(done)} of {len(folders)} tasks are here{what}.")
    if failed:
        raise typer.Exit(BAD_INPUT)
