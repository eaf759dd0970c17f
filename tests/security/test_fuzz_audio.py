"""Audio and MIDI from anybody: samples, or one error."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers_fuzz import fuzzed, mutated_bytes, value_or_error
from hypothesis import given
from hypothesis import strategies as st

from hearbench.audio.decode import read_excerpt16, read_float32, read_mono16, sample_rate_of
from hearbench.errors import HearError
from hearbench.tasks.corpora.maestro import read_notes
from hearbench.tasks.inventory import wav_facts
from hearbench.workspace import Workspace

_RATE = 8000
_FORMS = [
    ("wav", "PCM_16", 1),
    ("wav", "PCM_24", 2),
    ("wav", "FLOAT", 2),
    ("wav", "MS_ADPCM", 1),
    ("flac", "PCM_16", 2),
    ("ogg", "VORBIS", 1),
    ("ogg", "OPUS", 2),
    ("mp3", "MPEG_LAYER_III", 1),
    ("aiff", "PCM_16", 6),
    ("au", "ULAW", 1),
    ("caf", "ALAC_16", 1),
    ("w64", "GSM610", 1),
    ("rf64", "PCM_16", 1),
    ("nist", "PCM_24", 1),
    ("voc", "PCM_16", 2),
    ("svx", "PCM_S8", 1),
    ("sds", "PCM_16", 1),
]


def _audio(form: str, subtype: str, channels: int) -> bytes:
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal((800, channels))
    file = io.BytesIO()
    soundfile.write(file, x, _RATE, format=form.upper(), subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(("form", "subtype", "channels"), _FORMS)
@fuzzed
@given(data=st.data())
def test_damaged_audio(
    tmp_path_factory: pytest.TempPathFactory,
    form: str,
    subtype: str,
    channels: int,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged.{data.draw(st.sampled_from((form, 'wav')))}"
    path.write_bytes(data.draw(mutated_bytes(_audio(form, subtype, channels))))
    found = value_or_error(lambda: read_mono16(path))
    if not isinstance(found, HearError):
        x, rate = found
        assert x.dtype == np.int16
        assert x.ndim == 1
        assert len(x) > 0
        assert rate > 0
    rate = value_or_error(lambda: sample_rate_of(path))
    assert isinstance(rate, HearError) or rate > 0
    value_or_error(lambda: read_excerpt16(path, 10, 100))
    prepared = value_or_error(lambda: read_float32(path))
    assert isinstance(prepared, HearError) or np.abs(prepared).max() <= 1


@fuzzed
@given(data=mutated_bytes(_audio("wav", "PCM_16", 1)))
def test_what_is_known_of_prepared_audio(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "prepared.wav").write_bytes(data)
    workspace = Workspace(cache_dir=folder / "cache", device="cpu", workers=1)
    (fact,) = value_or_error(lambda: wav_facts(folder, ["prepared.wav"], workspace))
    assert fact.problem is None or fact.problem.strip()


def _midi() -> bytes:
    # Format 1, two tracks: tempo, a programme, the pedal, running status, an end.
    tempo = bytes.fromhex("00ff5103 07a120 00ff5902 0000 00ff2f00".replace(" ", ""))
    notes = bytes.fromhex(
        "00c000 00903c40 00b0407f 60 3c00 00904050 60804000 10b04000 00ff2f00".replace(" ", "")
    )
    tracks = b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in (tempo, notes))
    return b"MThd" + bytes.fromhex("000000060001000200 60".replace(" ", "")) + tracks


@fuzzed
@given(data=mutated_bytes(_midi()))
def test_damaged_midi(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    pytest.importorskip("pretty_midi")
    path: Path = tmp_path_factory.getbasetemp() / "damaged.midi"
    path.write_bytes(data)
    found = value_or_error(lambda: read_notes(path))
    assert isinstance(found, HearError) or all(0 <= note.start_s <= note.end_s for note in found)
