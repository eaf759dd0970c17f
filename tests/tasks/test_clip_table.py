from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.errors import TaskError
from hearbench.tasks.from_csv import read_clip_table


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    folder = tmp_path / "audio"
    for name in ("b\\s.wav", "a.wav", "b.wav", "x/c.wav", "y/c.wav", "x_c.wav", "d.v2.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def table(audio: Path, content: str | bytes) -> Path:
    path = audio.parent / "clips.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "clips.csv is empty"),
        ("\n \n", "clips.csv is empty"),
        ("path,label\n", "none below the header"),
        ("path,lable\na.wav,x\n", "line 1.*'label' is missing.*is 'lable' meant"),
        ("file,label\na.wav,x\n", "line 1.*'path' is missing"),
        ("path,label,path\na.wav,x,b\n", "'path' stands twice"),
        ("path,label,folds\na.wav,x,1\n", "'folds' is unknown; Did you mean 'fold'"),
        ("path,label,split,fold\na.wav,x,train,1\n", "both 'split' and 'fold'"),
        ("path,label,start_ms\na.wav,x,1\n", "both 'start_ms' and 'end_ms'"),
        ("path,label\na.wav,x\ngone.wav,y\n", "missing.*line 3: .*gone.wav"),
        ("path,label\na.wav,x\n,y\n", "without a path.*line 3"),
        ("path,label\na.wav\n", "line 2 has 1 cells, not 2"),
        ("path,label\na.wav,x,y\n", "line 2 has 3 cells, not 2"),
        ("path,label\na.wav,x\nb.wav,y\na.wav,x\n", "stand twice.*lines 2 and 4: a.wav, x"),
        ("path,label\na.wav,x\n./a.wav,x\n", "stand twice.*lines 2 and 3"),
        ("path,label\na.wav,\n", "labels .*there are none"),
        ("path,label\na.wav,x\na.wav,\n", "both with and without.*lines 2 and 3: a.wav"),
        ("path,label,split\na.wav,x,dev\n", "other than train.*line 2: 'dev'"),
        ("path,label,split\na.wav,x,\n", "other than train.*line 2: ''"),
        ("path,label,split\na.wav,x,train\na.wav,y,test\n", "'train' and 'test'"),
        ("path,label,fold\na.wav,x,1\nb.wav,y,1\na.wav,z,2\n", "lines 2 and 4: a.wav in '1' and"),
        ("path,label,fold\na.wav,x,one\n", "neither fold00.*line 2: 'one'"),
        ("path,label,fold\na.wav,x,1\nb.wav,y,fold00\n", "others are integers"),
        ("path,label,start_ms,end_ms\na.wav,x,1,zwei\n", "line 2: end_ms 'zwei'"),
        ("path,label,start_ms,end_ms\na.wav,x,nan,2\n", "line 2: start_ms 'nan'"),
        ("path,label,start_ms,end_ms\na.wav,x,-1,2\n", "line 2: start_ms '-1'"),
        ("path,label,start_ms,end_ms\na.wav,x,5,2\n", "end before they start.*line 2: 5 to 2"),
        ("path,label,start_ms,end_ms\na.wav,x,5,\n", "without start_ms and end_ms.*line 2"),
        ("path,label,start_ms,end_ms\na.wav,,5,6\n", "events without a label.*line 2"),
        ("path,label\nx/c.wav,x\ny/c.wav,y\nx_c.wav,z\n", "same name.*x/c.wav and x_c.wav"),
        ('path,label\n"a.wav,x\n', "no valid CSV at line 2"),
        ("path,label\na.wav,x\n".encode("utf-16"), "not in UTF-8"),
        ("path,label\na.wav,x\n".encode("utf-16-le"), "not in UTF-8|no valid CSV at line 1"),
        ("path,label\n.,x\n/,y\n", "without a path.*line 2.*line 3"),
        (b"path,label\na.wav,caf\xe9\n", "not in UTF-8"),
        ("path,label\nx\\c.wav,x\n", "line 2: .*write paths with slashes"),
        ("path,label\nb\\s.wav,x\n", "can have .*line 2: a backslash in .*s.wav"),
        (f"path,label\na.wav,{'x' * 100_001}\n", "can't be .*line 2: more than 100000 char"),
    ],
)
def test_a_bad_list_is_one_clear_error(audio: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(TaskError, match=said) as raised:
        read_clip_table(table(audio, content), audio)
    assert "clips.csv" in str(raised.value)


def test_all_lines_are_said_at_once(audio: Path) -> None:
    content = "path,label,split\na.wav,x,dev\ngone.wav,y,train\n" + "more.wav,z,train\n" * 20
    with pytest.raises(TaskError) as raised:
        read_clip_table(table(audio, content), audio)
    message = str(raised.value)
    for said in ("line 2: 'dev'", "line 3: ", "line 4: ", "stand twice (19)", "and 14 more"):
        assert said in message


def test_a_missing_list_or_folder_is_named(audio: Path) -> None:
    with pytest.raises(TaskError, match=r"gone\.csv is not there"):
        read_clip_table(audio / "gone.csv", audio)
    with pytest.raises(TaskError, match=r"audio folder .*gone is not there"):
        read_clip_table(table(audio, "path,label\na.wav,x\n"), audio / "gone")


def test_a_list_from_a_spreadsheet(audio: Path) -> None:
    content = '\ufeffPath, Label ,comment\r\na.wav,"x, y",hm\r\n\r\nb.wav, z ,\r\n'
    found = read_clip_table(table(audio, content), audio)
    assert [(clip.path, clip.filestem, clip.label) for clip in found.clips] == [
        (audio / "a.wav", "a", "x, y"),
        (audio / "b.wav", "b", "z"),
    ]
    assert not found.has_events
    assert not found.has_several
    assert found.unlabelled == ()


def test_stems_are_unique(audio: Path) -> None:
    content = "path,label\nx/c.wav,x\ny/c.wav,y\na.wav,z\nd.v2.flac,z\n"
    found = read_clip_table(table(audio, content), audio)
    assert [clip.filestem for clip in found.clips] == ["x_c", "y_c", "a", "d.v2"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["fold02", "fold00", "fold01"], ["fold02", "fold00", "fold01"]),
        (["10", "2", "7"], ["fold02", "fold00", "fold01"]),
        (["1", "1", "-4"], ["fold01", "fold01", "fold00"]),
    ],
)
def test_folds(audio: Path, values: list[str], expected: list[str]) -> None:
    names = ("a.wav", "b.wav", "x/c.wav")
    lines = [f"{name},x,{value}" for name, value in zip(names, values, strict=True)]
    found = read_clip_table(table(audio, "\n".join(["path,label,fold", *lines])), audio)
    assert [clip.split for clip in found.clips] == expected


@pytest.mark.parametrize(
    ("content", "several", "unlabelled"),
    [
        ("a.wav,x\nb.wav,y", False, []),
        ("a.wav,x\na.wav,y\nb.wav,y", True, []),
        ("a.wav,x\nb.wav,", False, ["b.wav"]),
    ],
)
def test_several_labels_or_none(
    audio: Path, content: str, several: bool, unlabelled: list[str]
) -> None:
    found = read_clip_table(table(audio, f"path,label\n{content}\n"), audio)
    assert found.has_several is several
    assert [path.name for path in found.unlabelled] == unlabelled


def test_files_may_be_missing(audio: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = table(audio, "path,label\na.wav,x\ngone.wav,y\n")
    found = read_clip_table(path, audio, missing_ok=True)
    assert [clip.path.name for clip in found.clips] == ["a.wav", "gone.wav"]
    assert "1 of the 2 files" in caplog.text


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.wav"])
def test_a_file_for_the_audio_folder(audio: Path, name: str) -> None:
    (audio / name).touch()
    said = "a file" if name == "x.wav" else "an archive; unpack"
    with pytest.raises(TaskError, match=f"no folder but {said}"):
        read_clip_table(table(audio, "path,label\na.wav,x\n"), audio / name)


@pytest.mark.parametrize(
    ("times", "refused"),
    [
        (["0.3,0.8", "1.1,1.6"], True),
        (["0,0.5"], True),
        (["12,12", "500,500"], False),  # onsets alone
        (["0.3,0.8", "1200,1200.5"], False),
        (["0.3,1.5"], False),  # looked at again beside the audio
        (["300,800"], False),
    ],
)
def test_times_in_seconds(audio: Path, times: list[str], refused: bool) -> None:
    rows = "".join(f"a.wav,x,{pair}\n" for pair in times)
    path = table(audio, f"path,label,start_ms,end_ms\n{rows}")
    if refused:
        with pytest.raises(TaskError, match=r"clips\.csv.*in seconds"):
            read_clip_table(path, audio)
    else:
        assert len(read_clip_table(path, audio).clips) == len(times)


def test_events(audio: Path) -> None:
    content = "path,label,start_ms,end_ms\na.wav,x,0,10.5\na.wav,x,20,30\nb.wav,,,\n"
    found = read_clip_table(table(audio, content), audio)
    assert found.has_events
    assert [(c.filestem, c.label, c.start_ms, c.end_ms) for c in found.clips] == [
        ("a", "x", 0.0, 10.5),
        ("a", "x", 20.0, 30.0),
        ("b", None, None, None),
    ]
