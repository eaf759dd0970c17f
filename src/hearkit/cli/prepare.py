"""``hearkit prepare``: a corpus of one's own as a task in the official layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from hearkit.cli import options as o
from hearkit.cli.running import answers_only, verb
from hearkit.cli.terminal import Reporter, answer_json, say
from hearkit.errors import HearError
from hearkit.registry import did_you_mean

__all__ = ["prepare"]


@verb(
    "hearkit prepare --from-csv clips.csv --audio recordings --name birds --out data \\\n"
    "    --duration 3 --score top1_acc --score mAP --folds 5",
)
def prepare(
    from_csv: Annotated[
        Path,
        typer.Option(
            "--from-csv",
            metavar="F",
            help="List of clips: columns path,label and optionally split or fold.",
        ),
    ],
    audio: Annotated[
        Path, typer.Option("--audio", metavar="DIR", help="Folder that the paths are relative to.")
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the task.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder that takes tasks/NAME-VERSION-MODE; by default the cache, where --task "
            "finds it by its name.",
            show_default=False,
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="S",
            help="Pad or trim every clip to this length; without it clips keep theirs.",
        ),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="NAME", help="Repeatable; the first is optimised."),
    ] = None,
    sample_rate: Annotated[
        list[int] | None,
        typer.Option(
            "--sample-rate",
            metavar="N",
            help="In Hz, repeatable; 48000 by default. Others are made when they are needed.",
        ),
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the corpus.")] = "1.0.0",
    mode: Annotated[str, typer.Option("--mode", help="Which part of the corpus it is.")] = "full",
    split_mode: Annotated[
        str | None,
        typer.Option(
            "--split-mode",
            metavar="trainvaltest|new_split_kfold",
            help="How clips without split and fold are divided; trainvaltest by default.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="N", help="Number of folds for new_split_kfold; 5."),
    ] = None,
    cache: o.CacheDir = None,
    workers: o.Workers = None,
    json: o.Json = False,
) -> None:
    """Makes a task in the official layout out of a list of clips.

    Several labels of a clip stand in several rows; an event task has start_ms and end_ms as
    well. An interrupted run is finished by running the same again.
    """
    with answers_only():
        from hearkit.tasks.from_csv import prepare_from_csv
        from hearkit.tasks.spec import SplitMode

        modes = get_args(SplitMode)
        if split_mode is not None and split_mode not in modes:
            raise HearError(
                f"There is no split mode {split_mode!r}. {did_you_mean(split_mode, list(modes))}"
            )
        if folds is not None and split_mode is None:
            split_mode = "new_split_kfold"
        settings = o.settings_of(cache, None, workers)
        target = settings.cache_dir if out is None else out
        with Reporter().files(f"{name}: decoding and resampling") as progress:
            folder = prepare_from_csv(
                from_csv,
                audio,
                name,
                target,
                version=version,
                mode=mode,
                duration_s=duration,
                scores=tuple(score or ()),
                sample_rates=tuple(sample_rate or (48000,)),
                split_mode=next((known for known in modes if known == split_mode), None),
                nfolds=folds if folds is not None else 5,
                settings=settings,
                progress=progress,
            )
        from hearkit.tasks.store import load_task

        # What was written is read back and checked like any other task.
        task = load_task(folder, settings=settings)
    sizes = {split: len(files) for split, files in task.splits.items()}
    if json:
        answer_json(
            {
                "name": task.name,
                "folder": str(folder),
                "kind": task.kind,
                "prediction_type": task.metadata.prediction_type,
                "splits": sizes,
                "labels": len(task.vocabulary),
                "scores": list(task.metadata.evaluation),
                "sample_rates": list(task.sample_rates),
            }
        )
        return
    typer.echo(str(folder))
    clips = ", ".join(f"{split} {size}" for split, size in sizes.items())
    say(
        f"{task.name}: {sum(sizes.values())} clips ({clips}), {len(task.vocabulary)} labels, "
        f"{task.metadata.prediction_type}, optimised for {task.metadata.evaluation[0]}"
    )
