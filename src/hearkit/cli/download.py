"""``hearkit tasks download``: the benchmark's tasks, ready-made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearkit.cli import options as o
from hearkit.cli.running import BAD_INPUT, answers_only, verb
from hearkit.cli.terminal import Reporter, answer_json, say
from hearkit.errors import HearError, UnknownNameError

__all__ = ["download"]


@verb(
    "hearkit tasks download esc50 beijing_opera",
    "hearkit tasks download leaderboard --mirror http://files.example.org/hear",
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

    A download that broke off is gone on with by the next run. Every archive is checked by its
    MD5 before it is unpacked.
    """
    done: list[tuple[str, Path]] = []
    failed: list[tuple[str, str]] = []
    with answers_only():
        from hearkit.tasks.ready_made import fetch_ready_made

        settings = o.settings_of(cache, None, workers, mirror=mirror)
        reporter = Reporter()
        folders = list(dict.fromkeys(folder for task in tasks for folder in _folders(task)))

        def attempt(folder: str) -> None:
            try:
                with reporter.steps() as steps:
                    path = fetch_ready_made(
                        folder,
                        settings=settings,
                        corpus_dirs=tuple(corpus_dir or ()),
                        progress=steps.downloads("downloading"),
                    )
            except HearError as error:
                failed.append((folder, str(error)))
                reporter.line(
                    f"error: {error}" if len(folders) == 1 else f"error: {folder}: {error}"
                )
                return
            done.append((folder, path))
            reporter.line(f"{folder}: here")

        for folder in folders:
            attempt(folder)
    if json:
        answer_json(
            {
                "downloaded": [{"task": name, "folder": str(path)} for name, path in done],
                "failed": [{"task": name, "error": error} for name, error in failed],
            }
        )
    else:
        for _, path in done:
            typer.echo(str(path))
    if done and failed:
        say(f"{len(done)} of {len(folders)} tasks are here; run the same again for the others.")
    if failed:
        raise typer.Exit(BAD_INPUT)


def _folders(task: str) -> list[str]:
    """The folder names that a name stands for."""
    from hearkit.registry import did_you_mean
    from hearkit.tasks.catalog import catalog_names
    from hearkit.tasks.naming import catalog_folder
    from hearkit.tasks.ready_made import ready_made_names

    if task == "leaderboard":
        return list(ready_made_names())
    folder = catalog_folder(task)
    if folder is None:
        raise UnknownNameError(
            f"There is no task {task!r} in the catalog. {did_you_mean(task, catalog_names())}"
        )
    if folder not in ready_made_names():
        name = folder.split("-")[0]
        others = [other for other in ready_made_names() if other.startswith(f"{name}-")]
        raise UnknownNameError(
            f"The benchmark doesn't publish {folder} ready-made"
            + (f", only {', '.join(others)}; name that one." if others else ".")
            + f" `hearkit prepare {name}` makes it from its corpus."
        )
    return [folder]
