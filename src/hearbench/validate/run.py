"""The list of checks, the order in which they run, and which build on which.

The root cause comes first: a check whose needs aren't met is skipped with the reason, so that one
mistake is one error. After a failure within the model the next call has a fresh process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import HearError, UnknownNameError
from hearbench.models.finding import name_model
from hearbench.models.loaded import Interpreter
from hearbench.models.options import OptionValue
from hearbench.models.published import host_of, told_of
from hearbench.registry import did_you_mean
from hearbench.validate import (
    behaviour,
    layers,
    loading,
    long_audio,
    shapes,
    text,
    timestamps,
)
from hearbench.validate.context import Context
from hearbench.validate.model_process import (
    SCENE,
    TIMESTAMPS,
    CannotRunError,
    ModelProcess,
    Subject,
    remedy_for,
)
from hearbench.validate.order import CallOrderError, OrderFault
from hearbench.validate.report import CheckResult, Finding, ModelFacts, Report, error, skipped
from hearbench.workspace import Workspace

__all__ = ["CHECKS", "Stopped", "validate_model"]

Stopped = Callable[[Report], None]
"""Called with the report of a validation that was stopped; what it didn't get to is skipped."""


@dataclass(frozen=True)
class _Rule:
    """A check and its place among the others.

    Attributes:
        name: Name of the check in the report.
        needs: Checks without which it makes no sense; they run, too, where it is asked for.
        unless: Checks whose errors it would repeat.
        long: Whether it needs 20 minutes of audio.
    """

    name: str
    run: Callable[[Context], Finding]
    needs: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    long: bool = False


# The check that reports functions that fail for what was called before them.
ORDER = "state"
_LOADED = ("model-kind", "sample-rate")
_SHAPED = ("timestamp-shapes", "scene-shapes")

_RULES = (
    _Rule("import", loading.check_import),
    _Rule("import-effects", loading.check_import_effects, ("import",)),
    _Rule("api-functions", loading.check_api_functions, ("import",)),
    _Rule("load", loading.check_load, ("api-functions",)),
    _Rule("model-kind", loading.check_model_kind, ("load",)),
    _Rule("sample-rate", loading.check_sample_rate, ("model-kind",)),
    _Rule("scene-size", loading.check_scene_size, ("model-kind",)),
    _Rule("timestamp-size", loading.check_timestamp_size, ("model-kind",)),
    _Rule("timestamp-shapes", shapes.check_timestamp_shapes, _LOADED),
    _Rule("timestamp-unit", timestamps.check_timestamp_unit, ("timestamp-shapes",)),
    _Rule("timestamp-spacing", timestamps.check_timestamp_spacing, ("timestamp-unit",)),
    _Rule("timestamp-hop", timestamps.check_timestamp_hop, ("timestamp-spacing",)),
    _Rule("timestamp-start", timestamps.check_timestamp_start, ("timestamp-spacing",)),
    _Rule("timestamp-end", timestamps.check_timestamp_end, ("timestamp-spacing",)),
    _Rule("scene-shapes", shapes.check_scene_shapes, _LOADED),
    _Rule("embedding-sizes", shapes.check_embedding_sizes, _LOADED),
    _Rule("embedding-dtype", shapes.check_embedding_dtype, _LOADED),
    _Rule("return-types", shapes.check_return_types, _LOADED),
    _Rule("gradients", shapes.check_gradients, _LOADED),
    _Rule("finite", behaviour.check_finite, _LOADED),
    _Rule("batch-independence", behaviour.check_batch_independence, _LOADED),
    _Rule(ORDER, behaviour.check_state, _LOADED),
    _Rule("determinism", behaviour.check_determinism, _LOADED),
    _Rule("timestamp-centres", timestamps.check_timestamp_centres, ("timestamp-spacing",)),
    _Rule("memory", long_audio.check_memory, _LOADED, long=True),
    _Rule("lengths", behaviour.check_lengths, _LOADED),
    _Rule(
        "timestamp-drift",
        long_audio.check_timestamp_drift,
        ("timestamp-spacing",),
        unless=("timestamp-start", "timestamp-end", "timestamp-centres", "lengths"),
        long=True,
    ),
    # Last, as none of the others is about what it calls.
    _Rule("layers", layers.check_layers, _LOADED),
    _Rule("text", text.check_text, ("scene-size",)),
)
# These use what the checks of shapes found, and cope with either of them having failed.
_USES_SHAPES = frozenset(
    {
        "embedding-sizes",
        "embedding-dtype",
        "return-types",
        "gradients",
        "finite",
        "batch-independence",
        "state",
        "determinism",
        "layers",
        "lengths",
        "memory",
    }
)
_NEVER_SKIPPED = ("import", "api-functions", "load", "model-kind", "sample-rate")

CHECKS: tuple[str, ...] = tuple(rule.name for rule in _RULES)
"""The names of all checks, in the order in which they run."""


def validate_model(
    spec: str | Path,
    weights: str | Path | None = None,
    *,
    workspace: Workspace | None = None,
    interpreter: Interpreter | None = None,
    quick: bool = False,
    only: Collection[str] | None = None,
    skip: Collection[str] | None = None,
    stopped: Stopped | None = None,
    **options: OptionValue,
) -> Report:
    """Checks whether a model follows the HEAR API, and whether its scores could be trusted.

    The model runs in a process of its own, so that whatever it does, the report comes.

    Args:
        spec: The model, as :func:`hearbench.load_model` takes it.
        weights: Weights to hand to its ``load_model``.
        workspace: Device that the model is moved to, and who shows progress; by default from the
            environment.
        interpreter: What runs the model; by default this Python.
        quick: Leaves out what needs 20 minutes of audio.
        only: Names of checks to run, with those that they need. By default all.
        skip: Names of checks to leave out.
        stopped: Receives what was found so far if something stops the validation, an interruption
            or an error, before that is raised.
        **options: Further keywords of the module's ``load_model``.

    Returns:
        The report; faults of the model are in it, and not raised.

    Raises:
        UnknownNameError: There is no check of a name.
        ModelError: There is no such module, file, weights, interpreter, device or option.
        HearError: There is no sandbox on this system.
    """
    workspace = workspace or Workspace.from_environment()
    rules = _chosen(only, skip)
    with told_of(str(spec)):
        trust_code = interpreter is not None and interpreter.trust_code
        named = name_model(str(spec), weights, trust_code=trust_code)
        interpreter = host_of(named.recipe, workspace, interpreter)
    interpreter = interpreter or Interpreter(Path(sys.executable))
    begin = time.perf_counter()
    checks: list[CheckResult] = []

    def report() -> Report:
        return Report(
            model=_facts(context),
            quick=quick,
            checks=_with_order([*checks, *map(_not_run, rules[len(checks) :])], context.order),
            complete=len(checks) == len(rules),
            seconds=time.perf_counter() - begin,
        )

    given = {**named.options, **options}
    subject = Subject(named, named.weights, given, interpreter, workspace)
    stage = workspace.progress.stage(f"validating {spec}", total=len(rules))
    with ModelProcess(subject) as process, stage as update:
        context = Context(process, quick=quick, finds_order=ORDER not in (skip or ()))
        try:
            for number, rule in enumerate(rules):
                update(number, text=rule.name)
                checks.append(_run(rule, context))
            update(len(rules))
        except BaseException as error:
            # What can't be validated as it was asked for has no report.
            says_something = "load" in context.findings or not isinstance(error, CannotRunError)
            if stopped is not None and says_something:
                stopped(report())
            raise
        return report()


def _chosen(only: Iterable[str] | None, skip: Iterable[str] | None) -> list[_Rule]:
    wanted = _known(only) if only else set(CHECKS)
    left_out = _known(skip or ())
    never = [name for name in _NEVER_SKIPPED if name in left_out]
    if never:
        raise UnknownNameError(
            f"{', '.join(never)} can't be skipped: all other checks build on it."
        )
    # Backwards, so that needs of needs are found in one go.
    for rule in reversed(_RULES):
        if rule.name in wanted:
            wanted.update(rule.needs)
            if rule.name in _USES_SHAPES:
                wanted.update(_SHAPED)
    return [rule for rule in _RULES if rule.name in wanted - left_out]


def _known(names: Iterable[str]) -> set[str]:
    found = set(names)
    for name in sorted(found - set(CHECKS)):
        raise UnknownNameError(f"There is no check {name!r}. {did_you_mean(name, list(CHECKS))}")
    return found


def _run(rule: _Rule, context: Context) -> CheckResult:
    begin = time.perf_counter()
    finding = _finding(rule, context)
    context.findings[rule.name] = finding
    return CheckResult(
        name=rule.name,
        verdict=finding.verdict,
        expected=finding.expected,
        found=finding.found,
        remedy=finding.remedy,
        seconds=time.perf_counter() - begin,
    )


def _finding(rule: _Rule, context: Context) -> Finding:
    expected = _expected(rule)
    known = context.findings
    missing = [name for name in rule.needs if name in known and known[name].blocks]
    missing += context.failed(*rule.unless)
    if missing:
        cause = known[missing[0]]
        # Of a row of checks that build on each other, the first that went wrong is named.
        why = cause.found if cause.verdict == "skipped" else f"as {missing[0]} isn't right"
        return skipped(expected, why, blocks=True)
    if rule.long and context.quick:
        return skipped(expected, "--quick leaves out 20 minutes of audio")
    try:
        return rule.run(context)
    except CannotRunError:
        raise
    except CallOrderError:
        return skipped(expected, f"as {ORDER} isn't right")
    except HearError as problem:
        return error(expected, str(problem), remedy_for(problem))


def _not_run(rule: _Rule) -> CheckResult:
    return CheckResult(
        name=rule.name,
        verdict="skipped",
        expected=_expected(rule),
        found="the validation was stopped before",
    )


def _with_order(checks: list[CheckResult], fault: OrderFault | None) -> tuple[CheckResult, ...]:
    """The checks, with what was found of the order of calls by whichever of them."""
    if fault is None:
        return tuple(checks)
    (rule,) = (rule for rule in _RULES if rule.name == ORDER)
    seconds = sum(check.seconds for check in checks if check.name == ORDER)
    told = CheckResult(
        name=ORDER,
        verdict="error",
        expected=_expected(rule),
        found=fault.text,
        remedy="Keep what belongs to one call in local variables: a call may leave nothing behind "
        "that another trips over, and may need nothing that another has left.",
        seconds=seconds,
    )
    others = [check for check in checks if check.name != ORDER]
    return tuple(sorted([*others, told], key=lambda check: CHECKS.index(check.name)))


def _expected(rule: _Rule) -> str:
    return (rule.run.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _facts(context: Context) -> ModelFacts:
    process, loaded = context.process, context.loaded
    subject = process.subject
    peak_mb, peak_of = context.peak_mb or (None, None)
    return ModelFacts(
        name=subject.named.name,
        spec=subject.named.spec,
        weights=str(subject.weights) if subject.weights else None,
        options=dict(process.converted or subject.options),
        python=str(subject.interpreter.python),
        kind=loaded.kind if loaded else None,
        device=loaded.device if loaded else None,
        sample_rate=context.sample_rate or None,
        scene_embedding_size=context.sizes.get(SCENE),
        timestamp_embedding_size=context.sizes.get(TIMESTAMPS),
        hop_ms=context.hop_ms or None,
        load_s=loaded.seconds if loaded else None,
        peak_memory_mb=peak_mb,
        peak_memory_of=peak_of,
        versions=dict(loaded.versions) if loaded else {},
    )
