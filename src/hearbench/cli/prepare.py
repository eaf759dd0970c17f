"""``hearbench prepare``: tasks of the catalog, and corpora of your own, in the official layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import typer

from hearbench.cli import options as o
from hearbench.cli.cluster import ClusterOptions
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import HearError

if TYPE_CHECKING:
    from hearbench.tasks.from_hf import HfDataset
    from hearbench.tasks.own_recipe import OwnTask
    from hearbench.tasks.spec import SplitMode
    from hearbench.tasks.store import PreparedTask

__all__ = ["prepare"]


@dataclass(frozen=True)
class WrittenOptions:
    """The choices about the prepared task that any corpus leaves."""

    PANEL: ClassVar[str] = "Output"

    mode: Annotated[
        str | None,
        typer.Option(
            "--mode", metavar="NAME", help="Part of the corpus; by default the task's usual one."
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder that takes tasks/NAME-VERSION-MODE; by default the cache, where --task "
            "finds it by its name.",
            show_default=False,
        ),
    ] = None
    sample_rate: Annotated[
        list[str] | None,
        typer.Option(
            "--sample-rate",
            metavar="N",
            help="Sample rate in Hz; by default the corpus's highest. Others are made when they "
            "are needed. Repeatable.",
        ),
    ] = None
    skip_corrupt: Annotated[
        bool,
        typer.Option(
            "--skip-corrupt",
            help="Leave out clips that can't be decoded; the task's metadata names them.",
        ),
    ] = False


@dataclass(frozen=True)
class CorpusOptions:
    """Options for where the corpora of tasks of the catalog are."""

    PANEL: ClassVar[str] = "Corpora of the benchmark"

    corpus_dir: o.CorpusDirs = None
    trust_corpus: Annotated[
        bool,
        typer.Option(
            "--trust-corpus",
            help="Take files whose MD5 isn't the catalog's; the task's metadata says so.",
        ),
    ] = False


@dataclass(frozen=True)
class CsvOptions:
    """A corpus that is described by a list of clips."""

    PANEL: ClassVar[str] = "Your own clips in a CSV file"

    from_csv: Annotated[
        Path | None,
        typer.Option(
            "--from-csv",
            metavar="F",
            help="A list of clips: columns path,label and optionally split or fold, caption.",
        ),
    ] = None
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio", metavar="DIR", help="With --from-csv: folder that its paths are relative to."
        ),
    ] = None
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="COLUMN",
            help="With --from-csv: a column of numbers to predict, instead of labels. Repeatable.",
        ),
    ] = None


@dataclass(frozen=True)
class HuggingFaceOptions:
    """A corpus that is a Hugging Face dataset."""

    PANEL: ClassVar[str] = "A Hugging Face dataset"

    from_hf: Annotated[
        str | None,
        typer.Option(
            "--from-hf",
            metavar="NAME",
            help="A Hugging Face dataset: a saved folder, a folder of audio, or a name.",
        ),
    ] = None
    label_column: Annotated[
        str | None,
        typer.Option(
            "--label-column", metavar="COLUMN", help="With --from-hf: column of the labels."
        ),
    ] = None
    audio_column: Annotated[
        str,
        typer.Option(
            "--audio-column", metavar="COLUMN", help="With --from-hf: column of the audio."
        ),
    ] = "audio"
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="NAME", help="With --from-hf: the dataset's configuration."
        ),
    ] = None
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision", metavar="REV", help="With --from-hf: revision of a dataset on the hub."
        ),
    ] = None
    split: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            metavar="THEIRS=OURS",
            help="With --from-hf: which of its splits is train, valid, test or a fold. Repeatable.",
        ),
    ] = None
    fold_column: Annotated[
        str | None,
        typer.Option(
            "--fold-column", metavar="COLUMN", help="With --from-hf: column of the clips' folds."
        ),
    ] = None

    def dataset(self, source: str) -> HfDataset:
        """The dataset that the options describe.

        Raises:
            HearError: The column of labels isn't named, or a pair of splits has no ``=``.
        """
        from hearbench.tasks.from_hf import HfDataset

        if self.label_column is None:
            raise HearError("--from-hf needs --label-column, the column that holds the labels.")
        return HfDataset(
            source,
            self.label_column,
            audio_column=self.audio_column,
            config=self.config,
            revision=self.revision,
            splits=o.pairs(self.split, "--split"),
            fold_column=self.fold_column,
        )


@dataclass(frozen=True)
class OwnTaskOptions:
    """A task made of a corpus that isn't in the catalog."""

    PANEL: ClassVar[str] = "A task of your own"

    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of a task of your own.")
    ] = None
    version: Annotated[
        str, typer.Option("--version", metavar="X.Y.Z", help="Version of a corpus of your own.")
    ] = "1.0.0"
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            metavar="S",
            help="Pad or trim every clip of your own to this length; without it clips keep theirs.",
        ),
    ] = None
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score", metavar="NAME", help="Score to compute; the first is optimised. Repeatable."
        ),
    ] = None
    split_mode: Annotated[
        str | None,
        typer.Option(
            "--split-mode",
            metavar="trainvaltest|new_split_kfold",
            help="How clips without split and fold are divided; trainvaltest by default.",
        ),
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds", metavar="N", help="Number of folds for new_split_kfold; 5 by default."
        ),
    ] = None
    multilabel: Annotated[
        bool,
        typer.Option(
            "--multilabel",
            help="Make a multilabel task even if no clip has several labels; clips may have none.",
        ),
    ] = False

    def task(
        self,
        written: WrittenOptions,
        sample_rates: tuple[int, ...],
        targets: Sequence[str] | None = None,
    ) -> OwnTask:
        """The task that the options describe.

        Raises:
            HearError: It has no name, or there is no such split mode.
        """
        from hearbench.tasks.own_recipe import OwnTask

        if self.name is None:
            raise HearError("A task of your own needs a name: add --name, as in --name birds.")
        return OwnTask(
            self.name,
            version=self.version,
            mode=written.mode or "full",
            duration_s=self.duration,
            scores=tuple(self.score or ()),
            sample_rates=sample_rates,
            split_mode=cast("SplitMode | None", self.split_mode),
            nfolds=self.folds,
            multilabel=self.multilabel,
            targets=tuple(targets or ()),
            skip_corrupt=written.skip_corrupt,
        )


@verb(
    "hearbench prepare esc50 beijing_opera --out data",
    "hearbench prepare maestro --mode 5h --corpus-dir ~/downloads --sample-rate 16000",
    "hearbench prepare --from-csv clips.csv --audio recordings --name birds --out data \\\n"
    "    --duration 3 --score top1_acc --score mAP --folds 5",
    "hearbench prepare --from-csv moods.csv --audio recordings --name moods --target valence \\\n"
    "    --target arousal",
    "hearbench prepare all --executor ray --address auto",
    "hearbench prepare --from-hf ./my-dataset --label-column species --name birds --out data",
    options="corpus_dir trust_corpus from_csv audio target from_hf "
    "label_column audio_column config revision split fold_column name version duration score "
    "split_mode folds multilabel out mode sample_rate skip_corrupt mirror cache workers executor "
    "address cpus_per_unit shared json",
)
def prepare(
    written: WrittenOptions,
    corpus: CorpusOptions,
    csv: CsvOptions,
    hf: HuggingFaceOptions,
    own: OwnTaskOptions,
    place: ClusterOptions,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK]",
            help="Tasks of the catalog (see `hearbench list tasks`), as esc50 or esc50-small; a "
            "named subset as hear-11; or `all`.",
            show_default=False,
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Makes tasks in the official layout from raw corpora.

    Tasks of the catalog get exactly the official files, splits and labels; their corpora are
    taken from --corpus-dir or downloaded. A corpus of your own is described by a list of clips or
    is a Hugging Face dataset. Run the same command again to resume an interrupted run. With
    `--executor ray` the processes of many machines prepare a corpus each.
    """
    from hearbench.evaluation.preparing import prepare_tasks
    from hearbench.tasks.from_corpus import CatalogSource, catalog_tasks
    from hearbench.tasks.from_csv import prepare_from_csv
    from hearbench.tasks.from_hf import prepare_from_hf
    from hearbench.tasks.store import load_task

    share = place.share()
    names, rates = _names_and_rates(tasks or [], written.sample_rate or [])
    _check_sources(names, csv.from_csv, hf.from_hf)
    on_ray = ["--executor ray"] if share is not None else []
    _check_company(bool(names), [*_given(corpus), *on_ray], "a task of the catalog")
    _check_company(csv.from_csv is not None, _given(csv), "--from-csv")
    _check_company(hf.from_hf is not None, _given(hf), "--from-hf")
    _check_company(not names, _given(own), "--from-csv or --from-hf")
    with answers_only():
        workspace = place.workspace()
        target = workspace.cache_dir if written.out is None else written.out
        failed: list[tuple[str, str]] = []
        if csv.from_csv is not None:
            if csv.audio is None:
                raise HearError(
                    "--from-csv needs --audio, the folder that its paths are relative to."
                )
            asked = own.task(written, rates, csv.target)
            folder = prepare_from_csv(csv.from_csv, csv.audio, asked, target, workspace=workspace)
            done = [load_task(folder, workspace=workspace)]
        elif hf.from_hf is not None:
            dataset = hf.dataset(hf.from_hf)
            folder = prepare_from_hf(dataset, own.task(written, rates), target, workspace=workspace)
            done = [load_task(folder, workspace=workspace)]
        else:
            source = CatalogSource(
                tuple(corpus.corpus_dir or ()), corpus.trust_corpus, written.skip_corrupt, rates
            )
            wanted = catalog_tasks(names, written.mode)
            sent = place.shared is not None
            with place.running(workspace) as executor:
                prepared = prepare_tasks(
                    wanted, source, written.out, workspace, executor, sent=sent
                )
            done, failed = prepared.done, prepared.failed
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


def _names_and_rates(
    names: list[str], sample_rates: list[str]
) -> tuple[list[str], tuple[int, ...]]:
    """Tells tasks from rates, which may also stand behind one ``--sample-rate`` in a row.

    Raises:
        HearError: A rate is no integer.
    """
    rates = [part for text in sample_rates for part in text.split(",")]
    if rates:
        rates += [name for name in names if name.isdecimal()]
        names = [name for name in names if not name.isdecimal()]
    for text in rates:
        if not text.isdecimal():
            raise HearError(f"--sample-rate {text}: a rate is a whole number of Hz, as 16000.")
    return names, tuple(dict.fromkeys(int(text) for text in rates))


def _check_sources(names: list[str], from_csv: Path | None, from_hf: str | None) -> None:
    given = [bool(names), from_csv is not None, from_hf is not None]
    if sum(given) != 1:
        raise HearError(
            "Name either tasks of the catalog, or --from-csv, or --from-hf"
            + ("; two of them can't be combined." if any(given) else ".")
            + " `hearbench list tasks` shows the catalog."
        )


def _given(group: Any) -> list[str]:
    """The options of a group that were given, of those that do nothing by default."""
    return [
        f"--{field.name.replace('_', '-')}"
        for field in dataclasses.fields(group)
        if field.default in (None, False) and getattr(group, field.name) not in (None, False)
    ]


def _check_company(wanted: bool, given: list[str], company: str) -> None:
    if given and not wanted:
        raise HearError(f"{given[0]} only goes with {company}.")


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
