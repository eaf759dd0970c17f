from __future__ import annotations

import pytest

from hearbench.tasks.catalog import catalog_folder, catalog_task


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("esc50", "esc50-v2.0.0-full"),
        ("esc50-small", "esc50-v2.0.0-small"),
        ("esc50-v2.0.0-small", "esc50-v2.0.0-small"),
        ("nsynth_pitch", "nsynth_pitch-v2.2.3-5h"),
        ("nsynth_pitch-50h", "nsynth_pitch-v2.2.3-50h"),
        ("nsynth_pitch_kfold-50h", "nsynth_pitch_kfold-v2.2.3-50h"),
        ("beehive_states_fold0", "beehive_states_fold0-v2-5h"),
        ("beijing_opera-v1.0-hear2021-full", "beijing_opera-v1.0-hear2021-full"),
        ("esc50-5h", None),
        ("esc50-v1-full", None),
        ("esc", None),
        ("ESC50", None),
        ("", None),
    ],
)
def test_names(text: str, folder: str | None) -> None:
    assert catalog_folder(text) == folder
    found = catalog_task(text)
    assert (found is None) is (folder is None)
    if found is not None:
        assert found[0].folder_name(found[1]) == folder
