"""Zero-shot evaluation as a set-up: what is made, kept, made again and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_cli import hearbench as run
from helpers_models import write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task
from helpers_zero_shot import write_reader

import hearbench
from hearbench import EvaluationError, ModelRef, Results, ZeroShot, ZeroShotResult, load_results
from hearbench.audio.decode import prepared_wav
from hearbench.embeddings.texts import embed_texts, read_texts
from hearbench.errors import HearError
from hearbench.evaluation.distances import Distances
from hearbench.evaluation.run import evaluate_store
from hearbench.execution.shard import Shard
from hearbench.tasks.prompts import Prompts
from hearbench.workspace import Workspace
from hearbench.zero_shot import class_probabilities, texts_of

PROMPTS = Prompts(templates=("{}", "a sound of {}"))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_scene_task(tmp_path, scores=("top1_acc", "mAP"), clips_per_label=3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_reader(tmp_path)


def evaluated(
    model: object, task: Path, out: Path, workspace: Workspace, **options: Any
) -> Results:
    setup = options.pop("setup", ZeroShot(PROMPTS))
    return hearbench.evaluate(model, task, protocol=setup, out=out, workspace=workspace, **options)


def result_of(results: Results) -> ZeroShotResult:
    (result,) = list(results)
    assert isinstance(result, ZeroShotResult)
    return result


def test_a_result_is_written_beside_others(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    out = tmp_path / "out"
    folder = out / "reader" / "tones-1.0.0-full"
    distances = hearbench.evaluate(model, task, protocol="distance", out=out, workspace=workspace)
    results = hearbench.evaluate(model, task, protocol="zero-shot", out=out, workspace=workspace)
    result = result_of(results)
    assert ZeroShotResult.read(folder).same_as(result)
    assert json.loads((folder / "zero-shot.json").read_text())["n_texts"] == 3 * 6
    assert not distances.failures
    read = load_results(out)
    assert {type(one).__name__ for one in read} == {"DistanceResult", "ZeroShotResult"}
    assert read["reader", "tones", "zero-shot"].same_as(result)  # type: ignore[arg-type]
    frame = read.to_frame()
    rows = frame[frame["protocol"] == "zero-shot"]
    assert rows["score"].tolist() == ["top1_acc", "mAP"]
    assert rows["mean"].tolist() == [score.mean for score in result.scores.values()]
    assert rows["n_folds"].tolist() == [1, 1]
    assert result.scores["top1_acc"].interval is not None
    assert rows["low"].iloc[0] == result.scores["top1_acc"].interval.low


def test_the_same_again_keeps_it_and_anything_else_is_told(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    out = tmp_path / "out"
    result = result_of(evaluated(model, task, out, workspace))
    path = out / "reader" / "tones-1.0.0-full" / "zero-shot.json"
    before = path.stat().st_mtime_ns
    told = Noted()
    again = evaluated(model, task, out, noting(workspace, told))
    assert result_of(again).model_dump_json() == result.model_dump_json()
    assert path.stat().st_mtime_ns == before
    assert any("kept" in line for line in told.lines)
    others = {
        "other templates": ZeroShot(Prompts(templates=("{}",))),
        "other class names": ZeroShot(Prompts(templates=PROMPTS.templates, words={"a": "low"})),
        "a temperature of 0.07 instead of 1.0": ZeroShot(PROMPTS, temperature=1.0),
    }
    for named, setup in others.items():
        with pytest.raises(EvaluationError, match=named):
            evaluated(model, task, out, workspace, setup=setup)
    assert path.stat().st_mtime_ns == before
    other = evaluated(model, task, out, workspace, setup=others["other templates"], overwrite=True)
    classes = result_of(other).classes
    assert classes is not None
    assert len(classes.templates) == 1
    # Another model of the same name is another input.
    with pytest.raises(EvaluationError, match="another model"):
        evaluated(write_reader(tmp_path, "# changed"), task, out, workspace)


def test_it_goes_with_other_set_ups(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    both = hearbench.evaluate(
        model,
        task,
        protocol=[Distances(), ZeroShot(PROMPTS)],
        out=tmp_path / "out",
        workspace=workspace,
    )
    assert [type(one) for one in both] == [hearbench.DistanceResult, ZeroShotResult]
    table = both.to_table().to_text()
    assert "retrieval_mAP" in table
    assert "top1_acc" in table


def test_a_file_that_only_texts_need_is_part_of_the_inputs(
    task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("1")
    extra = f"""
    plain = get_text_embeddings

    def get_text_embeddings(texts, model):
        with open({str(words)!r}) as file:
            factor = float(file.read())
        return factor + plain(texts, model)
    """
    model = write_reader(tmp_path, extra)
    first = result_of(evaluated(model, task, tmp_path / "out", workspace))
    words.write_text("9")
    with pytest.raises(EvaluationError, match=r"words\.txt"):
        evaluated(model, task, tmp_path / "out", workspace)
    again = result_of(evaluated(model, task, tmp_path / "out", workspace, overwrite=True))
    assert first.texts_digest != again.texts_digest
    assert first.embeddings.digest == again.embeddings.digest


def test_steps_that_processes_share_give_the_same(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    alone = result_of(evaluated(model, task, tmp_path / "out", workspace))
    other = Workspace(cache_dir=tmp_path / "other", device="cpu", workers=2)
    shared = result_of(
        evaluated(model, task, tmp_path / "shared", other, executor=Shard(1, 1, other))
    )
    assert shared.same_as(alone)


def test_an_object_is_evaluated(task: Path, tmp_path: Path, workspace: Workspace) -> None:
    class Net(torch.nn.Module):
        sample_rate = 16000
        scene_embedding_size = timestamp_embedding_size = 2

        def get_scene_embeddings(self, audio: torch.Tensor) -> torch.Tensor:
            return torch.stack([audio.mean(1), audio.diff(dim=1).std(1)], 1)

        def get_timestamp_embeddings(
            self, audio: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return audio[:, :1, None].expand(-1, -1, 2), torch.zeros(len(audio), 1)

        def get_text_embeddings(self, texts: list[str]) -> torch.Tensor:
            return torch.tensor([[float(len(text)), float(ord(text[-1]))] for text in texts])

    result = result_of(evaluated(Net(), task, tmp_path / "out", workspace))
    assert result.n_texts == 6


def test_a_model_that_embeds_no_text_fails_before_it_embeds_the_task(
    task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    model = write_model(tmp_path)
    with pytest.raises(EvaluationError, match="stats doesn't embed text"):
        evaluated(model, task, tmp_path / "out", workspace)
    assert not list(workspace.path("embeddings").glob("**/manifest.json"))


def test_what_cant_be_is_refused(
    model: Path, task: Path, tmp_path: Path, workspace: Workspace
) -> None:
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(HearError, match="temperature"):
            ZeroShot(temperature=temperature)
    both = hearbench.evaluate(
        model,
        [make_event_task(tmp_path), task],
        protocol=ZeroShot(PROMPTS),
        out=tmp_path / "out",
        workspace=workspace,
    )
    assert (len(both.results), both.failures) == (1, [])
    results = evaluated(model, task, tmp_path / "out", workspace)
    (path, result) = results.results[0]
    store = hearbench.embed(
        hearbench.load_model(model, workspace=workspace),
        hearbench.load_task(task, workspace=workspace),
        workspace=workspace,
    )
    stored = evaluate_store(store, ZeroShot(PROMPTS), tmp_path / "again", workspace=workspace)
    assert result_of(stored).same_as(result)  # type: ignore[arg-type]
    with pytest.raises(HearError, match="texts"):
        evaluate_store(store, ZeroShot(), tmp_path / "third", workspace=workspace)
    assert path.is_file()


def test_the_pipeline_of_transformers_gives_the_same(tmp_path: Path, workspace: Workspace) -> None:
    transformers = pytest.importorskip("transformers")
    from helpers_transformers import clap_with_text

    torch.manual_seed(1)
    folder = tmp_path / "clap"
    net = clap_with_text(folder)
    path = make_scene_task(
        tmp_path,
        labels=("church_bells", "dog", "rain"),
        clips_per_label=2,
        sample_rates=(48000,),
        duration_s=1.0,
        scores=("top1_acc",),
        varying_lengths=True,
    )
    prompts = Prompts(templates=("this is a sound of {}",))
    names = ["church bells", "dog", "rain"]
    temperature = 1 / float(net.logit_scale_a.detach().exp())
    model = hearbench.load_model(f"hf:{folder}", pooling="pooled", workspace=workspace)
    task = hearbench.load_task(path, workspace=workspace)
    store = hearbench.embed(model, task, workspace=workspace)
    texts = texts_of(task, prompts)
    embedded = read_texts(embed_texts(model, texts.all, workspace))
    found = class_probabilities(store.scene("test"), embedded.array, temperature)
    pipe = transformers.pipeline(
        "zero-shot-audio-classification",
        model=str(folder),
        feature_extractor=str(folder),
        tokenizer=str(folder),
        device="cpu",
    )
    right = []
    truth = [names[k] for k in task.targets("test").argmax(1)]
    for row, clip in enumerate(task.audio_paths("test", 48000)):
        samples, _ = prepared_wav(clip, clip.read_bytes())
        said = pipe(
            samples.astype(np.float32) / 32768,
            candidate_labels=names,
            hypothesis_template=prompts.templates[0],
        )
        expected = {one["label"]: one["score"] for one in said}
        np.testing.assert_allclose(found[row], [expected[name] for name in names], atol=1e-6)
        assert max(expected.values()) - min(expected.values()) > 0.01
        right.append(max(names, key=expected.__getitem__) == truth[row])
    setup = ZeroShot(prompts, temperature=temperature)
    options = {"pooling": "pooled"}
    ref = ModelRef(f"hf:{folder}", options=tuple(options.items()))
    result = result_of(evaluated(ref, path, tmp_path / "out", workspace, setup=setup))
    assert result.scores["top1_acc"].mean == pytest.approx(np.mean(right))
    with pytest.raises(EvaluationError, match="pooling=pooled"):
        evaluated(f"hf:{folder}", path, tmp_path / "plain", workspace)


def test_the_command(model: Path, task: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.toml"
    prompts.write_text('templates = ["{}", "a sound of {}"]\n[words]\na = "low"\n')
    base = ["evaluate", model, "--task", task, "--out", tmp_path / "out", "--zero-shot"]
    common = ["--cache", tmp_path / "cache", "--device", "cpu"]
    shown = run(*base, "--prompts", prompts, *common)
    assert shown.code == 0
    for text in ("reader, zero-shot", "top1_acc", "a sound of {}", "1 of 1"):
        assert text in shown.stdout
    again = run(*base, "--prompts", prompts, "--json", *common)
    (said,) = again.json["results"]
    result = ZeroShotResult.read(Path(said["path"]))
    assert said["scores"]["top1_acc"]["mean"] == result.scores["top1_acc"].mean
    assert said["classes"]["names"] == ["low", "b", "c"]
    assert "kept" in again.stderr
    for more, named in (
        (["--distance"], "--distance and --zero-shot"),
        (["--seeds", "2", "--shots", "1"], "--seeds and --shots"),
        (["--prompts", tmp_path / "none.toml"], "none.toml"),
    ):
        refused = run(*base, *more, *common)
        assert refused.code == 2
        assert named in refused.stderr
    alone = run(*base[:-1], "--prompts", prompts, *common)
    assert alone.code == 2
    assert "--zero-shot" in alone.stderr
