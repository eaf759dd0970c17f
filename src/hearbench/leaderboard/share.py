"""Writes results in the forms that others read.

- ``model-index``: the YAML at the head of a model card on the Hugging Face hub.
- ``markdown`` and ``latex``: a table of tasks and scores.
- ``parquet``: a row for each model, task, score and test fold, for pandas and others.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hearbench.errors import HearError
from hearbench.results import Result
from hearbench.tasks.task_type import EVENT, REGRESSION, SCENE, TaskType

__all__ = ["FORMATS", "latex_table", "markdown_table", "model_index", "parquet_table", "share"]

# As the hub calls them, where it knows the score.
_HUB_METRICS = {"top1_acc": "accuracy", "mAP": "mean_average_precision", "aucroc": "roc_auc"}
_HUB_TASKS: dict[TaskType, dict[str, Any]] = {
    SCENE: {"task_type": "audio-classification", "task_name": None},
    REGRESSION: {"task_type": "other", "task_name": "Audio regression"},
    EVENT: {"task_type": "other", "task_name": "Sound event detection"},
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")


def share(results: Iterable[Result], form: str, name: str | None = None) -> bytes:
    """Writes results in one of the forms.

    Args:
        results: Results of one model, or for ``parquet`` of several.
        form: ``markdown``, ``latex``, ``model-index`` or ``parquet``.
        name: Name of the model, instead of the results' own.

    Raises:
        HearError: There is no such form, a library is missing, or there are several models where
            one is wanted.
    """
    if form not in FORMATS:
        raise HearError(f"There is no form {form!r}: {', '.join(FORMATS)}.")
    found = sorted(results, key=lambda result: (result.model.name, result.task.name))
    if not found:
        raise HearError("There are no results to be shared.")
    if form == "parquet":
        return parquet_table(found)
    models = {result.model.name for result in found}
    if len(models) > 1:
        raise HearError(f"{form} is for one model; there are {', '.join(sorted(models))}.")
    writers: dict[str, Callable[[Sequence[Result], str], str]] = {
        "markdown": markdown_table,
        "latex": latex_table,
        "model-index": model_index,
    }
    return writers[form](found, name or found[0].model.name).encode()


# As ``--format`` names them.
FORMATS = ("markdown", "latex", "model-index", "parquet")


def markdown_table(results: Sequence[Result], name: str) -> str:
    """A table with a row per task: the score that counts, its mean and deviation over folds."""
    lines = [f"| {_markdown(name)} | score | value |", "| --- | --- | --- |"]
    for result in results:
        value = _value(result, " ± ")
        lines.append(f"| {_markdown(result.task.name)} | `{result.primary_score}` | {value} |")
    return "\n".join(lines) + "\n"


def latex_table(results: Sequence[Result], name: str) -> str:
    """A table with a row per task in LaTeX, with the rules of booktabs."""
    plus_minus = r" $\pm$ "
    lines = [
        r"\begin{tabular}{llr}",
        r"\toprule",
        rf"{_latex(name)} & score & value \\",
        r"\midrule",
        *(
            rf"{_latex(result.task.name)} & {_latex(result.primary_score)} & "
            rf"{_value(result, plus_minus)} \\"
            for result in results
        ),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def model_index(results: Sequence[Result], name: str) -> str:
    """The ``model-index`` of a model card, with every score of every task.

    Source: https://huggingface.co/docs/hub/model-cards.

    Raises:
        HearError: huggingface_hub isn't installed.
    """
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise HearError(
            "Model cards need huggingface_hub, which isn't installed: "
            "`pip install 'hearbench[hf]'`.",
            code="not_installed",
        ) from error
    rows = [
        hub.EvalResult(
            **_HUB_TASKS[result.task_type],
            dataset_type=f"hear/{result.task.name}",
            dataset_name=f"HEAR {result.task.name}",
            dataset_split="test",
            metric_type=_HUB_METRICS.get(score, score),
            metric_name=score,
            metric_value=summary.mean,
            metric_config=result.protocol.name,
        )
        for result in results
        for score, summary in result.scores.items()
        if math.isfinite(summary.mean)
    ]
    text: str = hub.ModelCardData(model_name=name, eval_results=rows).to_yaml()
    return f"---\n{text}\n---\n"


def parquet_table(results: Sequence[Result]) -> bytes:
    """A row for each model, task, score and test fold.

    Columns: ``model``, ``task``, ``kind``, ``protocol``, ``seed``, ``score``, ``is_primary``,
    ``maximise``, ``fold``, ``n_clips``, ``value``.

    Raises:
        HearError: pyarrow isn't installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise HearError(
            "Parquet needs pyarrow, which isn't installed: `pip install 'hearbench[hf]'`.",
            code="not_installed",
        ) from error
    rows: list[dict[str, Any]] = [
        {
            "model": result.model.name,
            "task": result.task.name,
            "kind": result.kind,
            "protocol": result.protocol.name,
            "seed": result.seed,
            "score": score,
            "is_primary": score == result.primary_score,
            "maximise": summary.maximise,
            "fold": fold.test,
            "n_clips": fold.n_clips,
            "value": float(summary.per_fold[fold.test]),
        }
        for result in results
        for score, summary in result.scores.items()
        for fold in result.folds
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def _value(result: Result, between: str) -> str:
    primary = result.primary
    if not math.isfinite(primary.mean):
        return "undefined"
    if primary.std is None or not math.isfinite(primary.std):
        return f"{primary.mean:.4f}"
    return f"{primary.mean:.4f}{between}{primary.std:.4f}"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
