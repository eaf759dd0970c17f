"""Probes that are asked about disturbed audio: what is heard, learned, written and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers_models import BANDS, write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

import hearbench
from hearbench.audio.decode import prepared_wav
from hearbench.audio.encode import write_wav16
from hearbench.audio.resample import resample16
from hearbench.errors import HearError, ResultError, UnsuitableTaskError
from hearbench.evaluation.perturbed import Perturbed
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.results import Results
from hearbench.perturb import ClipSource, Perturbation
from hearbench.probe.protocol import FASTER
from hearbench.probe.training_loop import Training
from hearbench.results.robustness import Robustness, build_robustness, perturbed_folder
from hearbench.tasks.catalog import catalog_names, get_spec
from hearbench.tasks.store import disturbed, with_rate
from hearbench.workspace import Workspace

QUICK = FASTER.restricted(first=1)
NOISE = "noise=0"
# Of a clip's level it keeps nothing.
NORMALIZING = BANDS.replace("rfft(audio)", "rfft(audio / audio.abs().amax(-1, keepdim=True))")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tones, 12 clips of each per split, at 32 kHz."""
    folder = tmp_path_factory.mktemp("task")
    return make_scene_task(folder, clips_per_label=12, sample_rates=(32000,))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path, BANDS, "bands")


@pytest.fixture
def told() -> Noted:
    return Noted()


@pytest.fixture
def workspace(workspace: Workspace, told: Noted) -> Workspace:
    return noting(workspace, told)


Evaluate = Callable[..., Results]


@pytest.fixture
def evaluate(tmp_path: Path, model: Path, task: Path, workspace: Workspace) -> Evaluate:
    """Evaluates with perturbations; other arguments are those of the set-up or of `evaluate`."""

    def call(*perturbations: str, **more: Any) -> Results:
        probe = ProbeSetup.of(
            more.pop("protocol", "knn"), more.pop("seeds", 1), workspace=workspace
        )
        setup = Perturbed.of(probe, perturbations, training=more.pop("training", False))
        return hearbench.evaluate(
            more.pop("model", model),
            more.pop("task", task),
            protocol=[probe, setup],
            out=tmp_path / "out",
            workspace=workspace,
            **more,
        )

    return call


def the_one(results: Results) -> tuple[Path, Robustness]:
    assert results.failures == []
    (found,) = results.robustness
    return found


def heard(task: Path, split: str, perturbation: str | None) -> dict[str, npt.NDArray[np.int16]]:
    """A split's clips at 16 kHz, disturbed one by one."""
    files = sorted((task / "32000" / split).glob("*.wav"))
    clips = {path.name: prepared_wav(path, path.read_bytes())[0] for path in files}
    order = list(json.loads((task / f"{split}.json").read_text()))

    def others(name: str) -> Callable[[np.random.RandomState, int], list[npt.NDArray[np.int16]]]:
        rest = [clips[other] for other in order if other != name]
        return lambda random, n: [rest[i] for i in random.permutation(len(rest))[:n]]

    made = {}
    for name in order:
        x = clips[name]
        if perturbation is not None:
            source = ClipSource(task.name, f"{split}/{name}", others(name))
            x = Perturbation.parse(perturbation).apply(x, 32000, source)
        made[name] = resample16(x, 32000, 16000)
    return made


def bands(clips: dict[str, npt.NDArray[np.int16]]) -> npt.NDArray[np.float64]:
    """What the model gives, by numpy."""
    audio = np.stack(list(clips.values())) / 32768
    power = np.abs(np.fft.rfft(audio))[:, 1:385]
    return np.asarray(np.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3))


def labels(task: Path, split: str) -> list[str]:
    return [each[0] for each in json.loads((task / f"{split}.json").read_text()).values()]


def test_probes_learn_from_clean_clips_and_are_asked_about_disturbed_ones(
    task: Path, evaluate: Evaluate
) -> None:
    protocol = hearbench.get_protocol("knn").restricted(only={"k": 1, "metric": "cosine"})
    path, found = the_one(evaluate(NOISE, "noise=babble:-3", protocol=protocol))
    assert [point.name for point in found.points] == [NOISE, "noise=babble:-3"]
    # Neighbors by scikit-learn, of embeddings by numpy.
    neighbors = KNeighborsClassifier(1, metric="cosine")
    neighbors.fit(bands(heard(task, "train", None)), labels(task, "train"))
    truth = np.array(labels(task, "test"))
    for perturbation, accuracy in [
        (None, found.clean["top1_acc"]),
        *((point.name, point.scores["top1_acc"]) for point in found.points),
    ]:
        guessed = neighbors.predict(bands(heard(task, "test", perturbation)))
        assert accuracy == pytest.approx((guessed == truth).mean(), abs=1e-12), perturbation
    # The noise did something, or the test would say nothing.
    assert found.points[0].scores["top1_acc"] < found.clean["top1_acc"]
    result = hearbench.Result.read(perturbed_folder(path.parent, NOISE, training=False))
    assert result.task.perturbation is not None
    assert (result.task.perturbation.recipe, result.task.perturbation.training) == (NOISE, False)


def test_training_on_disturbed_clips_is_the_training_on_a_task_of_such_clips(
    task: Path, model: Path, evaluate: Evaluate, workspace: Workspace, tmp_path: Path
) -> None:
    path, found = the_one(evaluate(NOISE, protocol=QUICK, training=True))
    copy = tmp_path / "by-hand" / task.name
    shutil.copytree(task, copy)
    shutil.rmtree(copy / "32000")
    for split in ("train", "valid", "test"):
        for name, x in heard(task, split, NOISE).items():
            write_wav16(copy / "16000" / split / name, x, 16000)
    by_hand = hearbench.evaluate(
        model, copy, protocol=QUICK, out=tmp_path / "other", workspace=workspace
    )
    folder = perturbed_folder(path.parent, NOISE, training=True)
    assert found.points[0].training
    ours = np.load(folder / "predictions/test.npy")
    theirs = np.load(by_hand.results[0][0].parent / "predictions/test.npy")
    assert np.array_equal(ours, theirs)


def test_clean_embeddings_and_trainings_are_used_again(
    evaluate: Evaluate, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(NOISE, protocol=QUICK)
    embedded = {path: path.stat().st_mtime_ns for path in workspace.cache_dir.rglob("*.npy")}

    def trained(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Training, "run", trained)
    _, found = the_one(evaluate("gain=-6", NOISE, protocol=QUICK))
    after = {path: path.stat().st_mtime_ns for path in workspace.cache_dir.rglob("*.npy")}
    assert after.items() >= embedded.items()
    # 36 test clips of one split, in one shard, and nothing of train and valid.
    new = [path.name for path in after.keys() - embedded.keys()]
    assert len(new) == 1
    assert new[0].startswith("test-")
    assert [point.name for point in found.points] == ["gain=-6", NOISE]


def test_what_is_there_is_kept_and_other_perturbations_are_added(
    evaluate: Evaluate, told: Noted
) -> None:
    path, first = the_one(evaluate(NOISE))
    written = path.read_bytes()
    _, again = the_one(evaluate(NOISE))
    assert again == first
    assert path.read_bytes() == written
    assert any(f"kept {path}" in line for line in told.lines)
    _, more = the_one(evaluate("gain=-6"))
    assert [point.name for point in more.points] == [NOISE, "gain=-6"]
    assert more.points[0] == first.points[0]
    # Of other inputs nothing is added.
    with pytest.raises(hearbench.EvaluationError) as refused:
        evaluate(NOISE, seeds=[7], protocol=QUICK)
    assert [failure.error.code for failure in refused.value.results.failures] == [  # type: ignore[attr-defined]
        "would_overwrite"
    ]
    _, other = the_one(evaluate("gain=-6", seeds=[7], protocol=QUICK, overwrite=True))
    assert [point.name for point in other.points] == ["gain=-6"]
    assert not perturbed_folder(path.parent, NOISE, training=False).exists()


def test_a_damaged_result_is_made_again(evaluate: Evaluate) -> None:
    path, first = the_one(evaluate(NOISE, "gain=-6"))
    folder = perturbed_folder(path.parent, NOISE, training=False)
    (folder / "predictions/test.npy").write_bytes(b"")
    (path).write_text("{}")
    _, again = the_one(evaluate(NOISE, "gain=-6"))
    assert again == first
    assert np.load(folder / "predictions/test.npy").shape == (36, 3)


def test_gain_takes_nothing_from_a_model_that_normalizes(
    tmp_path: Path, evaluate: Evaluate
) -> None:
    model = write_model(tmp_path, NORMALIZING, "normalizing")
    path, found = the_one(evaluate("gain=-20", model=model, protocol=QUICK))
    loss = found.points[0].losses["top1_acc"]
    assert (loss.mean, loss.p) == (0.0, 1.0)
    # Equal clips still leave a loss possible on others.
    assert loss.low < 0.0 < loss.high
    clean = np.load(path.parent / "predictions/test.npy")
    quiet = np.load(
        perturbed_folder(path.parent, "gain=-20", training=False) / "predictions/test.npy"
    )
    assert np.abs(clean - quiet).max() < 0.02


def test_a_loss_has_the_interval_of_paired_differences(task: Path, evaluate: Evaluate) -> None:
    path, found = the_one(evaluate(NOISE, protocol=QUICK))
    hits = []
    for folder in (path.parent, perturbed_folder(path.parent, NOISE, training=False)):
        predicted = np.load(folder / "predictions/test.npy")
        targets = np.load(folder / "predictions/test.targets.npy")
        hits.append(targets[np.arange(len(targets)), predicted.argmax(1)].astype(float))
    differences = hits[0] - hits[1]
    loss = found.points[0].losses["top1_acc"]
    assert loss.mean == pytest.approx(differences.mean())
    assert differences.std() > 0
    n = len(differences)
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    assert (loss.high - loss.low) / 2 == pytest.approx(half, rel=0.07)
    assert loss.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_seeds_and_means_over_perturbations(task: Path, evaluate: Evaluate) -> None:
    path, found = the_one(evaluate(NOISE, "noise=-10", protocol=QUICK, seeds=3))
    assert found.seeds == (42, 43, 44)
    for point in found.points:
        folder = perturbed_folder(path.parent, point.recipe, training=False)
        seeds = [folder, folder / "seeds/43", folder / "seeds/44"]
        scores = [hearbench.Result.read(each).primary.mean for each in seeds]
        assert point.scores["top1_acc"] == pytest.approx(np.mean(scores))
        loss = point.losses["top1_acc"].mean
        assert loss == pytest.approx(found.clean["top1_acc"] - np.mean(scores))
    (means,) = found.means
    losses = [point.losses["top1_acc"].mean for point in found.points]
    assert (means.training, means.n_points) == (False, 2)
    assert means.losses["top1_acc"].mean == pytest.approx(np.mean(losses))
    # Trained on disturbed clips they have a mean of their own.
    _, more = the_one(evaluate(NOISE, protocol=QUICK, seeds=3, training=True))
    assert [(each.training, each.n_points) for each in more.means] == [(False, 2), (True, 1)]
    assert more.means[0] == means


def test_folds_are_each_disturbed_once(
    tmp_path: Path, evaluate: Evaluate, workspace: Workspace
) -> None:
    task = make_scene_task(tmp_path, name="folded", folds=True)
    path, found = the_one(evaluate(NOISE, task=task))
    folder = perturbed_folder(path.parent, NOISE, training=False)
    assert hearbench.Result.read(folder).primary.per_fold.keys() == {"fold00", "fold01", "fold02"}
    assert found.points[0].scores["top1_acc"] == hearbench.Result.read(folder).primary.mean
    loaded = hearbench.load_task(task, workspace=workspace)
    assert disturbed(loaded, Perturbation.parse(NOISE)).n_clips == loaded.n_clips


def test_events_move_with_their_sounds(
    tmp_path: Path, model: Path, evaluate: Evaluate, workspace: Workspace
) -> None:
    task = make_event_task(tmp_path, clips=4)
    path, _ = the_one(evaluate("shift=200", "speed=2", task=task, protocol=QUICK))
    clean = json.loads((path.parent / "predictions/test.reference.json").read_text())
    moves: dict[str, Callable[[float], float]] = {
        "shift=200": lambda ms: min(2000.0, ms + 200),
        "speed=2": lambda ms: ms / 2,
    }
    for recipe, move in moves.items():
        folder = perturbed_folder(path.parent, recipe, training=False) / "predictions"
        moved = json.loads((folder / "test.reference.json").read_text())
        for clip, events in clean.items():
            expected = [
                {**event, "start": move(event["start"]), "end": move(event["end"])}
                for event in events
                if event["start"] + 200 < 2000 or recipe != "shift=200"
            ]
            assert [e["label"] for e in moved[clip]] == [e["label"] for e in expected]
            for one, other in zip(moved[clip], expected, strict=True):
                assert one["start"] == pytest.approx(other["start"])
                assert one["end"] == pytest.approx(other["end"])
    # The sound is where its label is: the beeps' first samples are silent before it.
    loaded = with_rate(
        disturbed(hearbench.load_task(task, workspace=workspace), Perturbation.parse("shift=200")),
        16000,
        workspace=workspace,
    )
    x, _ = prepared_wav(
        loaded.audio_paths("test", 16000)[0], loaded.audio_paths("test", 16000)[0].read_bytes()
    )
    first = min(event["start"] for event in moved_events(path, "shift=200", "test-0.wav"))
    loud = np.flatnonzero(np.abs(x.astype(int)) > 1000)[0] * 1000 / 16000
    assert loud == pytest.approx(first, abs=1.0)


def moved_events(path: Path, recipe: str, clip: str) -> list[dict[str, Any]]:
    folder = perturbed_folder(path.parent, recipe, training=False) / "predictions"
    found: list[dict[str, Any]] = json.loads((folder / "test.reference.json").read_text())[clip]
    return found


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_is_heard_whatever_the_number_of_threads(
    workers: int, task: Path, tmp_path: Path
) -> None:
    workspace = Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=workers)
    loaded = hearbench.load_task(task, workspace=workspace)
    recipe = "noise=babble:5+noise=10+dropout=0.1"
    made = with_rate(disturbed(loaded, Perturbation.parse(recipe)), 16000, workspace=workspace)
    expected = heard(task, "test", recipe)
    assert len(expected) == 36
    for place in made.audio_paths("test", 16000):
        x, _ = prepared_wav(place, place.read_bytes())
        assert np.array_equal(x, expected[place.name])


def test_perturbations_that_make_labels_wrong_are_refused(
    tmp_path: Path, workspace: Workspace
) -> None:
    probe = ProbeSetup.of("knn", workspace=workspace)
    pitch = make_scene_task(
        tmp_path, name="notes", labels=("60", "61"), scores=("pitch_acc", "chroma_acc")
    )
    tags = make_scene_task(tmp_path, name="tags", multilabel=True)
    events = make_event_task(tmp_path)
    tones = make_scene_task(tmp_path)
    for folder, perturbation, word in [
        (pitch, "gain=3+speed=1.1", "pitch"),
        (tags, "noise=babble:10", "sounds"),
        (events, "noise=babble:10", "sounds"),
    ]:
        loaded = hearbench.load_task(folder, workspace=workspace)
        with pytest.raises(UnsuitableTaskError, match=word):
            Perturbed.of(probe, [perturbation]).check(loaded)
        Perturbed.of(probe, ["noise=10", "reverb=0.3"]).check(loaded)
    for perturbation in ("speed=1.1", "noise=babble:10", "gain=-6"):
        Perturbed.of(probe, [perturbation]).check(hearbench.load_task(tones, workspace=workspace))
    with pytest.raises(HearError):
        Perturbed.of(probe, [])


def test_the_catalog_says_what_labels_follow() -> None:
    follow = {name: set(get_spec(name).labels_follow) for name in catalog_names()}
    assert {name for name, what in follow.items() if "pitch" in what} == {
        *("maestro", "mridangam_tonic", "nsynth_pitch", "nsynth_pitch_kfold")
    }
    assert follow["libricount"] == {"sources"}
    assert follow["gunshot_triangulation"] == {"level"}


def test_disturbed_and_clean_scores_have_other_conditions(evaluate: Evaluate) -> None:
    path, _ = the_one(evaluate(NOISE, "gain=-6"))
    noisy, quiet = (
        hearbench.Result.read(perturbed_folder(path.parent, recipe, training=False))
        for recipe in (NOISE, "gain=-6")
    )
    clean = hearbench.Result.read(path.parent)
    prints = {each.protocol_fingerprint for each in (clean, noisy, quiet)}
    assert len(prints) == 3
    assert "disturbed by noise=0" in noisy.protocol_words()
    assert "disturbed" not in clean.protocol_words()
    # Others can't mistake one for the other.
    assert len({each.task.digest for each in (clean, noisy, quiet)}) == 3
    loaded = hearbench.load_results(path.parents[2])
    assert [one for one, _ in loaded.robustness] == [path]
    assert len(loaded) == 1


def test_a_record_needs_all_of_its_results(evaluate: Evaluate) -> None:
    path, _ = the_one(evaluate(NOISE))
    asked = [(Perturbation.parse("gain=-6"), False)]
    with pytest.raises(ResultError) as missing:
        build_robustness(path.parent, asked)
    assert missing.value.code == "not_found"
    assert "gain=-6" in str(missing.value)
