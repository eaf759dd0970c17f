from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers_tasks import make_scene_task

from hearbench.errors import TaskError, UnknownNameError
from hearbench.settings import Settings
from hearbench.tasks.store import load_task


def test_a_folder_above_one_task(tmp_path: Path, settings: Settings) -> None:
    folder = make_scene_task(tmp_path / "out/tasks")
    assert load_task(tmp_path / "out", settings=settings).folder == folder
    assert load_task(str(tmp_path / "out/tasks"), settings=settings).folder == folder


def test_a_folder_above_two_tasks(tmp_path: Path, settings: Settings) -> None:
    make_scene_task(tmp_path / "tasks")
    make_scene_task(tmp_path / "tasks", name="others")
    with pytest.raises(TaskError, match=r"2 tasks.*others-1\.0\.0-full.*tones-1\.0\.0-full"):
        load_task(tmp_path / "tasks", settings=settings)


def test_a_name_in_the_cache(tmp_path: Path, settings: Settings) -> None:
    folder = make_scene_task(settings.cache_dir / "tasks")
    assert load_task("tones-1.0.0-full", settings=settings).folder == folder
    assert load_task("tones", settings=settings).folder == folder
    with pytest.raises(UnknownNameError, match="Did you mean 'tones"):
        load_task("tone", settings=settings)
    shutil.copytree(folder, folder.with_name("tones-1.0.0-small"))
    with pytest.raises(TaskError, match="2 tasks in the cache are called tones"):
        load_task("tones", settings=settings)
    assert load_task("tones-1.0.0-full", settings=settings).folder == folder


def test_nothing_of_that_name(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(UnknownNameError, match="no task 'birds'"):
        load_task("birds", settings=settings)
    for path in (tmp_path / "gone", tmp_path / "gone.tar.gz", "gone.tar.gz", "a/b", ""):
        with pytest.raises((TaskError, UnknownNameError)):
            load_task(path, settings=settings)


def test_no_task_in_a_folder(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match=r"empty is no task.*task_metadata\.json"):
        load_task(tmp_path / "empty", settings=settings)


def test_a_file_that_is_no_archive(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "a.zip").write_text("x")
    with pytest.raises(TaskError, match=r"no \.tar\.gz"):
        load_task(tmp_path / "a.zip", settings=settings)
