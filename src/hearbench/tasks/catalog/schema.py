"""The catalog's description of a task: one TOML file, checked when it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from hearbench.errors import TaskError, UnknownNameError
from hearbench.files import SYNTAX_ERRORS
from hearbench.records import Record
from hearbench.registry import did_you_mean
from hearbench.tasks.problems import Problems
from hearbench.tasks.prompts import Prompts
from hearbench.tasks.recipe import Recipe
from hearbench.tasks.spec import SplitMode, is_plain_name, score_problems
from hearbench.tasks.splits import TRAIN_VALID_TEST
from hearbench.tasks.task_type import (
    SCENE,
    TASK_TYPES,
    EmbeddingType,
    PredictionType,
    TaskType,
    task_type,
)
from hearbench.tasks.training_sets import find_training_set
from hearbench.toml import tomllib

__all__ = [
    "DOMAINS",
    "Domain",
    "Download",
    "FilePart",
    "ModeSpec",
    "TaskSpec",
    "Text",
    "TfdsSource",
    "TrainingOverlap",
    "address_file_name",
]

_UNSAFE_NAME = re.compile(r"[\x00-\x1f\\/:*?\"<>|]")


def address_file_name(url: str) -> str:
    """The name of the file behind an address, such as ``FSD50K.metadata.zip``."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:  # such as a broken IPv6 host
        whole = False
    if not whole or re.search(r"\s", text):
        raise ValueError(f"{text!r} is no address; it begins with http:// or https://")
    return text


def _file_address(text: str) -> str:
    name = address_file_name(text)
    if name in {"", ".", ".."} or _UNSAFE_NAME.search(name):
        raise ValueError(f"{text!r} doesn't end in the name of a file")
    return text


def _md5(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise ValueError(f"{text!r} is no MD5, which has 32 hex digits")
    return text.lower()


Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
_WebAddress = Annotated[str, AfterValidator(_web_address)]
FileAddress = Annotated[_WebAddress, AfterValidator(_file_address)]
_Md5 = Annotated[str, AfterValidator(_md5)]


class FilePart(Record):
    """One part of an archive that was published in several.

    Attributes:
        md5: Its MD5, 32 hex digits; None where none was published.
    """

    url: FileAddress
    md5: _Md5 | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address, without a query."""
        return address_file_name(self.url)


class Download(Record):
    """One file of a corpus, or one archive in several parts.

    Attributes:
        split: The split, or other part of the corpus, that it holds.
        name: Tells apart downloads of one split.
        url: Its address; None for an archive in parts.
        md5: The MD5 of the file at ``url``, 32 hex digits; None where none was published.
        parts: The parts of a split zip, ``.z01`` and on, with ``.zip`` the last.
        zipname: The part that names a split zip as a whole, ``<name>.zip``.
    """

    split: Text | None = None
    name: Text | None = None
    url: FileAddress | None = None
    md5: _Md5 | None = None
    parts: tuple[FilePart, ...] = ()
    zipname: Text | None = None

    @property
    def file_name(self) -> str:
        """The name of the file, or of the whole archive where that is in parts."""
        return self.zipname or address_file_name(self.url or "")

    @property
    def files(self) -> tuple[FilePart, ...]:
        """All files that have to be fetched for it."""
        return self.parts or (FilePart(url=self.url or "", md5=self.md5),)

    @model_validator(mode="after")
    def _whole(self) -> Download:
        if (self.url is None) == (not self.parts):
            raise ValueError("a download has either url or parts")
        if self.parts:
            names = [part.file_name for part in self.parts]
            if self.md5 is not None:
                raise ValueError("in a download with parts, each part has its own md5")
            if self.zipname != names[-1]:
                raise ValueError(
                    f"zipname is the name of the last part, {names[-1]!r}, not {self.zipname!r}"
                )
            _refuse_twice(names, "parts")
        elif self.zipname is not None:
            raise ValueError("zipname belongs to a download with parts")
        if self.split is None and self.name is None:
            raise ValueError("a download has split, name or both")
        return self


def check_downloads(downloads: tuple[Download, ...]) -> tuple[Download, ...]:
    """Refuses two files of one name, which would lie in one folder."""
    _refuse_twice([part.file_name for item in downloads for part in item.files], "downloads")
    return downloads


def _refuse_twice(names: list[Any], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} of one name: {', '.join(twice)}")


Domain = Literal["speech", "environment", "music"]
DOMAINS: tuple[str, ...] = get_args(Domain)

ParamGrid = dict[
    str,
    Annotated[list[Annotated[int | float, Field(ge=0, allow_inf_nan=False)]], Field(min_length=1)],
]
Params = dict[Literal["event_postprocessing_grid", "task_specific_param_grid"], ParamGrid]
_SHOWN = 20  # of each kind of mistake in a file


def _plain(text: str) -> str:
    if not is_plain_name(text):
        raise ValueError(
            f"{text!r} can't be part of a folder's name; use letters, digits and _ . + -"
        )
    return text


def _max_duration(value: Any) -> Any:
    # By hand, as pydantic would complain about a union once for each of its members.
    numbers = value.values() if isinstance(value, dict) else [value]
    for number in numbers:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not (is_number and 0 < number < math.inf):
            raise ValueError(f"a duration is a positive number of seconds, not {number!r}")
    if isinstance(value, dict) and (not value or not set(value) <= set(TRAIN_VALID_TEST)):
        raise ValueError(
            f"it has numbers for train, valid or test, not for {sorted(map(str, value))}"
        )
    return value


# Strict, because a TOML file that says "5" where 5 is meant, or true for 1, is wrong.
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Strict(), Field(ge=0, le=100)]
Count = Annotated[int, Strict(), Field(ge=1)]
Folds = Annotated[int, Strict(), Field(ge=3, le=100)]
Flag = Annotated[bool, Strict()]
PlainName = Annotated[str, AfterValidator(_plain)]
SplitName = Literal["train", "valid", "test"]
MaxDuration = Annotated[float | dict[SplitName, float], BeforeValidator(_max_duration)]
Downloads = Annotated[tuple[Download, ...], AfterValidator(check_downloads)]


class TfdsSource(Record):
    """The TensorFlow dataset that a task was exported from.

    Attributes:
        splits: Its splits that were exported.
    """

    name: PlainName
    version: PlainName
    splits: Annotated[tuple[Text, ...], Field(min_length=1)]


class TrainingOverlap(Record):
    """What a training set has in common with the task's test clips.

    Attributes:
        set: Name of the training set, as in ``training_sets.toml``.
        how: ``test`` if the test's recordings are in it, ``perhaps`` if some may be.
        why: Where the common recordings come from, in a sentence.
        source: Web address where that can be read.
        checked: False for what couldn't be looked up there.
    """

    set: Annotated[str, AfterValidator(find_training_set)]
    how: Literal["test", "perhaps"]
    why: Text
    source: _WebAddress
    checked: Flag = True


class ModeSpec(Record):
    """Settings of one mode of a task; None leaves the task's own.

    Attributes:
        sample_duration_s: Length in seconds that every clip is brought to.
        split_percentage: Percentages of train, valid and test, where splits are cut out of
            train; None for 80, 10 and 10.
        max_duration_s: Total duration in seconds that is kept of every fold, or of each of
            train, valid and test by name; without one, all is kept.
        downloads: The files of this mode's corpus.
        clips: Number of clips in all splits together, where it is known.
        hours: Total duration of the audio as published, where clips differ in length.
        leaderboard: Column of the benchmark's table of results that it is.
    """

    sample_duration_s: Positive | None = None
    nfolds: Folds | None = None
    split_percentage: dict[SplitName, Percent] | None = None
    max_duration_s: MaxDuration | None = None
    downloads: Downloads | None = None
    clips: Count | None = None
    hours: Positive | None = None
    leaderboard: Text | None = None

    @model_validator(mode="after")
    def _percentages(self) -> ModeSpec:
        given = self.split_percentage
        if given is None:
            return self
        if set(given) != set(TRAIN_VALID_TEST) or not given["train"]:
            raise ValueError("split_percentage has numbers for train (not 0), valid and test")
        if not math.isclose(sum(given.values()), 100):
            raise ValueError(
                f"split_percentage adds up to {sum(given.values()):g}, where it should be 100"
            )
        return self


class TaskSpec(Record):
    """A task of the catalog: all that is known without its corpus.

    Attributes:
        name: Name of the task; with version and mode the name of its folder.
        title: Name of the task for people.
        about: Question that the task asks, in a sentence.
        domain: ``speech``, ``environment`` or ``music``.
        embedding_type: ``scene`` for labels per clip, ``event`` for labels in time.
        prediction_type: ``multiclass`` for exactly one label per clip, ``multilabel``, or
            ``regression`` for numbers.
        split_mode: ``trainvaltest`` (missing splits are cut out of train), ``new_split_kfold``,
            or ``presplit_kfold`` (the corpus names the folds).
        nfolds: Number of folds, where there are folds.
        sample_duration_s: Length in seconds that every clip is brought to; None leaves them.
        scores: Names of the scores, the one to optimise first.
        evaluation_params: Postprocessing and other settings that the benchmark fixes.
        use_scoring_for_early_stopping: False where the validation loss is to choose.
        labels_follow: What of a sound its label would have to follow: its ``pitch``, its ``level``,
            or how many ``sources`` it has.
        default_mode: The mode that is meant where none is named.
        corpus: The parser of its corpus, for :func:`hearbench.tasks.corpora.get_parser`.
        options: What the parser has to know besides.
        homepage: Address of the corpus's own page.
        citation: Whom to cite for the corpus.
        notes: What a user should know about getting it.
        downloads: The files of the corpus.
        tfds: The TensorFlow dataset that it was exported from.
        originals: Patterns, in the manner of a shell, of the names of files and folders by which
            the corpus behind ``tfds`` is recognised.
        prompts: How its classes are put into words, for models that embed text.
        overlaps: Training sets that hold its test clips, or may hold some.
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
    labels_follow: tuple[Literal["pitch", "level", "sources"], ...] = ()
    default_mode: str
    corpus: PlainName
    options: dict[str, Any] = Field(default_factory=dict)
    homepage: _WebAddress
    licence: Text
    citation: Text | None = None
    notes: Text | None = None
    downloads: Downloads = ()
    tfds: TfdsSource | None = None
    originals: tuple[Text, ...] = ()
    prompts: Prompts | None = None
    overlaps: tuple[TrainingOverlap, ...] = ()
    modes: Annotated[dict[PlainName, ModeSpec], Field(min_length=1)]

    @property
    def task_type(self) -> TaskType:
        """The kind of task."""
        return task_type(self.embedding_type, self.prediction_type)

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
        if self.prompts is not None and self.task_type is not SCENE:
            wrong.append("prompts belongs to scene tasks")
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
        """The settings of a mode.

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
        """The recipe by which clips become the task, at some sample rates in Hz.

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
            TaskError: See :meth:`from_toml`.
        """
        values = _parse(text, source)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _explain(error, source, _MODELS) from error


_MODELS: dict[str, type[BaseModel]] = {
    "": TaskSpec,
    "downloads": Download,
    "parts": FilePart,
    "tfds": TfdsSource,
    "prompts": Prompts,
    "modes": ModeSpec,
}


def _by_name(values: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    return None if values is None else dict(values)


def _parse(text: str, source: str) -> dict[str, Any]:
    """The values of a TOML file; ``source`` names it in messages.

    Raises:
        TaskError: It is no TOML.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except SYNTAX_ERRORS as error:
        raise TaskError(f"The task file {source} is no TOML: {error}.") from error
    return values


def _explain(
    error: ValidationError, source: str, models: Mapping[str, type[BaseModel]]
) -> TaskError:
    """All that is wrong with such a file in one error.

    Args:
        error: What pydantic says of its values.
        models: The model below each key of a table, and that of the whole file below ``""``.
    """
    problems = Problems(examples=_SHOWN)
    for item in error.errors(include_url=False):
        place = item["loc"]
        key = ".".join(map(str, place))
        if item["type"] == "extra_forbidden":
            within = next((str(part) for part in place[-2::-1] if part in models), "")
            known = did_you_mean(str(place[-1]), list(models[within].model_fields))
            problems.add("unknown keys", f"{key}. {known}")
        elif item["type"] == "missing":
            problems.add("keys that are missing", key)
        else:
            message = item["msg"].removeprefix("Value error, ")
            problems.add("values", f"{key}: {message}" if key else message)
    return problems.error(f"The task file {source} can't be used; wrong are:", "Mend these.")
