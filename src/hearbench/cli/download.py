"""``hearbench tasks download``: the benchmark's tasks, ready-made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import HearError, UnknownNameError

__all__ = ["download"]


@verb(
    "hearbench tasks download esc50 beijing_opera",
    "hearbench tasks download leaderboard --mirror http://files.example.org/hear",
)
def download(
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK",
            help="Tasks of the catalog, with -MODE for another mode than their usual one; or "
            "`leaderboard` for all that count there.",
            show_default=False,
        ),
    ],
    corpus_dir: o.CorpusDirs = None,
    mirror: o.Mirror = None,
    cache: o.CacheDir = None,
    workers: o.Workers = None,
    json: o.Json = False,
) -> None:
    """Fetches prepared tasks, as the benchmark published them, into the cache.

    They are downloaded four at a time, and what fails keeps no other from being had. A download
    that broke off is gone on with by the next run. Every archive is checked by its MD5 before it
    is unpacked.
    """
    done: dict[str, Path] = {}
    failed: dict[str, str] = {}
    with answers_only():
        from hearbench.tasks.ready_made import fetch_each_ready_made

        workspace = o.settings_of(cache, None, workers, mirror=mirror)
        elsewhere = workspace.mirror is not None or bool(corpus_dir)
        folders = list(
            dict.fromkeys(folder for task in tasks for folder in _folders(task, elsewhere))
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


def _folders(task: str, elsewhere: bool) -> list[str]:
    """The folder names that a name stands for.

    Raises:
        UnknownNameError: It stands for none, or, unless tasks may be had elsewhere, for one that
            isn't published.
    """
    from hearbench.registry import did_you_mean
    from hearbench.tasks.catalog import catalog_names
    from hearbench.tasks.naming import catalog_folder
    from hearbench.tasks.ready_made import ready_made_names, unpublished

    if task == "leaderboard":
        return list(ready_made_names())
    folder = catalog_folder(task)
    if folder is None:
        raise UnknownNameError(
            f"There is no task {task!r} in the catalog. {did_you_mean(task, catalog_names())}"
        )
    if not elsewhere and folder not in ready_made_names():
        raise unpublished(folder)
    return [folder]
