"""Fingerprints of protocols: which scores can be compared, and in what protocols differ.

The fingerprint of a result covers what decides which score to expect: the protocol's content, and
the precision of the embeddings on disk. It leaves out what moves a score around its expectation
alone (seeds, the draw of a part of the training clips, the precision of the training's products,
which machines choose by themselves; docs/benchmarks.md has measured it), and what belongs to the
task: values of the grid that the task's metadata fix, or the published code by the task's name. So
one protocol has one fingerprint on all tasks, seeds and machines.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearbench.digest import digest_json
from hearbench.embeddings.manifest import PerturbationRecord
from hearbench.errors import HearError, ProbeError, ResultError, UnknownNameError
from hearbench.probe.grid import GridPoint
from hearbench.probe.protocol import HEAR2021, NEVER_UNDEFINED, Protocol, get_protocol
from hearbench.probe.subset import TrainSubset
from hearbench.results.finding import find_result_files, seed_folders
from hearbench.results.record import Result
from hearbench.tasks.catalog import catalog_task
from hearbench.tasks.evaluation_params import PARAM_GRID
from hearbench.workspace import user_path

__all__ = ["Conditions", "diff_protocols", "find_conditions", "named_protocol"]

# Rises when what a fingerprint covers changes.
_VERSION = 1
_DIGITS = 10
_USUAL_DTYPE = "float32"
# It looks through the installed packages, and each of few names comes many times.
_catalog_task = functools.cache(catalog_task)
# What isn't the protocol's content, or not always.
_NO_CONTENT = {"name", "task_changes"}
# The key of a task's metadata that isn't called as the field of a grid point.
_METADATA_KEYS = {"check_every": "check_val_every_n_epoch"}


@dataclass(frozen=True)
class Conditions:
    """The conditions under which scores were made, as far as they decide what to expect of them.

    Attributes:
        protocol: The protocol before a task changes it.
        dtype: Type of the embeddings on disk.
        seeds: Seeds of the trainings. Like the precision they are said in words, and left out of
            the fingerprint.
        precision: Precision of the training's matrix products; None where nothing is trained, or
            a protocol is only named.
        perturbation: How the audio was disturbed; None if it wasn't.
    """

    protocol: Protocol
    dtype: str = _USUAL_DTYPE
    seeds: tuple[int, ...] = ()
    precision: str | None = None
    perturbation: PerturbationRecord | None = None

    @classmethod
    def of(cls, result: Result, seeds: Sequence[int] = ()) -> Conditions:
        """The conditions of a result.

        Args:
            seeds: Seeds of all trainings, where there are more than the result's own.
        """
        protocol = _before_task(result)
        return cls(
            protocol=protocol,
            precision=result.precision if protocol.is_random else None,
            dtype=result.embeddings.dtype,
            seeds=(tuple(seeds) or (result.seed,)) if protocol.is_random else (),
            perturbation=result.task.perturbation,
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of ten hexadecimal digits; scores of one task and fingerprint can be compared."""
        content = {
            "version": _VERSION,
            "protocol": _content(self.protocol),
            "dtype": self.dtype,
        }
        if self.perturbation is not None:
            content["perturbation"] = self.perturbation.model_dump(mode="json")
        return digest_json(content)[:_DIGITS]

    def words(self) -> str:
        """The same in words: ``hear2021 with 2 of 8 grid points, seeds 42 to 44, float32``."""
        parts = [self.short_words]
        if self.protocol.subset is not None:
            parts.append(f"repeat {self.protocol.subset.repeat}")
        if self.seeds:
            parts.append(_seeds_in_words(self.seeds))
        if self.precision is not None:
            parts.append(self.precision)
        return ", ".join(parts)

    @property
    def short_words(self) -> str:
        """What the fingerprint covers in words: ``hear2021 with 2 of 8 grid points``."""
        parts = [_name_in_words(self.protocol), *_parts_in_words(self.protocol)]
        if self.dtype != _USUAL_DTYPE:
            parts.append(f"embeddings in {self.dtype}")
        if self.perturbation is not None:
            parts.append(_heard(self.perturbation))
        return ", ".join(parts)

    def differences(self, other: Conditions) -> list[str]:
        """In what two conditions differ, in sentences about "A", this one, and "B", the other.

        There is none where the fingerprints are the same.
        """
        found = _protocol_differences(self.protocol, other.protocol)
        if self.dtype != other.dtype:
            found.append(f"The embeddings are stored in {self.dtype} in A, in {other.dtype} in B.")
        if self.perturbation != other.perturbation:
            one, two = (_heard(each.perturbation) for each in (self, other))
            found.append(f"The audio is {one} in A, {two} in B.")
        return found


Named = Conditions | Result | Protocol | Path | str
"""A protocol, or what has one."""


def diff_protocols(a: Named, b: Named) -> list[str]:
    """Says in what the protocols of two results, or two protocols, differ.

    Args:
        a: A result or a protocol, or what `find_conditions` finds one by.
        b: The one that it is compared with.

    Returns:
        Sentences about "A" and "B"; empty if scores that they make can be compared.

    Raises:
        HearError: A name or path is of neither.
    """
    return _conditions(a).differences(_conditions(b))


def _conditions(named: Named) -> Conditions:
    if isinstance(named, Conditions):
        return named
    if isinstance(named, Result):
        return Conditions.of(named)
    return Conditions(named) if isinstance(named, Protocol) else find_conditions(str(named))


def find_conditions(text: str) -> Conditions:
    """The conditions that a text names: a protocol, or the results in a folder or file.

    Args:
        text: Name of a protocol, with a part of its grid as results call it or without; or path of
            a result, or of several by the same protocol.

    Raises:
        UnknownNameError: It is neither.
        ResultError: The results can't be read, or are by different protocols.
        ProbeError: The protocol can't have the parts that its name says.
    """
    try:
        return Conditions(named_protocol(text))
    except UnknownNameError as error:
        place = user_path(text)
        if not place.exists():
            raise UnknownNameError(f"{error} Nor is there a folder or file of results.") from error
    found: dict[str, Conditions] = {}
    seeds: dict[int, None] = {}
    for file in find_result_files(place):
        results = [result for _, result in seed_folders(file.parent)]
        seeds |= dict.fromkeys(result.seed for result in results)
        conditions = Conditions.of(results[0], tuple(seeds))
        found[conditions.fingerprint] = conditions
    if len(found) > 1:
        listed = "".join(f"\n- {print_}: {each.words()}" for print_, each in found.items())
        raise ResultError(
            f"{place} has results by {len(found)} protocols; name one of the results:{listed}"
        )
    return next(iter(found.values()))


def named_protocol(name: str) -> Protocol:
    """The protocol that a result's name of it stands for: ``linear[first=2,lr=0.001]``.

    Raises:
        UnknownNameError: There is no such protocol.
        ProbeError: It can't have the parts that its name says.
    """
    base, bracket, parts = name.partition("[")
    protocol = get_protocol(base)
    if bracket and not parts.endswith("]"):
        raise UnknownNameError(f"{name!r} has no closing bracket.")
    first: int | None = None
    only: dict[str, str] = {}
    subset: list[str] = []
    for part in parts.removesuffix("]").split(",") if parts else ():
        key, _, value = part.partition("=")
        if key in TrainSubset.model_fields:
            subset.append(part)
        elif key == "layers":
            protocol = protocol.with_layers([_whole(name, each) for each in value.split("+")])
        elif key == "first":
            first = _whole(name, value)
        else:
            only[key] = value
    protocol = protocol.restricted(first=first, only=only)
    return protocol.with_subset(TrainSubset.from_label(",".join(subset))) if subset else protocol


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ProbeError(f"{name!r} names no protocol: {text!r} is no number.")
    return int(text)


def _before_task(result: Result) -> Protocol:
    """A result's protocol without what its task changed in it.

    It is as it was applied where it can't be traced back: by a name that is unknown here, or with
    other content than the protocol of that name.
    """
    applied, task = result.protocol, result.task.name
    catalogued = _catalog_task(task)
    try:
        named = named_protocol(applied.name)
        if result.primary_score not in NEVER_UNDEFINED:
            # Earlier versions had another rule in `fast` and `faster`, which tells only here.
            named = named.model_copy(update={"nan_ends_point": applied.nan_ends_point})
        known_as = next((name for name in named.task_changes if task.startswith(f"{name}-")), task)
        params = catalogued[0].evaluation_params if catalogued else _guessed_params(named, applied)
        own = {str(key): value for key, value in (params or {}).items()}
        if applied.trains_as(named.for_task(known_as, own), result.primary_score):
            return named
    except HearError:
        pass  # of another package or an object, renamed, or edited
    return applied


def _guessed_params(named: Protocol, applied: Protocol) -> Mapping[str, Any]:
    """The values that a task's metadata must have fixed, if they made the one from the other."""
    if not (named.networks and applied.networks):
        return {}
    changed: dict[str, list[Any]] = {}
    for key in GridPoint.model_fields:
        values = _values(applied, key)
        if len(values) == 1 and values != _values(named, key):
            changed[_METADATA_KEYS.get(key, key)] = values
    if applied.batch_size != named.batch_size:
        changed["batch_size"] = [applied.batch_size]
    return {PARAM_GRID: changed} if changed else {}


def _values(protocol: Protocol, key: str) -> list[Any]:
    """The values of a hyperparameter in a grid, ascending."""
    return sorted({getattr(point, key) for point in protocol.grid})


def _content(protocol: Protocol) -> dict[str, Any]:
    """All that decides what to expect of a protocol's scores, as JSON."""
    content = protocol.model_dump(mode="json", exclude=_NO_CONTENT)
    # As published they belong to the task; others are the protocol's own.
    if protocol.networks and protocol.task_changes != HEAR2021.task_changes:
        content["task_changes"] = protocol.model_dump(mode="json")["task_changes"]
    if protocol.subset is not None:
        content["subset"] = protocol.subset.point
    return content


def _heard(perturbation: PerturbationRecord | None) -> str:
    """How audio was disturbed, in words: ``disturbed by noise=10``."""
    if perturbation is None:
        return "as it came"
    also = " in training, too" if perturbation.training else ""
    return f"disturbed by {perturbation.recipe}{also}"


# Words -------------------------------------------------------------------------------------------


def _name_in_words(protocol: Protocol) -> str:
    base = protocol.name.partition("[")[0]
    try:
        known = get_protocol(base)
    except HearError:
        return base
    n, of = len(protocol.grid), len(known.grid)
    if set(protocol.grid) < set(known.grid):
        base += f" with {n} of {of} grid points"
        known = known.model_copy(update={"grid": protocol.grid})
    ours, theirs = _content(protocol), _content(known)
    said_apart = ("subset", "layers")
    changed = [
        _FIELDS.get(key, key)
        for key in dict.fromkeys([*ours, *theirs])
        if key not in said_apart and ours.get(key) != theirs.get(key)
    ]
    return f"{base}, changed ({', '.join(changed)})" if changed else base


def _parts_in_words(protocol: Protocol) -> list[str]:
    parts = []
    if protocol.layers:
        parts.append(f"layers {_listed(protocol.layers)}")
    if protocol.subset is not None:
        size = f"{protocol.subset.shots} shot{'' if protocol.subset.shots == 1 else 's'}"
        if protocol.subset.fraction is not None:
            size = f"{100 * protocol.subset.fraction:g} %"
        parts.append(f"labels: {size}")
    return parts


def _seeds_in_words(seeds: Sequence[int]) -> str:
    ordered = sorted(seeds)
    if len(ordered) == 1:
        return f"seed {ordered[0]}"
    if ordered == list(range(ordered[0], ordered[-1] + 1)) and len(ordered) > 2:
        return f"seeds {ordered[0]} to {ordered[-1]}"
    return f"seeds {_listed(ordered)}"


def _listed(values: Iterable[Any], last: str = "and") -> str:
    texts = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return f" {last} ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


# What a protocol's field is called in words; another one has its own name.
_FIELDS = {
    "batch_size": "batch size",
    "embed_batch": "clips embedded at once",
    "layer_weights": "weights of layers",
    "nan_ends_point": "undefined validations",
    "postprocessing": "postprocessing of events",
    "racing": "early giving up",
    "reads": "what is learned from",
    "shuffle": "order of training examples",
    "standardise": "standardised embeddings",
    "subset": "labels",
    "task_changes": "changes for single tasks",
}


def _protocol_differences(a: Protocol, b: Protocol) -> list[str]:
    found = _grid_differences(a, b)
    ours, theirs = _content(a), _content(b)
    # How networks are trained says nothing of a protocol that trains none.
    unsaid = {"grid"} if a.is_random == b.is_random else {"grid", *_OF_TRAINING}
    for key in dict.fromkeys([*ours, *theirs]):
        if key == "task_changes" and ours.get(key) != theirs.get(key):
            found += _task_differences(a, b)
        elif key not in unsaid and ours.get(key) != theirs.get(key):
            one, other = (_VALUES.get(key, _plain(key))(each) for each in (a, b))
            found.append(f"A {one}; B {other}.")
    return found


def _grid_differences(a: Protocol, b: Protocol) -> list[str]:
    if a.grid == b.grid:
        return []
    if bool(a.networks) != bool(b.networks):
        return [f"A {_method(a)}; B {_method(b)}."]
    verb = "trains" if a.networks else "tries"
    ours, theirs = set(a.grid), set(b.grid)
    n_a, n_b = len(a.grid), len(b.grid)
    both = len(ours & theirs)
    if ours == theirs:
        return [
            "A and B have the same grid points in another order, in which the first of equal "
            "validations wins."
        ]
    if both == n_b:
        return [f"A {verb} {n_a} grid points; B {n_b} of them."]
    if both == n_a:
        return [f"A {verb} {n_a} of the {n_b} grid points of B."]
    shared = f"{both} of which A {verb} as well" if both else "none of which A has"
    found = [f"A {verb} {n_a} grid points; B {n_b}, {shared}."]
    for key in type(a.grid[0]).model_fields:
        one, other = _values(a, key), _values(b, key)
        if one != other:
            found.append(f"{key} is {_listed(one, 'or')} in A, {_listed(other, 'or')} in B.")
    return found


def _task_differences(a: Protocol, b: Protocol) -> list[str]:
    found = []
    for task in dict.fromkeys([*a.task_changes, *b.task_changes]):
        one, other = (dict(each.task_changes.get(task, {})) for each in (a, b))
        if one != other:
            found.append(f"On {task} A {_fixed(one)}; B {_fixed(other)}.")
    return found


def _fixed(changes: Mapping[str, Any]) -> str:
    if not changes:
        return "changes nothing"
    parts = (
        f"{key} to {_listed(value if isinstance(value, tuple) else (value,), 'or')}"
        for key, value in changes.items()
    )
    return f"sets {' and '.join(parts)}"


def _events(protocol: Protocol) -> str:
    if not protocol.postprocessing:
        return "has the published postprocessing of events"
    tried = _listed(
        f"{each.median_filter_ms:g}/{each.min_duration_ms:g}" for each in protocol.postprocessing
    )
    return f"makes events with median filters and shortest durations of {tried} ms"


def _embedded(protocol: Protocol) -> str:
    n = protocol.embed_batch
    if n is None:
        return "embeds as many clips at once as the published evaluation"
    return f"embeds {n} clip{'' if n == 1 else 's'} at once"


def _method(protocol: Protocol) -> str:
    n = len(protocol.grid)
    points = f"{n} grid point{'' if n == 1 else 's'}"
    if protocol.networks:
        return f"trains networks ({points})"
    return f"asks the nearest training examples ({points})"


def _racing(protocol: Protocol) -> str:
    if protocol.racing is None:
        return "trains every grid point to its end"
    racing = protocol.racing
    parts = [
        f"gives up grid points that are behind by more than {racing.slack:g} times what the last "
        f"{racing.window} validations gained"
    ]
    if racing.halvings:
        after = _listed(racing.halvings)
        parts.append(f"gives up the worse half of each shape's after {after} validations")
    if racing.patience:
        parts.append(f"waits for at most {racing.patience} validations")
    return _listed(parts)


def _training_clips(protocol: Protocol) -> str:
    subset = protocol.subset
    if subset is None:
        return "learns from all training clips"
    if subset.fraction is not None:
        return f"learns from {100 * subset.fraction:g} % of the training clips"
    return f"learns from {subset.shots} training clip{'' if subset.shots == 1 else 's'} per label"


def _layer_weights(protocol: Protocol) -> str:
    if protocol.reads != "weighted":
        return "learns no weights of layers"
    how = "shares of absolute numbers" if protocol.layer_weights == "abs" else "a softmax"
    return f"weights layers by {how}"


def _layers(protocol: Protocol) -> str:
    if not protocol.reads_layers:
        return "uses the model's embeddings"
    return f"uses layers {_listed(protocol.layers)}" if protocol.layers else "uses all layers"


_OF_TRAINING = ("batch_size", "nan_ends_point", "shuffle", "racing", "task_changes")

_READS = {
    "embeddings": "learns from the embeddings as they are",
    "layers": "probes every layer by itself and takes the best by validation",
    "weighted": "learns from a sum of the layers with learned weights",
    "attentive": "learns from a sum of a clip's frames with learned weights",
}

# What a protocol does, by the field that says so.
_VALUES: Mapping[str, Callable[[Protocol], str]] = {
    "batch_size": lambda one: f"has batches of {one.batch_size}",
    "nan_ends_point": lambda one: (
        "ends a grid point at an undefined validation"
        if one.nan_ends_point
        else "counts an undefined validation as 0"
    ),
    "shuffle": lambda one: (
        "takes the training examples in another order in every epoch"
        if one.shuffle
        else "keeps one order of the training examples"
    ),
    "standardise": lambda one: (
        "standardises embeddings" if one.standardise else "takes embeddings as they are"
    ),
    "racing": _racing,
    "subset": _training_clips,
    "reads": lambda one: _READS[one.reads],
    "layer_weights": _layer_weights,
    "postprocessing": _events,
    "embed_batch": _embedded,
    "layers": _layers,
}


def _plain(key: str) -> Callable[[Protocol], str]:
    """Words for a field that has none of its own."""
    return lambda one: f"has {key} {_content(one).get(key)}"
