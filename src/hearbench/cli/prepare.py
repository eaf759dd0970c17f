"""``hearbench prepare``: tasks of the catalog, and corpora of one's own, in the official layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearbench.cli import cluster as c
from hearbench.cli import options as o
from hearbench.cli.cluster_prepare import prepare_on_cluster
from hearbench.cli.preparing import CatalogSource, OwnSettings, prepare_csv, prepare_hf, rates_of
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import Reporter, answer_json, answer_line, say
from hearbench.errors import HearError

if TYPE_CHECKING:
    from hearbench.tasks.store import PreparedTask

__all__ = ["prepare"]


@verb(
    "hearbench prepare esc50 beijing_opera --out data",
    "hearbench prepare maestro --mode 5h --corpus-dir ~/downloads --sample-rate 16000",
    "hearbench prepare --from-csv clips.csv --audio recordings --name birds --out data \\\n"
    "    --duration 3 --score top1_acc --score mAP --folds 5",
    "hearbench prepare all --executor ray --address auto",
    "hearbench prepare --from-hf ./my-dataset --label-column species --name birds --out data",
)
def prepare(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK]",
            help="Tasks of the catalog (see `hearbench list tasks`), as esc50 or esc50-small; or "
            "`all`.",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="Which part of the corpus; by default the task's usual one."),
    ] = None,
    corpus_dir: o.CorpusDirs = None,
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
    sample_rate: Annotated[
        list[str] | None,
        typer.Option(
            "--sample-rate",
            metavar="N",
            help="In Hz, repeatable; by default the corpus's highest. Others are made when they "
            "are needed.",
        ),
    ] = None,
    trust_corpus: Annotated[
        bool,
        typer.Option(
            "--trust-corpus",
            help="Take files whose MD5 isn't the catalog's; the task's metadata says so.",
        ),
    ] = False,
    skip_corrupt: Annotated[
        bool,
        typer.Option(
            "--skip-corrupt",
            help="Leave out clips that can't be decoded; the task's metadata names them.",
        ),
    ] = False,
    from_csv: Annotated[
        Path | None,
        typer.Option(
            "--from-csv",
            metavar="F",
            help="A list of clips: columns path,label and optionally split or fold.",
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio", metavar="DIR", help="With --from-csv: what its paths are relative to."
        ),
    ] = None,
    from_hf: Annotated[
        str | None,
        typer.Option(
            "--from-hf",
            metavar="NAME",
            help="A Hugging Face dataset: a saved folder, a folder of audio, or a name.",
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="With --from-hf: the labels.")
    ] = None,
    audio_column: Annotated[
        str, typer.Option("--audio-column", help="With --from-hf: the audio.")
    ] = "audio",
    config: Annotated[
        str | None, typer.Option("--config", help="With --from-hf: the dataset's configuration.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="With --from-hf: of a dataset on the hub.")
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            metavar="THEIRS=OURS",
            help="With --from-hf: which of its splits is train, valid, test or a fold. Repeatable.",
        ),
    ] = None,
    fold_column: Annotated[
        str | None, typer.Option("--fold-column", help="With --from-hf: the clips' folds.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of a task of one's own.")] = None,
    version: Annotated[
        str, typer.Option("--version", help="Version of a corpus of one's own.")
    ] = "1.0.0",
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="S",
            help="Pad or trim every clip of one's own to this length; without it clips keep "
            "theirs.",
        ),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", metavar="NAME", help="Repeatable; the first is optimised."),
    ] = None,
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
    multilabel: Annotated[
        bool,
        typer.Option(
            "--multilabel",
            help="Take clips without a label although none has several: a clip has any number of "
            "labels.",
        ),
    ] = False,
    mirror: o.Mirror = None,
    cache: o.CacheDir = None,
    workers: o.Workers = None,
    executor: c.ExecutorName = "local",
    address: c.Address = None,
    cpus_per_unit: c.CpusPerUnit = None,
    shared: c.SharedUrl = None,
    json: o.Json = False,
) -> None:
    """Makes tasks in the official layout from raw corpora.

    Tasks of the catalog get exactly the official files, splits and labels; their corpora are
    taken from --corpus-dir or downloaded. A corpus of one's own is described by a list of clips
    or is a Hugging Face dataset. An interrupted run is finished by running the same again. With
    `--executor ray` the processes of many machines prepare a corpus each.
    """
    share = c.share_of(executor, address, cpus_per_unit, None, shared)
    names, rates = rates_of(tasks or (), sample_rate or ())
    own = OwnSettings(
        name=name,
        version=version,
        mode=mode or "full",
        duration_s=duration,
        scores=tuple(score or ()),
        split_mode=split_mode,
        nfolds=folds,
        multilabel=multilabel,
        sample_rates=rates,
    )
    _check_sources(names, from_csv, from_hf)
    _check_company(
        bool(names),
        {
            "--corpus-dir": corpus_dir,
            "--trust-corpus": trust_corpus,
            "--executor ray": share is not None,
        },
        "a task of the catalog",
    )
    _check_company(from_csv is not None, {"--audio": audio}, "--from-csv")
    _check_company(
        from_hf is not None,
        {
            "--label-column": label_column,
            "--config": config,
            "--revision": revision,
            "--split": split,
            "--fold-column": fold_column,
        },
        "--from-hf",
    )
    _check_company(
        not names,
        {
            "--name": name,
            "--duration": duration,
            "--score": score,
            "--split-mode": split_mode,
            "--folds": folds,
            "--multilabel": multilabel,
        },
        "--from-csv or --from-hf",
    )
    with answers_only():
        workspace = o.settings_of(cache, None, workers, mirror=mirror)
        target = workspace.cache_dir if out is None else out
        reporter = Reporter()
        failed: list[tuple[str, str]] = []
        if from_csv is not None:
            done = [prepare_csv(from_csv, audio, own, target, skip_corrupt, workspace)]
        elif from_hf is not None:
            done = [
                prepare_hf(
                    from_hf,
                    own,
                    target,
                    label_column=label_column,
                    audio_column=audio_column,
                    config=config,
                    revision=revision,
                    splits=o.pairs(split, "--split"),
                    fold_column=fold_column,
                    skip_corrupt=skip_corrupt,
                    workspace=workspace,
                )
            ]
        else:
            source = CatalogSource(tuple(corpus_dir or ()), trust_corpus, skip_corrupt, rates)
            wanted = _wanted(names, mode)
            if share is None:
                prepare_one = source.prepare(target, workspace)
            else:
                prepare_one = prepare_on_cluster(
                    wanted, source, out, share, address, shared, workspace, reporter
                )
            done, failed = _prepare_catalog(wanted, prepare_one, reporter)
    if json and names:
        answer_json(
            {
                "prepared": [_facts(task) for task in done],
                "failed": [{"task": task, "error": error} for task, error in failed],
            }
        )
    elif json:
        answer_json(_facts(done[0]))
    else:
        for task in done:
            _tell(task)
    if failed:
        raise typer.Exit(BAD_INPUT)


def _prepare_catalog(
    wanted: list[tuple[str, str]],
    prepare_one: Callable[[str, str], PreparedTask],
    reporter: Reporter,
) -> tuple[list[PreparedTask], list[tuple[str, str]]]:
    """Prepares tasks one after the other; one that fails doesn't keep the others from it."""
    done: list[PreparedTask] = []
    failed: list[tuple[str, str]] = []

    def attempt(name: str, mode: str) -> None:
        try:
            task = prepare_one(name, mode)
        except HearError as error:
            failed.append((name, str(error)))
            reporter.line(f"error: {error}" if len(wanted) == 1 else f"error: {name}: {error}")
            return
        done.append(task)
        reporter.line(f"{task.name}: wrote {task.folder}")

    for name, its_mode in wanted:
        attempt(name, its_mode)
    if failed and len(wanted) > 1:
        reporter.line(
            f"{len(done)} of {len(wanted)} tasks are prepared; failed: "
            f"{', '.join(name for name, _ in failed)}."
        )
    return done, failed


def _wanted(names: list[str], mode: str | None) -> list[tuple[str, str]]:
    """Names and modes of the tasks, so that slips are told before anything is done.

    Raises:
        HearError: There is no such task or mode, or a name says another mode than --mode.
    """
    from hearbench.tasks.catalog import catalog_names, get_spec
    from hearbench.tasks.naming import catalog_task

    if "all" in names:
        specs = [get_spec(name) for name in catalog_names()]
        return [
            (spec.name, spec.default_mode if mode is None else mode)
            for spec in specs
            if mode is None or mode in spec.modes
        ]
    wanted = []
    for name in names:
        found = catalog_task(name)
        if found is None:
            found = get_spec(name), ""  # says that there is none, and what was meant
        spec, its_mode = found
        if name == spec.name and mode is not None:
            its_mode = mode
        elif mode not in {None, its_mode}:
            raise HearError(f"{name} says the mode {its_mode}, and --mode {mode}; drop one.")
        spec.mode(its_mode)
        wanted.append((spec.name, its_mode))
    return list(dict.fromkeys(wanted))


def _check_sources(names: list[str], from_csv: Path | None, from_hf: str | None) -> None:
    given = [bool(names), from_csv is not None, from_hf is not None]
    if sum(given) != 1:
        raise HearError(
            "Name either tasks of the catalog, or --from-csv, or --from-hf"
            + ("; two of them can't be combined." if any(given) else ".")
            + " `hearbench list tasks` shows the catalog."
        )


def _check_company(wanted: bool, given: dict[str, Any], company: str) -> None:
    for option, value in given.items():
        if value not in (None, False) and not wanted:
            raise HearError(f"{option} only goes with {company}.")


def _facts(task: PreparedTask) -> dict[str, Any]:
    return {
        "name": task.name,
        "folder": str(task.folder),
        "kind": task.kind,
        "prediction_type": task.metadata.prediction_type,
        "splits": {split: len(files) for split, files in task.splits.items()},
        "labels": len(task.vocabulary),
        "scores": list(task.metadata.evaluation),
        "sample_rates": list(task.sample_rates),
    }


def _tell(task: PreparedTask) -> None:
    sizes = {split: len(files) for split, files in task.splits.items()}
    clips = ", ".join(f"{split} {size}" for split, size in sizes.items())
    answer_line(str(task.folder))
    say(
        f"{task.name}: {sum(sizes.values())} clips ({clips}), {len(task.vocabulary)} labels, "
        f"{task.metadata.prediction_type}, optimised for {task.metadata.evaluation[0]}"
    )
