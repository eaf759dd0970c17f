"""Corpora whose labels are in the names of files and folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hearbench.errors import TaskError, UnknownNameError
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import CorpusPart, RawCorpus, corpus_names, get_parser
from hearbench.tasks.corpora.files import files_below

# What macOS, an editor and a broken run leave behind; none of it is ever a clip.
JUNK = (
    "._a__b__c-d-1.wav",
    ".hidden/1_a.wav",
    "__MACOSX/x/2_b.wav",
    "__MACOSX/._1_a.wav",
    ".tmp-1_2.wav",
    "notes.txt",
    "1_a.json",
)


def corpus(folder: Path, names: Iterable[str], **options: Any) -> RawCorpus:
    for name in (*names, *JUNK):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return RawCorpus((CorpusPart(folder, "train"),), options)


def labels(name: str, raw: RawCorpus) -> dict[str, str | None]:
    rows = list(get_parser(name)(raw))
    assert all(row.path.is_file() for row in rows)
    found = {row.filestem: row.label for row in rows}
    assert len(found) == len(rows)
    return found


def test_what_there_is() -> None:
    assert corpus_names() == [
        *("beehive", "beijing_opera", "coughvid", "dcase2016_task2", "esc50", "fsd50k"),
        *("gunshot", "libricount", "maestro", "mridangam", "nsynth", "speech_commands"),
        *("tfds", "vocal_imitation", "vox_lingua"),
    ]
    for name in corpus_names():
        assert get_parser(name).__module__ == f"hearbench.tasks.corpora.{name}"
    with pytest.raises(UnknownNameError, match="Did you mean 'esc50'"):
        get_parser("esc-50")


def test_beijing_opera(tmp_path: Path) -> None:
    raw = corpus(tmp_path, ["top/1__a__bangu-05.wav", "top/2__b__c__da-luo-xx-1.WAV"])
    assert labels("beijing_opera", raw) == {"1__a__bangu-05": "bangu", "2__b__c__da-luo-xx-1": "xx"}


@pytest.mark.parametrize("stem", ["bangu-05", "1__a__bangu", "1__a__-05"])
def test_beijing_opera_with_other_names(tmp_path: Path, stem: str) -> None:
    raw = corpus(tmp_path, ["1__a__bangu-05.wav", f"{stem}.wav"])
    with pytest.raises(TaskError) as raised:
        labels("beijing_opera", raw)
    assert f"names that say no label (1): {tmp_path / stem}.wav" in str(raised.value)
    assert "like 222136__ajaysm__bangu-05.wav" in str(raised.value)


@pytest.mark.parametrize(
    ("label", "wanted"), [("stroke", ["bheem", "ta"]), ("tonic", ["b", "dsh"])]
)
def test_mridangam(tmp_path: Path, label: str, wanted: list[str]) -> None:
    names = ["t/B/1__x__bheem-b-001.wav", "t/D#/2__x__ta-dsh-188.wav"]
    assert list(labels("mridangam", corpus(tmp_path, names, label=label)).values()) == wanted


def test_mridangam_with_a_part_too_few(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"no label \(1\): .*1__x__b-001\.wav"):
        labels("mridangam", corpus(tmp_path, ["1__x__b-001.wav"], label="tonic"))


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "needs the option 'label', of the type str; the task has None"), ({"label": "x"}, "'x'")],
)
def test_mridangam_with_other_options(tmp_path: Path, options: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        labels("mridangam", corpus(tmp_path, [], **options))


def test_libricount(tmp_path: Path) -> None:
    raw = corpus(tmp_path, ["test/0_1008.wav", "test/10_3_4.wav"])
    assert labels("libricount", raw) == {"0_1008": "0", "10_3_4": "10"}
    (tmp_path / "nine.wav").touch()
    with pytest.raises(TaskError, match=r"nine\.wav"):
        labels("libricount", raw)


@pytest.mark.parametrize("top", ["", "dev/"])
def test_vox_lingua_keeps_the_most_frequent(tmp_path: Path, top: str) -> None:
    counts = {"de": 2, "sv": 3, "ab": 1, "et": 2, "zu": 3}
    names = [f"{top}{lang}/{lang}{i}.wav" for lang, count in counts.items() for i in range(count)]
    for most, wanted in ((1, "sv"), (2, "sv zu"), (3, "de sv zu"), (4, "de et sv zu")):
        raw = corpus(tmp_path, names, languages=most)
        found = labels("vox_lingua", raw)
        assert sorted({str(label) for label in found.values()}) == wanted.split()
        assert len(found) == sum(counts[lang] for lang in wanted.split())
        assert all(stem[:2] == label for stem, label in found.items())
    assert len(labels("vox_lingua", corpus(tmp_path, names, languages=10))) == 11


def test_vox_lingua_outside_of_a_language(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"a\.wav lies in no folder that is named by its label"):
        labels("vox_lingua", corpus(tmp_path, ["a.wav"], languages=2))


def test_beehive(tmp_path: Path) -> None:
    hives = {
        "hive1": ("Hive1_12_06_2018/Hive1 12_06_2018_QueenBee____16_20_00.wav", "b NO_Queen.wav"),
        "hive3": ("Hive3_14_07_2017_NO_QueenBee____13_10_00.wav", "no_Queen.wav"),
        "hive2": ("other.wav",),
    }
    parts = []
    for hive, names in hives.items():
        for i, name in enumerate(names):  # an archive each
            corpus(tmp_path / f"{hive}{i}", [name])
            parts.append(CorpusPart(tmp_path / f"{hive}{i}", hive, str(i)))
    raw = RawCorpus(tuple(parts), {"train_hive": "hive3", "test_hive": "hive1"})
    rows = {
        row.filestem: (row.split, row.label)
        for row in get_parser("beehive")(raw)
        if not row.filestem.startswith(("1_a", "._"))
    }
    assert rows == {
        "Hive3_14_07_2017_NO_QueenBee____13_10_00": ("train", "NOQUEEN"),
        "no_Queen": ("train", "QUEEN"),
        "Hive1 12_06_2018_QueenBee____16_20_00": ("test", "QUEEN"),
        "b NO_Queen": ("test", "NOQUEEN"),
    }
    absent = RawCorpus(tuple(parts), {"train_hive": "hive4", "test_hive": "hive1"})
    with pytest.raises(TaskError, match=r"no WAV file of 'hive4'.*: hive1, hive2, hive3"):
        list(get_parser("beehive")(absent))


def test_files_come_sorted_and_without_junk(tmp_path: Path) -> None:
    corpus(tmp_path, ["b/1.wav", "a/2.wav", "b.wav", "a-b/0.wav", "B.wav"])
    names = [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)]
    wanted = ["1_a.json", "B.wav", "a/2.wav", "a-b/0.wav", "b/1.wav", "b.wav", "notes.txt"]
    assert names == wanted


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="gone can't be read"):
        files_below(tmp_path / "gone")


@pytest.mark.parametrize("name", ["beijing_opera", "libricount"])
def test_several_parts_are_one_corpus(
    tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / f"{i}_1__x__y-1.wav").touch()
    raw = RawCorpus(tuple(CorpusPart(tmp_path / str(i)) for i in range(2)))
    read: Callable[[RawCorpus], Iterable[Clip]] = get_parser(name)
    assert [row.path.parent.name for row in read(raw)] == ["0", "1"]


def test_options_have_types() -> None:
    raw = RawCorpus((), {"n": 3, "x": 0.5, "flag": True, "s": "t"})
    assert (raw.option("n", int), raw.option("x", float), raw.option("flag", bool)) == (
        3,
        0.5,
        True,
    )
    assert raw.option("n", float) == 3.0
    for name in ("flag", "x", "s", "gone"):
        with pytest.raises(TaskError, match=f"needs the option '{name}', of the type int"):
            raw.option(name, int)
    with pytest.raises(TaskError, match="of the type bool; the task has 3"):
        raw.option("n", bool)
