from __future__ import annotations

import random
import sys
from pathlib import Path

import mido
import pytest

from hearbench.errors import HearError, TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import CorpusPart, RawCorpus
from hearbench.tasks.corpora.maestro import Note, Part, clips, hold_notes, read_notes

Ends = list[tuple[int, float, float]]


def held(notes: Ends, pedal: list[tuple[float, bool]]) -> Ends:
    part = Part([Note(*note) for note in notes], pedal)
    return [(note.pitch, note.start_s, note.end_s) for note in hold_notes([part])]


@pytest.mark.parametrize(
    ("notes", "pedal", "wanted"),
    [
        ([(60, 1, 2)], [], [(60, 1, 2)]),
        # Released while the pedal is down: until it goes up.
        ([(60, 1, 2)], [(0, True), (5, False)], [(60, 1, 5)]),
        ([(60, 1, 2)], [(1.5, True), (5, False)], [(60, 1, 5)]),
        # The pedal comes too late, or goes up before the key does.
        ([(60, 1, 2)], [(3, True), (5, False)], [(60, 1, 2)]),
        ([(60, 1, 2)], [(0, True), (1.5, False)], [(60, 1, 2)]),
        # Down again at the very release still catches it; up at the release lets it end.
        ([(60, 1, 2)], [(2, True), (5, False)], [(60, 1, 5)]),
        ([(60, 1, 2)], [(0, True), (2, False)], [(60, 1, 2)]),
        # Struck again: the first ends there, even if its own key was still down.
        ([(60, 1, 2), (60, 3, 4)], [(0, True), (9, False)], [(60, 1, 3), (60, 3, 9)]),
        ([(60, 1, 4), (60, 3, 5)], [(0, True), (9, False)], [(60, 1, 3), (60, 3, 9)]),
        ([(60, 1, 2), (61, 3, 4)], [(0, True), (9, False)], [(60, 1, 9), (61, 3, 9)]),
        # Of two that are struck at once, one stays.
        ([(60, 1, 2), (60, 1, 3)], [(0, True), (9, False)], [(60, 1, 9)]),
        ([(60, 1, 2), (60, 1, 3)], [], [(60, 1, 2), (60, 1, 3)]),
        # A pedal that never goes up: until the last event.
        ([(60, 1, 2), (62, 3, 4)], [(0, True)], [(60, 1, 4), (62, 3, 4)]),
        ([(60, 1, 2)], [(0, True), (7, True)], [(60, 1, 7)]),
        # A key that is down longer than the pedal keeps its note.
        ([(60, 1, 8), (62, 2, 3)], [(0, True), (5, False)], [(60, 1, 8), (62, 2, 5)]),
        # Down and up at once: up.
        ([(60, 1, 2)], [(2, True), (2, False), (5, False)], [(60, 1, 2)]),
        ([], [(1, True)], []),
    ],
)
def test_the_rule(notes: Ends, pedal: list[tuple[float, bool]], wanted: Ends) -> None:
    assert held(notes, pedal) == wanted


def test_instruments_have_pedals_of_their_own_and_one_end() -> None:
    a = Part([Note(60, 1, 2)], [(0, True)])
    b = Part([Note(60, 3, 4), Note(61, 5, 6)], [])
    assert [(note.start_s, note.end_s) for note in hold_notes([a, b])] == [(1, 6), (3, 4), (5, 6)]
    assert hold_notes([]) == []


def simulated(notes: Ends, pedal: list[tuple[int, bool]], last: int) -> Ends:
    """Each note by itself, tick by tick: what would it take to end now?"""
    downs = {tick for tick, down in pedal if down}
    ups = {tick for tick, down in pedal if not down}
    is_down: list[bool] = []
    for tick in range(last + 1):
        before = bool(is_down) and is_down[-1]
        is_down.append(tick not in ups and (tick in downs or before))
    found = []
    for i, (pitch, start, end) in enumerate(notes):
        later = {
            int(other[1])
            for j, other in enumerate(notes)
            if other[0] == pitch and (other[1], j) > (start, i)
        }
        for tick in range(int(start), last + 1):
            lifted = tick > end and tick in ups
            struck = is_down[tick] and tick in later
            released = tick == end and not is_down[tick]
            if lifted or struck or released or tick == last:
                if tick > start:
                    found.append((pitch, start, float(tick)))
                break
    return found


def test_the_rule_against_a_simulation_tick_by_tick() -> None:
    rng = random.Random(7)
    changed = 0
    for _ in range(400):
        notes: Ends = []
        for _ in range(rng.randint(1, 12)):
            start = rng.randint(0, 30)
            notes.append((rng.randint(60, 62), float(start), float(start + rng.randint(1, 12))))
        pedal = [(rng.randint(0, 45), rng.random() < 0.5) for _ in range(rng.randint(0, 8))]
        last = max(*(int(end) for _, _, end in notes), *(tick for tick, _ in pedal), 0)
        found = held(notes, [(float(tick), down) for tick, down in pedal])
        assert found == simulated(notes, pedal, last), (notes, pedal)
        changed += found != notes
    assert changed > 200


def write_midi(path: Path, tracks: list[list[mido.Message | mido.MetaMessage]]) -> None:
    file = mido.MidiFile(ticks_per_beat=480)
    for track in tracks:
        file.tracks.append(mido.MidiTrack(track))
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)


def on(pitch: int, delay: int) -> mido.Message:
    return mido.Message("note_on", note=pitch, velocity=70, time=delay)


def off(pitch: int, delay: int) -> mido.Message:
    return mido.Message("note_on", note=pitch, velocity=0, time=delay)


def control(number: int, value: int, delay: int) -> mido.Message:
    return mido.Message("control_change", control=number, value=value, time=delay)


# 480 ticks of half a second each: a tick lasts 1000 / 960 ms.
PIECE = [
    on(60, 480),  # 500 ms
    control(64, 64, 0),  # down
    control(67, 0, 10),  # another pedal
    on(20, 10),
    off(60, 460),  # 1000 ms
    control(64, 63, 480),  # 1500 ms: up
    off(20, 0),
    on(21, 0),
    on(108, 0),
    on(109, 0),
    off(21, 96),  # 1600 ms
    off(108, 96),  # 1700 ms
    off(109, 96),
]


def test_reading_midi(tmp_path: Path) -> None:
    write_midi(tmp_path / "a.midi", [[mido.MetaMessage("set_tempo", tempo=500_000)], PIECE])
    found = [(note.pitch, note.start_s, note.end_s) for note in read_notes(tmp_path / "a.midi")]
    wanted = [(60, 0.5, 1.5), (20, 0.5 + 20 / 960, 1.5), (21, 1.5, 1.6), (108, 1.5, 1.7)]
    wanted.append((109, 1.5, 1.8))
    assert sorted(found) == [pytest.approx(note) for note in sorted(wanted)]


def test_what_midi_warns_of_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_midi(tmp_path / "a.midi", [[], [mido.MetaMessage("set_tempo", tempo=250_000), *PIECE]])
    read_notes(tmp_path / "a.midi")
    assert "a.midi: Tempo, Key or Time signature change events found" in caplog.text


def test_damaged_midi(tmp_path: Path) -> None:
    path = tmp_path / "a.midi"
    write_midi(path, [[mido.MetaMessage("key_signature", key="C")], PIECE])
    whole = path.read_bytes()
    assert len(read_notes(path)) == 5
    damaged = [whole[:n] for n in range(0, len(whole), 3)]
    damaged += [whole.replace(b"\xff\x59\x02\x00", b"\xff\x59\x02\x70")]  # 112 sharps
    damaged += [whole[:12] + b"\0\0" + whole[14:]]  # no ticks in a beat
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(TaskError, match=r"a\.midi can't be read as MIDI: \S"):
            read_notes(path)


def test_without_pretty_midi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_midi(tmp_path / "a.midi", [PIECE])
    monkeypatch.setitem(sys.modules, "pretty_midi", None)
    with pytest.raises(HearError, match=r"hearbench\[maestro\]"):
        read_notes(tmp_path / "a.midi")


CSV = (
    "canonical_composer,split,midi_filename,audio_filename,duration\n"
    '"A, B",train,2004/a.midi,2004/a.wav,2\n"C",test,2006/b.midi,2006/b.wav,2\n'
)


def corpus(folder: Path, table: str = CSV, top: str = "maestro-v3.0.0") -> RawCorpus:
    place = folder / top
    for name in ("2004/a", "2006/b"):
        write_midi(place / f"{name}.midi", [PIECE])
    (place / "2004/a.wav").touch()
    (place / "maestro-v3.0.0.csv").write_text(table)
    (place / "maestro-v3.0.0.json").touch()
    (place / "._maestro-v3.0.0.csv").touch()
    return RawCorpus((CorpusPart(folder, "train_test_valid"),))


@pytest.mark.parametrize("top", ["", "maestro-v3.0.0"])
def test_events(tmp_path: Path, top: str) -> None:
    *events, missing = clips(corpus(tmp_path, top=top))
    assert missing == Clip(tmp_path / top / "2006/b.wav", "b", None)
    assert {(event.path, event.filestem, event.split) for event in events} == {
        (tmp_path / top / "2004/a.wav", "a", None)
    }
    times = {str(event.label): (event.start_ms, event.end_ms) for event in events}
    # 20 and 109 are no keys of a piano.
    assert sorted(times) == ["108", "21", "60"]
    assert times["60"] == pytest.approx((500, 1500), abs=1e-6)
    assert times["21"] == pytest.approx((1500, 1600), abs=1e-6)


def test_midi_that_is_missing(tmp_path: Path) -> None:
    raw = corpus(tmp_path)
    (tmp_path / "maestro-v3.0.0/2004/a.midi").unlink()
    with pytest.raises(TaskError, match=r"csv, line 2: there is no file .*a\.midi, which holds"):
        list(clips(raw))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("audio_filename\na.wav\n", "lacks the columns midi_filename"),
        (CSV.replace("2004/a.wav", "/a.wav"), "line 2, column 'audio_filename': '/a.wav' is not"),
        (CSV.replace("2006/b.midi", "../b.midi"), "line 3, column 'midi_filename'"),
    ],
)
def test_bad_tables(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        list(clips(corpus(tmp_path, table)))


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no file 'maestro\*\.csv'"):
        list(clips(RawCorpus((CorpusPart(tmp_path),))))
