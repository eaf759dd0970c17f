"""Corpora whose labels are in tables or JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearbench.errors import TaskError
from hearbench.tasks.arrange import arrange
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import CorpusPart, RawCorpus, get_parser
from hearbench.tasks.recipe import Recipe


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def one_part(folder: Path, files: dict[str, str], **options: Any) -> RawCorpus:
    write(folder, files)
    return RawCorpus((CorpusPart(folder, "train"),), options)


def rows(name: str, raw: RawCorpus) -> list[Clip]:
    return list(get_parser(name)(raw))


def said(name: str, raw: RawCorpus) -> str:
    with pytest.raises(TaskError) as raised:
        rows(name, raw)
    return str(raised.value)


ESC50 = "filename,fold,target,category,esc10\n1-1-A-0.wav,1,0,dog,True\n5-2-B-1.wav,5,1,rooster,F\n"


@pytest.mark.parametrize("top", ["", "ESC-50-master/", "a/b/"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_esc50(tmp_path: Path, top: str, mark: str) -> None:
    table = mark + ESC50.replace("\n", "\r\n")
    files = {
        f"{top}meta/esc50.csv": table,
        f"{top}audio/1-1-A-0.wav": "",
        f"{top}audio/._x.wav": "",
    }
    files["__MACOSX/meta/esc50.csv"] = "junk"
    there, missing = rows("esc50", one_part(tmp_path, files))
    audio = tmp_path / f"{top}audio"
    assert there == Clip(audio / "1-1-A-0.wav", "1-1-A-0", "dog", split="fold00")
    assert missing == Clip(audio / "5-2-B-1.wav", "5-2-B-1", "rooster", split="fold04")


def test_esc50_whose_audio_lies_elsewhere(tmp_path: Path) -> None:
    raw = one_part(tmp_path, {"meta/esc50.csv": ESC50, "wavs/1-1-A-0.wav": ""})
    assert rows("esc50", raw)[0].path == tmp_path / "wavs/1-1-A-0.wav"
    write(tmp_path, {"more/1-1-A-0.wav": ""})
    assert "2 files '1-1-A-0.wav'" in said("esc50", raw)
    write(tmp_path, {"audio/1-1-A-0.wav": ""})  # where it belongs, it is the one
    assert rows("esc50", raw)[0].path == tmp_path / "audio/1-1-A-0.wav"


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("wav,5,1", "wav,0,1", "line 3, column 'fold': '0' is not an integer from 1 on"),
        ("wav,5,1", "wav,5.0,1", "line 3, column 'fold': '5.0' is not an integer from 1 on"),
        ("rooster", "", "line 3, column 'category': '' is not a text; it is empty"),
        ("1-1-A-0", "../x", "line 2, column 'filename': '../x.wav' is not the name of a file"),
        ("1-1-A-0.wav", "/x.wav", "line 2, column 'filename': '/x.wav' is not the name"),
        ("category", "kind", "esc50.csv lacks the columns category; its first line names filename"),
        ("dog,True", "dog,True,1", "line 2 has 6 cells, where 5 are expected"),
        ("0,dog,True", "", "line 2 has 3 cells, where 5 are expected"),
        ("dog,", '"dog,', "line 2: a quotation mark is never closed"),
        (ESC50, "", "esc50.csv is empty; its first line should name filename, fold, category"),
    ],
)
def test_esc50_with_a_bad_table(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    assert old in ESC50
    raw = one_part(tmp_path, {"meta/esc50.csv": ESC50.replace(old, new)})
    message = said("esc50", raw)
    assert wanted in message
    assert str(tmp_path / "meta/esc50.csv") in message


def test_tables_that_are_none(tmp_path: Path) -> None:
    raw = one_part(tmp_path, {})
    tmp_path.joinpath("meta").mkdir()
    assert f"no file 'esc50.csv' below {tmp_path}" in said("esc50", raw)
    tmp_path.joinpath("meta/esc50.csv").write_bytes(b"filename,fold,category\n\xff\xfe,1,a\n")
    assert "esc50.csv is no text in UTF-8" in said("esc50", raw)
    write(tmp_path, {"meta/esc50.csv": ESC50, "copy/esc50.csv": ESC50})
    assert "2 files 'esc50.csv'" in said("esc50", raw)
    write(tmp_path, {"esc50.csv": ESC50})  # the one nearest the top
    assert len(rows("esc50", raw)) == 2


def test_rows_may_end_before_what_nobody_needs(tmp_path: Path) -> None:
    table = (
        'filename,fold,category,note\na.wav,1,dog\n\n"b,c.wav",2,cat,"two\nlines"\nd.wav,x,y,z\n'
    )
    raw = one_part(tmp_path, {"meta/esc50.csv": table})
    assert "line 6, column 'fold': 'x'" in said("esc50", raw)
    write(tmp_path, {"meta/esc50.csv": table.replace("d.wav,x", "d.wav,3")})
    assert [row.filestem for row in rows("esc50", raw)] == ["a", "b,c", "d"]


COUGHVID = (
    "uuid,cough_detected,status\n"
    "a,0.81,healthy\nb,0.8,healthy\nc,1.0,\nd,0.9,COVID-19\ne,1,symptomatic\nf,0.9,healthy\ng,,healthy\n"
)


@pytest.mark.parametrize("top", ["", "public_dataset/"])
def test_coughvid(tmp_path: Path, top: str) -> None:
    files = {f"{top}metadata_compiled.csv": COUGHVID}
    files |= {f"{top}{name}": "" for name in ("a.webm", "a.json", "d.ogg", "e.wav", "b.webm")}
    found = rows("coughvid", one_part(tmp_path, files, min_cough_detected=0.8))
    assert [(row.filestem, row.label) for row in found] == [
        *(("a", "healthy"), ("d", "COVID-19"), ("e", "symptomatic"), ("f", "healthy"))
    ]
    names = ["a.webm", "d.ogg", "e.wav", "f.webm"]
    assert [row.path for row in found] == [tmp_path / top / name for name in names]
    assert [row.path.is_file() for row in found] == [True, True, True, False]


def test_coughvid_with_a_bad_number(tmp_path: Path) -> None:
    files = {"metadata_compiled.csv": COUGHVID.replace("0.81", "often")}
    raw = one_part(tmp_path, files, min_cough_detected=0.8)
    assert "line 2, column 'cough_detected': 'often' is not a number" in said("coughvid", raw)


IMITATIONS = (
    "imitation_id\timitation_filename\treference_filename\tincluded\tdescription\n"
    '1\tv1.wav\t000Cat_Growling.wav\tTrue\tit\'s "growling"\n'
    "2\tv2.wav\t000Cat_Growling.wav\tFalse\tno\n"
    "3\tv3.wav\t001Dog, barking.wav\tTrue\n"
)


@pytest.mark.parametrize("top", ["", "VocalImitationSet/"])
def test_vocal_imitation(tmp_path: Path, top: str) -> None:
    files = {
        f"{top}vocal_imitations.txt": IMITATIONS,
        f"{top}vocal_imitations/included/v1.wav": "",
        f"{top}vocal_imitations/excluded/v3.wav": "",  # not the one that is meant
    }
    folder = tmp_path / top / "vocal_imitations/included"
    assert rows("vocal_imitation", one_part(tmp_path, files)) == [
        Clip(folder / "v1.wav", "v1", "000Cat_Growling.wav"),
        Clip(folder / "v3.wav", "v3", "001Dog, barking.wav"),
    ]


def test_vocal_imitation_with_a_bad_flag(tmp_path: Path) -> None:
    raw = one_part(tmp_path, {"vocal_imitations.txt": IMITATIONS.replace("False", "perhaps")})
    assert "line 3, column 'included': 'perhaps' is not True or False" in said(
        "vocal_imitation", raw
    )


FSD50K = {
    "truth/FSD50K.ground_truth/dev.csv": "fname,labels,mids,split\n"
    '1,"Purr,Cat,Animal","/m/1,/m/2",train\n2,Dog,/m/3,val\n83299,Cat,/m/1,train\n3,Cat,/m,train\n',
    "truth/FSD50K.ground_truth/eval.csv": 'fname,labels,mids\n9,"Dog,Animal",/m\n8,Cat,/m/1\n',
    "meta/FSD50K.metadata/dev_clips_info_FSD50K.json": json.dumps(
        {"1": {"uploader": "ann"}, "2": {"uploader": "bob"}, "3": {"uploader": "ann"}}
    ),
    "train/FSD50K.dev_audio/1.wav": "",
    "train/FSD50K.dev_audio/2.wav": "",
    "test/9.wav": "",
    "test/._9.wav": "",
}


@pytest.mark.parametrize("named", [True, False])
def test_fsd50k(tmp_path: Path, named: bool) -> None:
    raw = fsd50k(tmp_path, named=named)
    found = rows("fsd50k", raw)
    dev, test = tmp_path / "train/FSD50K.dev_audio", tmp_path / "test"
    missing = tmp_path / "train/3.wav"
    assert found == [
        Clip(dev / "1.wav", "1", "Purr", "train", split_key="ann"),
        Clip(dev / "1.wav", "1", "Cat", "train", split_key="ann"),
        Clip(dev / "1.wav", "1", "Animal", "train", split_key="ann"),
        Clip(dev / "2.wav", "2", "Dog", "valid", split_key="bob"),
        Clip(missing, "3", "Cat", "train", split_key="ann"),
        Clip(test / "9.wav", "9", "Dog", "test"),
        Clip(test / "9.wav", "9", "Animal", "test"),
        Clip(test / "8.wav", "8", "Cat", "test"),
    ]


def fsd50k(folder: Path, *, named: bool = True, **changes: str) -> RawCorpus:
    texts = {name: changes.get(Path(name).stem, text) for name, text in FSD50K.items()}
    write(folder, texts)
    parts = [CorpusPart(folder / split, split) for split in ("train", "test")]
    for key, place in (("ground_truth", "truth"), ("source_metadata", "meta")):
        part = CorpusPart(folder / place, *((None, key) if named else (key, None)))
        parts.append(part)
    return RawCorpus(tuple(parts))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"dev": "fname,labels,split\n1,Cat,dev\n"}, "'split': 'dev' is not train or val"),
        ({"dev": "fname,labels,split\n1,,val\n"}, "line 2, column 'labels': '' is not a text"),
        ({"eval": 'fname,labels\n1,"a,,b"\n'}, "'labels': 'a,,b' is not a list of labels"),
        ({"dev_clips_info_FSD50K": "{"}, "dev_clips_info_FSD50K.json is no JSON"),
        ({"dev_clips_info_FSD50K": "[]"}, "should hold a JSON object, not list"),
        ({"dev_clips_info_FSD50K": "{}"}, "no 'uploader' of the clip '1', which"),
        ({"dev_clips_info_FSD50K": '{"1": {"uploader": 3}}'}, "no 'uploader' of the clip '1'"),
    ],
)
def test_fsd50k_with_bad_metadata(tmp_path: Path, changes: Any, wanted: str) -> None:
    assert wanted in said("fsd50k", fsd50k(tmp_path, **changes))


def test_fsd50k_without_a_part(tmp_path: Path) -> None:
    raw = fsd50k(tmp_path)
    without = RawCorpus(raw.parts[:-1])
    assert "0 parts called 'source_metadata'" in said("fsd50k", without)


def test_dcase2016_task2(tmp_path: Path) -> None:
    files = {
        "top/dev/annotation/d1.txt": "0.1\t1.25\tdoor\r\n0.684197\t0.814615\tkeys drop\r\n\r\n",
        "top/dev/annotation/d2.txt": "",
        "top/dev/annotation/._d1.txt": "junk",
        "top/dev/readme.txt": "words",
        "top/dev/sound/d1.wav": "",
        "top/dev/sound/d2.wav": "",
        "top/train/door1.wav": "",
    }
    write(tmp_path, files)
    write(tmp_path / "eval", {"annotation/e1.txt": "2\t3\tdoor"})
    raw = RawCorpus(
        (
            CorpusPart(tmp_path / "top", "train", "dev"),
            CorpusPart(tmp_path / "eval", "train", "eval"),
        )
    )
    d1, e1 = tmp_path / "top/dev/sound/d1.wav", tmp_path / "eval/sound/e1.wav"
    assert rows("dcase2016_task2", raw) == [
        Clip(d1, "d1", "door", start_ms=0.1 * 1000, end_ms=1250.0),
        Clip(d1, "d1", "keys drop", start_ms=0.684197 * 1000, end_ms=0.814615 * 1000),
        Clip(e1, "e1", "door", start_ms=2000.0, end_ms=3000.0),
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("1\t2", "line 2 has 2 cells, where 3 are expected: onset, offset, label"),
        ("1 2 door", "line 2 has 1 cells"),
        ("1\t2\tdoor\tx", "line 2 has 4 cells"),
        ("x\t2\tdoor", "line 2, column 'onset': 'x' is not a number"),
        ("nan\t2\tdoor", "line 2, column 'onset': 'nan' is not a number"),
        ("-1\t2\tdoor", "line 2, column 'onset': '-1' is not a time in seconds from 0 on"),
        ("3\t2\tdoor", "line 2, column 'offset': '2' is not a time in seconds from the onset, 3,"),
        ("1\t2\t", "line 2, column 'label': '' is not a text"),
    ],
)
def test_dcase2016_task2_with_a_bad_line(tmp_path: Path, line: str, wanted: str) -> None:
    raw = one_part(tmp_path, {"annotation/a.txt": f"1\t2\tdoor\n{line}\n"})
    message = said("dcase2016_task2", raw)
    assert wanted in message
    assert "annotation/a.txt" in message


def test_dcase2016_task2_without_annotations(tmp_path: Path) -> None:
    assert "no annotations below" in said("dcase2016_task2", one_part(tmp_path, {"a.txt": ""}))


def nsynth(folder: Path, *, keep_splits: bool) -> RawCorpus:
    parts = []
    for i, split in enumerate(("train", "valid", "test")):
        notes = {f"bass_{i}-{pitch:03d}-050": {"pitch": pitch} for pitch in (20, 21, 108, 109)}
        write(folder / split, {f"nsynth-{split}/examples.json": json.dumps(notes)})
        parts.append(CorpusPart(folder / split, split))
    options = {"pitch_min": 21, "pitch_max": 108, "keep_splits": keep_splits}
    return RawCorpus(tuple(parts), options)


@pytest.mark.parametrize("keep_splits", [True, False])
def test_nsynth(tmp_path: Path, keep_splits: bool) -> None:
    found = rows("nsynth", nsynth(tmp_path, keep_splits=keep_splits))
    assert [row.label for row in found] == ["21", "108"] * 3
    assert found[2] == Clip(
        tmp_path / "valid/nsynth-valid/audio/bass_1-021-050.wav",
        "bass_1-021-050",
        "21",
        split="valid" if keep_splits else None,
        split_key="bass_1",
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"a-1": {"pitch": "60"}}', "the note 'a-1' has no integer as its 'pitch', but '60'"),
        ('{"a-1": {}}', "the note 'a-1' has no integer as its 'pitch', but None"),
        ('{"a-1": 60}', "the note 'a-1' has no integer"),
        ('{"../a": {"pitch": 60}}', "'../a' can't be the name of a file"),
        ('{"a/b": {"pitch": 60}}', "'a/b' can't be the name of a file"),
        ("[1]", "should hold a JSON object, not list"),
    ],
)
def test_nsynth_with_bad_examples(tmp_path: Path, text: str, wanted: str) -> None:
    raw = nsynth(tmp_path, keep_splits=True)
    write(tmp_path, {"valid/nsynth-valid/examples.json": text})
    assert wanted in said("nsynth", raw)


def test_missing_audio_is_dropped_in_small_mode_and_refused_in_others(tmp_path: Path) -> None:
    lines = [
        "filename,fold,category",
        *(f"{i}.wav,{i % 3 + 1},dog" for i in range(9)),
        "x.wav,1,dog",
    ]
    raw = one_part(
        tmp_path,
        {"meta/esc50.csv": "\n".join(lines), **{f"audio/{i}.wav": "" for i in range(9)}},
    )

    def recipe(mode: str) -> Recipe:
        return Recipe("t", "1", mode, "scene", "multiclass", "presplit_kfold", 1.0, ("top1_acc",))

    found = arrange(rows("esc50", raw), recipe("small"))
    assert [len(files) for files in found.splits.values()] == [3, 3, 3]
    with pytest.raises(TaskError, match=r"files that are missing \(1\): .*audio/x\.wav"):
        arrange(rows("esc50", raw), recipe("full"))
