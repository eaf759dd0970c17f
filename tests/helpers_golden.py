"""What the reference implementation has been run on."""

from __future__ import annotations

# The tasks whose small corpora it has prepared.
GOLDEN_TASKS = (
    "beehive_states_fold0",
    "beijing_opera",
    "coughvid",
    "dcase2016_task2",
    "esc50",
    "fsd50k",
    "gunshot_triangulation",
    "maestro",
    "mridangam_stroke",
    "mridangam_tonic",
    "nsynth_pitch",
    "nsynth_pitch_kfold",
    "speech_commands",
    "spoken_digit",
    "tfds_crema_d",
    "tfds_gtzan_music_speech",
)
