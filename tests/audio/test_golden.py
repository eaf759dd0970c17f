"""Audio against hashes of what the reference preparation makes of real corpora."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hearbench.audio import pad_or_trim, read_mono16, resample16, samples_of

CORPORA = {
    "beijing_opera": ["corpora/beijing_opera-train-small.zip"],
    "coughvid": ["standins/public_dataset-small.zip"],
    "dcase2016_task2": [
        "standins/dcase2016_task2_train_dev-small.zip",
        "standins/dcase2016_task2_test_public-small.zip",
    ],
    "esc50": ["corpora/esc50-all_folds-small.zip"],
    "fsd50k": ["corpora/fsd50k-train-small.zip", "corpora/fsd50k-test-small.zip"],
    "gunshot_triangulation": ["corpora/gunshot_triangulation.zip"],
    "maestro": ["standins/maestro-v3.0.0-small.zip"],
    "mridangam_stroke": ["corpora/mridangam-train-small.zip"],
    "nsynth_pitch": ["standins/nsynth-train-small.zip"],
    "spoken_digit": ["corpora/spoken_digit-small.zip"],
    "tfds_crema_d": ["corpora/crema_d-train-small.zip"],
    "beehive_states_fold0": ["corpora/hive1_12062018.zip", "corpora/hive3_28072017.zip"],
}
COMPRESSED = frozenset({"coughvid"})
ENDINGS = frozenset({".wav", ".webm", ".ogg"})


def hashed(x: npt.NDArray[np.int16]) -> str:
    return hashlib.sha256(x.astype("<i2").tobytes()).hexdigest()[:16]


def compare(shared: Path, folder: Path, corpus: str, most: int | None) -> int:
    golden = json.loads((shared / f"golden/preparation/{corpus}.json").read_text())
    expected = {Path(name).stem: facts for name, facts in golden["audio"].items()}
    duration_s = golden["metadata"]["sample_duration"]
    compared = 0
    for archive in CORPORA[corpus]:
        with zipfile.ZipFile(shared / "data" / archive) as file:
            members = [
                name
                for name in file.namelist()
                if Path(name).stem in expected and Path(name).suffix in ENDINGS
            ]
            for member in members[:most]:
                facts = expected[Path(member).stem]
                x, rate = read_mono16(Path(file.extract(member, folder)))
                compared += 1
                if corpus in COMPRESSED:
                    assert rate == facts["mono"][0]
                    assert abs(len(x) - facts["mono"][1]) <= 300
                    continue
                assert [rate, len(x), hashed(x)] == facts["mono"], member
                if duration_s is not None:
                    x = pad_or_trim(x, samples_of(duration_s, rate))
                assert [rate, len(x), hashed(x)] == facts["cut"], member
                for key, value in facts.items():
                    if key.isdecimal():
                        y = resample16(x, rate, int(key))
                        assert [len(y), hashed(y)] == value, (member, key)
    return compared


@pytest.mark.parametrize("corpus", CORPORA)
def test_some_clips_equal_the_references(shared: Path, tmp_path: Path, corpus: str) -> None:
    assert compare(shared, tmp_path, corpus, 3) >= 3


@pytest.mark.real
@pytest.mark.parametrize("corpus", CORPORA)
def test_all_clips_equal_the_references(shared: Path, tmp_path: Path, corpus: str) -> None:
    assert compare(shared, tmp_path, corpus, None) >= 9
