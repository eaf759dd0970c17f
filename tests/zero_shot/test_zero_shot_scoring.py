"""Zero-shot scores are those of scikit-learn and of a slow obvious implementation."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers_tasks import make_event_task, make_scene_task
from helpers_zero_shot import write_reader
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from hearbench import embed, load_model, load_task
from hearbench.embeddings.store import EmbeddingStore
from hearbench.embeddings.texts import TextEmbeddings, embed_texts, read_texts
from hearbench.errors import EmbeddingError, UnsuitableTaskError
from hearbench.models.model import Model
from hearbench.tasks.prompts import Prompts
from hearbench.workspace import Workspace
from hearbench.zero_shot import ClassesRecord, Texts, ZeroShotResult, texts_of, zero_shot_scores

PROMPTS = Prompts(
    templates=("{}", "a sound of {}", "hear {} now"), words={"a": "low", "b": "middle", "c": "high"}
)

Array = npt.NDArray[np.float64]


@dataclasses.dataclass
class Case:
    model: Model
    store: EmbeddingStore
    texts: Texts
    embedded: TextEmbeddings

    def scored(self, workspace: Workspace, **options: float) -> ZeroShotResult:
        return zero_shot_scores(
            self.store, self.texts, self.embedded, workspace=workspace, **options
        )

    def cosines(self, split: str, texts: list[str]) -> Array:
        found: Array = cosine_similarity(
            self.store.scene(split).astype(np.float64),
            self.model.texts(texts).astype(np.float64),
        )
        return found

    def similarities(self, split: str) -> Array:
        """(1 + n_templates, n_clips, n_labels): the ensemble's, and each template's."""
        rows = [[t.replace("{}", n) for n in ("low", "middle", "high")] for t in PROMPTS.templates]
        each = [self.model.texts(row).astype(np.float64) for row in rows]
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in each]
        clips = self.store.scene(split).astype(np.float64)
        return np.stack([cosine_similarity(clips, x) for x in (sum(unit) / 3, *each)])


def case_of(path: Path, tmp_path: Path, workspace: Workspace) -> Case:
    model = load_model(write_reader(tmp_path), workspace=workspace)
    store = embed(model, load_task(path, workspace=workspace), workspace=workspace)
    texts = texts_of(store.task, PROMPTS)
    return Case(model, store, texts, read_texts(embed_texts(model, texts.all, workspace)))


def classes_of(result: ZeroShotResult) -> ClassesRecord:
    assert result.classes is not None
    return result.classes


def softmax(x: Array) -> Array:
    found: Array = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    return found


def test_classes_are_told_by_the_nearest_text(tmp_path: Path, workspace: Workspace) -> None:
    path = make_scene_task(
        tmp_path, clips_per_label=6, scores=("top1_acc", "mAP", "aucroc", "d_prime")
    )
    case = case_of(path, tmp_path, workspace)
    result = case.scored(workspace)
    truth = case.store.task.targets("test")
    logits = case.similarities("test")
    assert list(result.scores) == ["top1_acc", "mAP", "aucroc", "d_prime"]
    assert result.primary_score == "top1_acc"
    accuracies = [accuracy_score(truth.argmax(1), x.argmax(1)) for x in logits]
    assert len(set(accuracies)) > 1
    assert result.scores["top1_acc"].mean == pytest.approx(accuracies[0])
    classes = classes_of(result)
    assert [each.scores["top1_acc"].mean for each in classes.templates] == pytest.approx(
        accuracies[1:]
    )
    assert classes.mean["top1_acc"].mean == pytest.approx(np.mean(accuracies[1:]))
    assert classes.std["top1_acc"] == pytest.approx(np.std(accuracies[1:], ddof=1))
    probabilities = softmax(logits / 0.07)
    for name, score in (("mAP", average_precision_score), ("aucroc", roc_auc_score)):
        expected = [np.mean([score(truth[:, k], x[:, k]) for k in range(3)]) for x in probabilities]
        assert result.scores[name].mean == pytest.approx(expected[0], abs=1e-9)
        assert classes.mean[name].mean == pytest.approx(np.mean(expected[1:]), abs=1e-9)
    other = case.scored(workspace, temperature=1.0)
    assert other.scores["top1_acc"] == result.scores["top1_acc"]
    expected_ap = np.mean(
        [average_precision_score(truth[:, k], softmax(logits[0])[:, k]) for k in range(3)]
    )
    assert other.scores["mAP"].mean == pytest.approx(expected_ap, abs=1e-9)
    assert classes.names == ("low", "middle", "high")
    assert classes.temperature == 0.07


def test_of_several_labels_the_similarities_are_scored(
    tmp_path: Path, workspace: Workspace
) -> None:
    path = make_scene_task(tmp_path, clips_per_label=6, multilabel=True, scores=("mAP", "aucroc"))
    case = case_of(path, tmp_path, workspace)
    result = case.scored(workspace)
    truth, logits = case.store.task.targets("test"), case.similarities("test")[0]
    for name, score in (("mAP", average_precision_score), ("aucroc", roc_auc_score)):
        expected = np.mean([score(truth[:, k], logits[:, k]) for k in range(3)])
        assert result.scores[name].mean == pytest.approx(expected, abs=1e-9)
    assert classes_of(result).temperature is None


def test_the_best_template_is_chosen_in_each_folds_validation(
    tmp_path: Path, workspace: Workspace
) -> None:
    path = make_scene_task(tmp_path, clips_per_label=8, folds=True, scores=("top1_acc",), seed=3)
    case = case_of(path, tmp_path, workspace)
    result = case.scored(workspace)
    folds = ["fold00", "fold01", "fold02"]
    accuracy = {
        split: [
            accuracy_score(case.store.task.targets(split).argmax(1), x.argmax(1))
            for x in case.similarities(split)[1:]
        ]
        for split in folds
    }
    expected, chosen = [], {}
    for number, test in enumerate(folds):
        best = int(np.argmax(accuracy[folds[(number + 1) % 3]]))
        expected.append(accuracy[test][best])
        chosen[test] = PROMPTS.templates[best]
    best_scores = classes_of(result).best["top1_acc"]
    assert classes_of(result).chosen == chosen
    assert list(best_scores.per_fold.values()) == pytest.approx(expected)
    assert best_scores.mean == pytest.approx(np.mean(expected))
    assert best_scores.std == pytest.approx(np.std(expected, ddof=1))
    for template, each in enumerate(classes_of(result).templates):
        assert each.validation == pytest.approx({s: accuracy[s][template] for s in folds})
    assert [split.test for split in result.splits] == folds


def test_intervals_are_of_the_clips(tmp_path: Path, workspace: Workspace) -> None:
    path = make_scene_task(tmp_path, clips_per_label=40, scores=("top1_acc",), seed=1)
    case = case_of(path, tmp_path, workspace)
    score = case.scored(workspace).scores["top1_acc"]
    assert score.interval is not None
    assert score.interval.low < score.mean < score.interval.high
    # Wilson's interval of a share of 120 clips.
    n, z, p = 120, 1.96, score.mean
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert score.interval.low == pytest.approx(center - half, abs=0.01)
    assert score.interval.high == pytest.approx(center + half, abs=0.01)


def test_one_template_has_no_spread(tmp_path: Path, workspace: Workspace) -> None:
    case = case_of(make_scene_task(tmp_path, scores=("top1_acc",)), tmp_path, workspace)
    texts = texts_of(case.store.task, Prompts(templates=("{}",)))
    embedded = read_texts(embed_texts(case.model, texts.all, workspace))
    result = zero_shot_scores(case.store, texts, embedded, workspace=workspace)
    assert classes_of(result).std == {"top1_acc": None}
    assert classes_of(result).mean == classes_of(result).best == result.scores
    assert result.n_texts == 3


def test_a_clip_of_zeros_is_like_no_text_and_infinity_is_refused(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(make_scene_task(tmp_path, scores=("top1_acc",)), tmp_path, workspace)
    scene = EmbeddingStore.scene

    def changed(value: float) -> None:
        def first_changed(store: EmbeddingStore, split: str) -> npt.NDArray[np.float32]:
            found = scene(store, split)
            found[0] = value
            return found

        monkeypatch.setattr(EmbeddingStore, "scene", first_changed)

    changed(0.0)
    assert "1 clips of test have an embedding of zeros" in " ".join(case.scored(workspace).notes)
    changed(np.inf)
    with pytest.raises(EmbeddingError, match="test"):
        case.scored(workspace)


def test_a_task_without_classes_to_tell_apart_is_refused(
    tmp_path: Path, workspace: Workspace
) -> None:
    events = load_task(make_event_task(tmp_path), workspace=workspace)
    with pytest.raises(UnsuitableTaskError, match="event task"):
        texts_of(events)
    one = load_task(make_scene_task(tmp_path, name="one", labels=("a",)), workspace=workspace)
    with pytest.raises(UnsuitableTaskError, match="one label"):
        texts_of(one)


def test_texts_are_embedded_once(tmp_path: Path, workspace: Workspace) -> None:
    extra = """
    CALLS = []
    plain = get_text_embeddings

    def get_text_embeddings(texts, model):
        CALLS.append(texts)
        return plain(texts, model)
    """
    model = load_model(write_reader(tmp_path, extra), workspace=workspace)
    folder = embed_texts(model, ["a", "b"], workspace)
    found = read_texts(folder)
    again = load_model(tmp_path / "reader.py", workspace=workspace)
    assert embed_texts(again, ["a", "b"], workspace) == folder
    assert again.engine.engine.module.CALLS == []  # type: ignore[attr-defined]
    assert embed_texts(again, ["b", "a"], workspace) != folder
    # What isn't what was written is made again.
    (folder / "embeddings.npy").write_bytes(b"?")
    with pytest.raises(EmbeddingError) as caught:
        read_texts(folder)
    assert caught.value.code == "not_found"
    embed_texts(again, ["a", "b"], workspace)
    np.testing.assert_array_equal(read_texts(folder).array, found.array)
    assert found.of(["b", "a", "b"]).tolist() == [found.array[i].tolist() for i in (1, 0, 1)]
    other = load_model(tmp_path / "reader.py", seed=1, workspace=workspace)
    assert embed_texts(other, ["a", "b"], workspace) != folder


def test_a_text_whose_embedding_isnt_finite_is_named(tmp_path: Path, workspace: Workspace) -> None:
    extra = """
    def get_text_embeddings(texts, model):
        return torch.tensor([[1.0] * 8 if text == "a" else [float("nan")] * 8 for text in texts])
    """
    model = load_model(write_reader(tmp_path, extra), workspace=workspace)
    with pytest.raises(EmbeddingError, match="'b'"):
        embed_texts(model, ["a", "b"], workspace)
