from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hearbench.errors import TaskError
from hearbench.tasks.corpora import CorpusPart, RawCorpus
from hearbench.tasks.corpora.tfds import clips

SPLITS = ("train", "test", "valid")


def options(name: str, splits: Iterable[str], *, keep_splits: bool = False) -> dict[str, Any]:
    return {"name": name, "splits": list(splits), "keep_splits": keep_splits}


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_export(folder: Path, split: str, *, ending: str = "") -> None:
    names = [f"tfds_id_x-{split}-{i}.wav" for i in range(3)]
    touch(folder, *(f"audio/{name}" for name in names[:2]), f"audio/._{names[2]}")
    lines = ["filename,label", *(f"{name},{i}" for i, name in enumerate(names))]
    (folder / f"{split}{ending}_labels.csv").write_text("\n".join(lines))


@pytest.mark.parametrize("keep_splits", [True, False])
@pytest.mark.parametrize("layout", ["a part per split", "all in one", "one folder, three parts"])
def test_an_export(tmp_path: Path, keep_splits: bool, layout: str) -> None:
    places = {split: tmp_path / (split if "per" in layout else "") for split in SPLITS}
    for split, place in places.items():
        write_export(place, split)
    parts = tuple(CorpusPart(place, split) for split, place in places.items())
    if layout == "all in one":
        parts = (CorpusPart(tmp_path),)
    raw = RawCorpus(parts, options("x", SPLITS, keep_splits=keep_splits))
    found = list(clips(raw))
    assert [(clip.filestem, clip.label) for clip in found] == [
        (f"tfds_id_x-{split}-{i}", str(i)) for split in SPLITS for i in range(3)
    ]
    wanted = [split if keep_splits else None for split in SPLITS for _ in range(3)]
    assert [clip.split for clip in found] == wanted
    assert [clip.path.is_file() for clip in found] == [True, True, False] * 3
    assert found[8].path == places["valid"] / "audio/tfds_id_x-valid-2.wav"
    assert raw.notes == []


def test_an_export_in_a_folder_of_its_own(tmp_path: Path) -> None:
    write_export(tmp_path / "top", "valid", ending="ation")
    write_export(tmp_path / "top", "train")
    raw = RawCorpus((CorpusPart(tmp_path),), options("x", ["valid"], keep_splits=True))
    assert [clip.split for clip in clips(raw)] == ["valid"] * 3  # train isn't asked for


def test_a_list_that_is_missing_or_twice(tmp_path: Path) -> None:
    write_export(tmp_path / "a", "train")
    raw = RawCorpus((CorpusPart(tmp_path),), options("x", SPLITS))
    with pytest.raises(TaskError, match=r"lacks the lists test_labels\.csv, valid_labels\.csv"):
        list(clips(raw))
    write_export(tmp_path / "b", "train")
    with pytest.raises(TaskError, match="two lists of the split 'train'"):
        list(clips(raw))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("filename\na.wav\n", "lacks the columns label"),
        ("filename,label\na.wav,\n", "line 2, column 'label': '' is not a text"),
        ("filename,label\n../a.wav,1\n", r"line 2, column 'filename': '\.\./a\.wav' is not the"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "train_labels.csv").write_text(text)
    raw = RawCorpus((CorpusPart(tmp_path),), options("x", ["train"]))
    with pytest.raises(TaskError, match=said):
        list(clips(raw))


def original(folder: Path, name: str, files: Iterable[str]) -> tuple[dict[str, str | None], str]:
    touch(folder, *files)
    raw = RawCorpus((CorpusPart(folder),), options(name, ["train"]))
    found = list(clips(raw))
    assert all(clip.path.is_file() and clip.split is None for clip in found)
    (note,) = raw.notes
    return {clip.filestem: clip.label for clip in found}, note


@pytest.mark.parametrize("top", ["", "CREMA-D-master/"])
def test_the_original_crema_d(tmp_path: Path, top: str) -> None:
    stems = ["1001_DFA_ANG_XX", "1091_IEO_SAD_HI", "1006_TIE_NEU_XX", "1013_WSI_DIS_XX"]
    stems += ["1017_IWW_FEA_XX", "1040_ITH_SAD_X", "1040_ITH_SAD_XX"]
    files = [f"{top}AudioWAV/{stem}.wav" for stem in stems]
    found, note = original(
        tmp_path, "crema_d", [*files, f"{top}AudioMP3/1001_DFA_ANG_XX.mp3", f"{top}x/1.wav"]
    )
    # Without the four that the TFDS version lacks.
    assert found == {"1001_DFA_ANG_XX": "ANG", "1040_ITH_SAD_XX": "SAD", "1091_IEO_SAD_HI": "SAD"}
    assert "original corpus crema_d" in note
    assert "differ from the official ones" in note


def test_an_original_folder_that_is_the_part(tmp_path: Path) -> None:
    found, _ = original(tmp_path / "AudioWAV", "crema_d", ["1001_DFA_ANG_XX.wav"])
    assert found == {"1001_DFA_ANG_XX": "ANG"}


def test_another_name_in_crema_d(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no label \(1\): .*1001\.wav(.|\n)*1001_DFA_ANG_XX\.wav"):
        original(tmp_path, "crema_d", ["AudioWAV/1001.wav", "AudioWAV/1001_DFA_ANG_XX.wav"])


@pytest.mark.parametrize("top", ["", "genres/", "Data/genres_original/"])
@pytest.mark.parametrize("suffix", ["wav", "au"])
def test_the_original_gtzan(tmp_path: Path, top: str, suffix: str) -> None:
    stems = ["blues.00000", "blues.00001", "hiphop.00099"]
    files = [f"{top}{stem.split('.')[0]}/{stem}.{suffix}" for stem in stems]
    found, _ = original(tmp_path, "gtzan", [*files, f"{top}mfcc.00000.wav", f"{top}pop/x.wav"])
    assert found == {"blues.00000": "blues", "blues.00001": "blues", "hiphop.00099": "hiphop"}


@pytest.mark.parametrize("ending", ["", "_wav"])
def test_the_original_gtzan_music_speech(tmp_path: Path, ending: str) -> None:
    files = [
        f"music_speech/{label}{ending}/{label}{i}.wav"
        for label in ("music", "speech")
        for i in (1, 2)
    ]
    found, _ = original(tmp_path, "gtzan_music_speech", files)
    assert found == {"music1": "music", "music2": "music", "speech1": "speech", "speech2": "speech"}


def test_the_original_spoken_digit(tmp_path: Path) -> None:
    names = ["0_george_0", "9_theo_49", "5_lucas_3", "7_yweweler_1"]
    files = [f"free-spoken-digit-dataset/recordings/{name}.wav" for name in names]
    found, _ = original(tmp_path, "spoken_digit", files)
    # Version 1.0.9 doesn't have the sixth speaker yet.
    assert found == {"0_george_0": "0", "7_yweweler_1": "7", "9_theo_49": "9"}


def test_all_of_free_spoken_digit(shared: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared / "data/corpora/free-spoken-digit-dataset.zip") as file:
        names = [name for name in file.namelist() if name.endswith(".wav")]
    found, _ = original(tmp_path, "spoken_digit", names)
    with (shared / "golden/fsdd/clips.csv").open() as table:
        wanted = {Path(row["path"]).stem: row["label"] for row in csv.DictReader(table)}
    assert found == wanted
    assert len(found) == 2500


def test_a_folder_with_neither_export_nor_original(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.wav")
    for name, layout in (("gtzan", r"genres/blues/blues\.00000\.wav"), ("speech_commands", "")):
        raw = RawCorpus((CorpusPart(tmp_path),), options(name, ["train"]))
        with pytest.raises(TaskError, match=f"no export of the TFDS corpus {name} .*{layout}"):
            list(clips(raw))


def test_an_original_where_splits_are_needed(tmp_path: Path) -> None:
    touch(tmp_path, "recordings/0_a_0.wav")
    raw = RawCorpus((CorpusPart(tmp_path),), options("spoken_digit", SPLITS, keep_splits=True))
    with pytest.raises(TaskError, match="doesn't name the splits"):
        list(clips(raw))


@pytest.mark.parametrize("splits", [None, [], "train"])
def test_options_without_splits(tmp_path: Path, splits: Any) -> None:
    raw = RawCorpus((CorpusPart(tmp_path),), {**options("x", []), "splits": splits})
    with pytest.raises(TaskError, match="needs the option 'splits', a list of names"):
        list(clips(raw))
