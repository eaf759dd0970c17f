"""Class names in words and templates: of the catalog, of any task, and of a user's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_tasks import make_event_task, make_scene_task

from hearbench import load_task
from hearbench.errors import TaskError, UnknownNameError, UnsuitableTaskError
from hearbench.tasks.catalog import TaskSpec, catalog_names, get_spec
from hearbench.tasks.prompts import TEMPLATES, Prompts, class_prompts, label_words
from hearbench.tasks.store import PreparedTask
from hearbench.tasks.task_type import SCENE
from hearbench.workspace import Workspace


def task_of(
    tmp_path: Path, workspace: Workspace, labels: tuple[str, ...], name: str = "own"
) -> PreparedTask:
    return load_task(
        make_scene_task(tmp_path, name=name, labels=labels, clips_per_label=1), workspace=workspace
    )


def test_every_scene_task_of_the_catalog_has_class_names_or_says_why_not() -> None:
    without = {}
    for name in catalog_names():
        spec = get_spec(name)
        assert (spec.prompts is not None) == (spec.task_type is SCENE), name
        if spec.prompts is not None and spec.prompts.left_out is not None:
            without[name] = spec.prompts.left_out
    assert {name for name, reason in without.items() if "pitches" in reason} == {
        *("mridangam_tonic", "nsynth_pitch", "nsynth_pitch_kfold"),
    }
    assert {*without} - {"mridangam_tonic", "nsynth_pitch", "nsynth_pitch_kfold"} == {
        *("gunshot_triangulation", "vocal_imitation"),
    }


def test_labels_become_words() -> None:
    assert label_words("Chirp_and_tweet") == "chirp and tweet"
    assert label_words("Bathtub_(filling_or_washing)") == "bathtub (filling or washing)"
    assert label_words("hip  hop_") == "hip hop"


def test_the_catalogs_words_are_taken_by_the_tasks_name(
    tmp_path: Path, workspace: Workspace
) -> None:
    labels = ("de", "et", "iw")
    found = class_prompts(task_of(tmp_path, workspace, labels, "vox_lingua_top10"))
    assert found.names == ("German", "Estonian", "Hebrew")
    assert found.texts()[0] == tuple(f"a person speaking {name}" for name in found.names)
    assert len(get_spec("vox_lingua_top10").prompts.words) == 107  # type: ignore[union-attr]


def test_any_other_task_has_its_labels_in_words(tmp_path: Path, workspace: Workspace) -> None:
    found = class_prompts(task_of(tmp_path, workspace, ("church_bells", "dog")))
    assert found.names == ("church bells", "dog")
    assert found.templates == TEMPLATES
    assert found.texts()[0] == ("a sound of church bells", "a sound of dog")
    assert found.texts()[1] == ("church bells", "dog")


def test_a_users_file_takes_their_place(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "prompts.toml"
    path.write_text('templates = ["hear {}!"]\n[words]\n60 = "middle C"\n')
    task = task_of(tmp_path, workspace, ("60", "61"), "nsynth_pitch")
    with pytest.raises(UnsuitableTaskError, match=r"nsynth_pitch.*pitches") as caught:
        class_prompts(task)
    assert "--prompts" in str(caught.value)
    found = class_prompts(task, Prompts.from_toml(path))
    assert found.texts() == (("hear middle C!", "hear 61!"),)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('templates = ["a sound"]', "'a sound' should hold {} once"),
        ('templates = ["{} and {}"]', "should hold {} once"),
        ('templates = ["{name} {}"]', "should hold {} once"),
        ('templates = ["{}", "{}"]', "stands twice"),
        ("templates = []", "templates"),
        ('[words]\na = " "', "words.a"),
        ('templates = ["{}"]\ntemplate = "{}"', "template"),
        ("templates = [", "no TOML"),
    ],
)
def test_a_file_that_cant_be_used_says_why(tmp_path: Path, text: str, names: str) -> None:
    path = tmp_path / "prompts.toml"
    path.write_text(text)
    with pytest.raises(TaskError) as caught:
        Prompts.from_toml(path)
    assert names in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_isnt_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as caught:
        Prompts.from_toml(tmp_path / "none.toml")
    assert caught.value.code == "io"


def test_what_cant_tell_classes_apart_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    task = task_of(tmp_path, workspace, ("a_b", "A b", "c"))
    with pytest.raises(TaskError, match="'a_b', 'A b'"):
        class_prompts(task)
    with pytest.raises(UnknownNameError, match="'d'"):
        class_prompts(task, Prompts(words={"d": "dee"}))
    assert class_prompts(task, Prompts(words={"A b": "other"})).names == ("a b", "other", "c")
    events = load_task(make_event_task(tmp_path), workspace=workspace)
    with pytest.raises(UnsuitableTaskError, match="event task"):
        class_prompts(events)


def test_a_catalog_file_says_what_is_wrong_with_its_prompts() -> None:
    text = (Path(__file__).parents[2] / "src/hearbench/tasks/catalog/esc50.toml").read_text()
    for change, names in (
        ('"{}",', "prompts.templates"),
        ('"{} {}",', "should hold {} once"),
    ):
        broken = text.replace('  "{}",', f"  {change}\n  {change}", 1)
        with pytest.raises(TaskError, match="esc50") as caught:
            TaskSpec.from_text(broken, "esc50.toml")
        assert names in str(caught.value)
    events = text.replace('"scene"', '"event"').replace("multiclass", "multilabel")
    with pytest.raises(TaskError, match="prompts belongs to scene tasks"):
        TaskSpec.from_text(events, "esc50.toml")
