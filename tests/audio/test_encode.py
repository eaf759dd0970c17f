from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from hearbench.audio.encode import write_wav16
from hearbench.errors import AudioError


def test_the_standard_library_reads_what_was_written(tmp_path: Path) -> None:
    x = np.array([0, 1, -1, 32767, -32768], dtype=np.int16)
    path = tmp_path / "deep" / "a.wav"
    write_wav16(path, x, 22050)
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22050, 1, 2)
        np.testing.assert_array_equal(np.frombuffer(file.readframes(9), "<i2"), x)
    assert path.stat().st_size == 44 + 10
    assert [p.name for p in path.parent.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("x", [np.zeros(3, np.float32), np.zeros((3, 1), np.int16)])
def test_other_samples_are_refused_by_the_name_of_the_file(tmp_path: Path, x: np.ndarray) -> None:
    with pytest.raises(AudioError, match=r"a\.wav.*int16"):
        write_wav16(tmp_path / "a.wav", x, 16000)
    assert not (tmp_path / "a.wav").exists()
