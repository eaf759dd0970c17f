"""What a task is: facts that are checked when they are read, one TOML file a task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from hearbench.errors import TaskError, UnknownNameError
from hearbench.records import Record
from hearbench.registry import did_you_mean
from hearbench.tasks.catalog.downloads import Download, FilePart, Text, WebAddress
from hearbench.tasks.catalog.modes import (
    Downloads,
    Flag,
    Folds,
    ModeSpec,
    PlainName,
    Positive,
    TfdsSource,
)
from hearbench.tasks.catalog.toml import explain, parse
from hearbench.tasks.recipe import Recipe
from hearbench.tasks.spec import SplitMode, score_problems
from hearbench.tasks.task_type import TASK_TYPES, EmbeddingType, PredictionType, TaskType, task_type

__all__ = ["DOMAINS", "Domain", "Download", "FilePart", "ModeSpec", "TaskSpec", "TfdsSource"]

Domain = Literal["speech", "environment", "music"]
DOMAINS: tuple[str, ...] = get_args(Domain)

ParamGrid = dict[
    str,
    Annotated[list[Annotated[int | float, Field(ge=0, allow_inf_nan=False)]], Field(min_length=1)],
]
Params = dict[Literal["event_postprocessing_grid", "task_specific_param_grid"], ParamGrid]


class TaskSpec(Record):
    """All that is known of a task before its corpus is there.

    Attributes:
        name: Its name; with version and mode the name of its folder.
        version: Version of the corpus.
        title: Its name for people.
        about: What it asks, in a sentence.
        domain: ``speech``, ``environment`` or ``music``.
        embedding_type: ``scene`` for labels per clip, ``event`` for labels in time.
        prediction_type: ``multiclass`` for exactly one label per clip, or ``multilabel``.
        split_mode: ``trainvaltest`` (missing splits are cut out of train), ``new_split_kfold``,
            or ``presplit_kfold`` (the corpus names the folds).
        nfolds: Number of folds, where there are folds.
        sample_duration_s: Length in seconds that every clip is brought to; None leaves them.
        scores: Names of the scores, the one to optimise first.
        evaluation_params: Postprocessing and other settings that the benchmark fixes.
        use_scoring_for_early_stopping: False where the validation loss is to choose.
        default_mode: The mode that is meant where none is named.
        corpus: The parser of its corpus, for :func:`hearbench.tasks.corpora.get_parser`.
        options: What the parser has to know besides.
        homepage: Address of the corpus's own page.
        licence: Licence of the corpus.
        citation: Whom to cite for the corpus.
        notes: What a user should know about getting it.
        downloads: The files of the corpus.
        tfds: The TensorFlow dataset that it was exported from.
        originals: Patterns, in the manner of a shell, of the names of files and folders by which
            the corpus behind ``tfds`` is recognised.
        modes: The modes by their names.
    """

    name: PlainName
    version: PlainName
    title: Text
    about: Text
    domain: Domain
    embedding_type: EmbeddingType
    prediction_type: PredictionType
    split_mode: SplitMode
    nfolds: Folds | None = None
    sample_duration_s: Positive | None = None
    scores: Annotated[tuple[str, ...], Field(min_length=1)]
    evaluation_params: Params | None = None
    use_scoring_for_early_stopping: Flag = True
    default_mode: str
    corpus: PlainName
    options: dict[str, Any] = Field(default_factory=dict)
    homepage: WebAddress
    licence: Text
    citation: Text | None = None
    notes: Text | None = None
    downloads: Downloads = ()
    tfds: TfdsSource | None = None
    originals: tuple[Text, ...] = ()
    modes: Annotated[dict[PlainName, ModeSpec], Field(min_length=1)]

    @property
    def task_type(self) -> TaskType:
        """The kind of task."""
        return task_type(self.embedding_type)

    @model_validator(mode="after")
    def _consistent(self) -> TaskSpec:
        wrong = [problem.rstrip(".") for problem in score_problems(self.scores, self.task_type)]
        possible = self.task_type.prediction_types
        if self.prediction_type not in possible:
            wrong.append(
                f"prediction_type of {self.task_type.noun} is {' or '.join(map(repr, possible))}"
            )
        if self.default_mode not in self.modes:
            wrong.append(
                f"default_mode is {self.default_mode!r}, and the modes are {', '.join(self.modes)}"
            )
        kfold = self.split_mode != "trainvaltest"
        if kfold and self.nfolds is None:
            wrong.append(f"split_mode {self.split_mode!r} needs nfolds")
        if not kfold and self.nfolds is not None:
            wrong.append("nfolds belongs to new_split_kfold and presplit_kfold")
        wrong.extend(
            f"{key} belongs to {kind.name} tasks"
            for kind in TASK_TYPES
            for key in kind.params
            if key in (self.evaluation_params or {}) and key not in self.task_type.params
        )
        if self.originals and self.tfds is None:
            wrong.append("originals belongs to a task with tfds")
        for name, mode in self.modes.items():
            wrong.extend(f"modes.{name}: {problem}" for problem in self._problems_of(mode))
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _problems_of(self, mode: ModeSpec) -> list[str]:
        kfold = self.split_mode != "trainvaltest"
        wrong = []
        if mode.nfolds is not None and not kfold:
            wrong.append("nfolds belongs to new_split_kfold and presplit_kfold")
        if mode.split_percentage is not None and kfold:
            wrong.append("split_percentage belongs to trainvaltest")
        if isinstance(mode.max_duration_s, dict) and kfold:
            wrong.append("max_duration_s of a task with folds is one number, for every fold")
        if isinstance(mode.max_duration_s, float) and not kfold:
            wrong.append("max_duration_s of trainvaltest has numbers for train, valid or test")
        if mode.max_duration_s is not None and not (
            mode.sample_duration_s or self.sample_duration_s
        ):
            wrong.append("max_duration_s needs sample_duration_s")
        return wrong

    def mode(self, mode: str) -> ModeSpec:
        """What is particular to a mode.

        Raises:
            UnknownNameError: The task has no such mode.
        """
        if mode not in self.modes:
            known = did_you_mean(mode, list(self.modes))
            raise UnknownNameError(f"The task {self.name!r} has no mode {mode!r}. {known}")
        return self.modes[mode]

    def folder_name(self, mode: str) -> str:
        """``<name>-<version>-<mode>``, the name of the prepared task's folder."""
        self.mode(mode)
        return f"{self.name}-{self.version}-{mode}"

    def downloads_of(self, mode: str) -> tuple[Download, ...]:
        """The files of a mode's corpus; none where the task only has a TensorFlow dataset."""
        own = self.mode(mode).downloads
        return self.downloads if own is None else own

    def duration_of(self, mode: str) -> float | None:
        """The length in seconds that every clip is brought to; None leaves them."""
        return self.mode(mode).sample_duration_s or self.sample_duration_s

    def hours_of(self, mode: str) -> float | None:
        """Total duration of the audio in hours; None where it isn't known."""
        chosen, duration_s = self.mode(mode), self.duration_of(mode)
        if chosen.hours is not None or chosen.clips is None or duration_s is None:
            return chosen.hours
        return chosen.clips * duration_s / 3600

    def recipe(self, mode: str, sample_rates: tuple[int, ...]) -> Recipe:
        """How the clips of the corpus become the task, at some sample rates in Hz.

        Raises:
            UnknownNameError: The task has no such mode.
        """
        chosen = self.mode(mode)
        folds = chosen.nfolds or self.nfolds
        return Recipe(
            name=self.name,
            version=self.version,
            mode=mode,
            embedding_type=self.embedding_type,
            prediction_type=self.prediction_type,
            split_mode=self.split_mode,
            sample_duration_s=self.duration_of(mode),
            scores=self.scores,
            **({} if folds is None else {"nfolds": folds}),
            sample_rates=sample_rates,
            split_percentage=_by_name(chosen.split_percentage),
            max_duration_s=(
                chosen.max_duration_s
                if isinstance(chosen.max_duration_s, float)
                else _by_name(chosen.max_duration_s)
            ),
            evaluation_params=_by_name(self.evaluation_params),
            use_scoring_for_early_stopping=self.use_scoring_for_early_stopping,
        )

    @classmethod
    def from_toml(cls, path: Path) -> TaskSpec:
        """Reads the TOML file of a task.

        Raises:
            TaskError: It can't be read, or facts are missing, unknown or contradict each other;
                the message names the file, the keys and what is allowed.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TaskError(f"The task file {path} can't be read: {error}.") from error
        return cls.from_text(text, str(path))

    @classmethod
    def from_text(cls, text: str, source: str) -> TaskSpec:
        """Reads the text of such a file; ``source`` names it in messages.

        Raises:
            TaskError: As in :meth:`from_toml`.
        """
        values = parse(text, source)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise explain(error, source, _MODELS) from error


_MODELS: dict[str, type[BaseModel]] = {
    "": TaskSpec,
    "downloads": Download,
    "parts": FilePart,
    "tfds": TfdsSource,
    "modes": ModeSpec,
}


def _by_name(values: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    return None if values is None else dict(values)
