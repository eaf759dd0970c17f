"""How many labels the tasks of the catalog have, for those that aren't here."""

from __future__ import annotations

from collections.abc import Mapping

from hearbench.tasks.catalog import TaskSpec

__all__ = ["n_labels_of"]

_N_LABELS: Mapping[str, int] = {
    # By the rule that labels them: the keys of a piano; the microphones that recorded; ten words,
    # any other word, and silence.
    "gunshot_triangulation": 4,
    "maestro": 88,
    "speech_commands": 12,
    "tfds_speech_commands": 12,
    # As in the vocabulary of the corpus or, where it has them all, of the task's small mode.
    "beehive_states_fold0": 2,
    "beehive_states_fold1": 2,
    "beijing_opera": 4,
    "coughvid": 3,
    "dcase2016_task2": 11,
    "fsd50k": 200,
    "mridangam_tonic": 6,
    "spoken_digit": 10,
    "tfds_crema_d": 6,
    "tfds_gtzan_music_speech": 2,
    # As the catalog describes the corpora, not counted in them.
    "esc50": 50,
    "libricount": 11,
    "mridangam_stroke": 10,
    "tfds_gtzan": 10,
    "vocal_imitation": 302,
}


def n_labels_of(spec: TaskSpec) -> int | None:
    """Size of a task's vocabulary in its full modes; None where it isn't known."""
    lowest, highest = (spec.options.get(name) for name in ("pitch_min", "pitch_max"))
    if isinstance(lowest, int) and isinstance(highest, int):
        return highest - lowest + 1
    languages = spec.options.get("languages")
    return languages if isinstance(languages, int) else _N_LABELS.get(spec.name)
