"""sed_eval's event scores in the form of hearbench's, to compare with in value and in speed.

sed_eval 0.2.1 is the reference for these scores. This file shares no code with the package.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

with warnings.catch_warnings():
    # Importing it (its dcase_util, and what that needs) warns of its own age in several ways.
    warnings.simplefilter("ignore")
    import sed_eval

__all__ = ["SETTINGS", "sed_eval_scores"]

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "event_onset_200ms_fms": {"evaluate_offset": False, "t_collar": 0.2},
    "event_onset_50ms_fms": {"evaluate_offset": False, "t_collar": 0.05},
    "event_onset_offset_50ms_20perc_fms": {
        "evaluate_offset": True,
        "t_collar": 0.05,
        "percentage_of_length": 0.2,
    },
    "segment_1s_er": {"time_resolution": 1.0},
    "event_onset_200ms_macro_fms": {
        "evaluate_offset": False,
        "t_collar": 0.2,
        "empty_system_output_handling": "zero_score",
    },
    "event_onset_50ms_macro_fms": {
        "evaluate_offset": False,
        "t_collar": 0.05,
        "empty_system_output_handling": "zero_score",
    },
    "segment_1s_fms": {"time_resolution": 1.0},
}


def sed_eval_scores(
    reference: Mapping[str, Sequence[Mapping[str, Any]]],
    estimate: Mapping[str, Sequence[Mapping[str, Any]]],
    labels: Sequence[str],
    name: str,
) -> dict[str, Any]:
    """The parts of one score, overall and ``per_label``, with ``Nref`` and ``Nsys`` for those."""
    kind = "error_rate" if name == "segment_1s_er" else "f_measure"
    if name.startswith("segment"):
        metrics = sed_eval.sound_event.SegmentBasedMetrics(
            event_label_list=list(labels), **SETTINGS[name]
        )
    else:
        metrics = sed_eval.sound_event.EventBasedMetrics(
            event_label_list=list(labels),
            evaluate_onset=True,
            event_matching_type="optimal",
            **SETTINGS[name],
        )
    for clip in dict.fromkeys([*reference, *estimate]):
        metrics.evaluate(
            reference_event_list=_in_seconds(reference.get(clip, ()), clip),
            estimated_event_list=_in_seconds(estimate.get(clip, ()), clip),
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")  # no label has a value
        overall = (
            metrics.results_class_wise_average_metrics()
            if "macro" in name
            else metrics.results_overall_metrics()
        )[kind]
    per_label = {
        label: {**parts[kind], **parts["count"]}
        for label, parts in metrics.results_class_wise_metrics().items()
    }
    return {**overall, "per_label": per_label}


def _in_seconds(events: Sequence[Mapping[str, Any]], clip: str) -> list[dict[str, Any]]:
    return [
        {
            "event_label": event["label"],
            "event_onset": event["start"] / 1000.0,
            "event_offset": event["end"] / 1000.0,
            "file": clip,
        }
        for event in events
    ]
