"""``hearbench events``: the events that a model's probe predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hearbench.amounts import number
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.table import Column, Table

__all__ = ["plot", "transcription"]

ResultPath = Annotated[
    Path,
    typer.Argument(
        metavar="RESULT",
        help="An event task's result: its folder or result.json.",
        show_default=False,
    ),
]

_SCORES = {
    "onset": "onset within 50 ms",
    "onset_offset": "onset within 50 ms, offset within 50 ms or 20 %",
}
_PARTS = ("precision", "recall", "f_measure", "overlap")


@verb(
    "hearbench events plot results/my_model/calls-1.0.0-full clip7.wav --out clip7.png",
    "hearbench events plot RESULT clip7.wav --out clip7.html --label dog --from 2 --to 8.5",
)
def plot(
    result: ResultPath,
    clip: Annotated[
        str, typer.Argument(metavar="CLIP", help="Name of a test clip.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Picture or page to write: a .png or .html."),
    ],
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="L", help="Draw only this label. Repeatable."),
    ] = None,
    start_s: Annotated[
        float | None,
        typer.Option("--from", metavar="S", help="Begin of the section to draw, in seconds."),
    ] = None,
    end_s: Annotated[
        float | None,
        typer.Option("--to", metavar="S", help="End of the section to draw, in seconds."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Draws a clip's reference and predicted events, and the probabilities behind them.

    Matched, missed and spurious events are told apart by the rule of the task's first score. An
    .html has a table of the events as well.
    """
    from hearbench.views.event_plot import plot_events

    with answers_only():
        drawn = plot_events(result, clip, out, labels=label, start_s=start_s, end_s=end_s)
    if json:
        comparison = drawn.comparison
        answer_json(
            {
                "file": str(out),
                "clip": drawn.clip,
                "from_s": drawn.start_s,
                "to_s": drawn.end_s,
                "labels": [drawn.labels[lane] for lane in drawn.lanes],
                **drawn.counts,
                "score": comparison.score,
                "value": comparison.value,
                "rule": comparison.rule_in_words(),
                **{part: comparison.parts[part] for part in ("f_measure", "precision", "recall")},
                "notes": list(drawn.notes),
            }
        )
        return
    counts = ", ".join(f"{count} {status}" for status, count in drawn.counts.items())
    answer_line(f"{out}: {counts}")
    for note in drawn.notes:
        say(note)


@verb(
    "hearbench events transcription results/hearbench.models.crepe/piano-1.0.0-full",
)
def transcription(result: ResultPath, json: o.Json = False) -> None:
    """Scores predicted events as notes, by mir_eval's transcription scores.

    With --json, of each clip too. Needs the extra 'transcription'.
    """
    from hearbench.views.transcription import transcription_scores

    with answers_only():
        scores = transcription_scores(result)
    if json:
        answer_json(scores)
    else:
        _show(scores)


def _show(scores: dict[str, Any]) -> None:
    table = Table(
        [
            Column("a note is found by", wrap="between words"),
            Column("over"),
            *(Column(part.replace("_", "-"), number, align="right") for part in _PARTS),
        ],
        f"{scores['model']}, {scores['task']}: notes by mir_eval",
    )
    for score, about in _SCORES.items():
        mean, pooled = scores[score]["mean"], scores[score]["pooled"]
        table.add(about, "clips", *(mean[part] for part in _PARTS))
        table.add("", "notes", *(pooled[part] for part in _PARTS))
    show(table)
    notes = scores["onset"]["pooled"]
    answer_line(
        f"{scores['n_clips']} clips; {notes['Nref']} notes in the reference, {notes['Nsys']} "
        "predicted."
    )
    if scores["n_undefined"]:
        answer_line(
            f"Clips without a note in either, left out of the means: {scores['n_undefined']}."
        )
    lengthened = scores["lengthened"]
    if any(lengthened.values()):
        answer_line(
            "Notes without a length, taken as 0.01 ms long: "
            f"{lengthened['reference']} in the reference, {lengthened['estimate']} predicted."
        )
    if not scores["labels_as_midi"]:
        answer_line("Labels aren't MIDI note numbers; each counts as a pitch of its own.")
