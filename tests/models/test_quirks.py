"""Models that do things their own way, and must run, in this process and in another."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from helpers_quirks import QUIRKS, QUIRKY, Quirk, write_checkpoint

from hearbench.errors import ModelError
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.workspace import Workspace

# Each way to be found, loaded and answered once; what only computes otherwise comes with `real`.
ELSEWHERE = {
    "pickled_checkpoint",
    "levels.base2level",
    "numpy_embeddings",
}
LENGTHS_S = (0.05, 1.07)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    """An environment in which the package of the quirky models is installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    here = Path(np.__file__).parents[1]
    (packages / "quirky.pth").write_text(f"{here}\n{QUIRKY}\n")
    return Interpreter(folder / "bin" / "python", timeout_s=300)


def load(
    quirk: Quirk, checkpoint: Path, workspace: Workspace, interpreter: Interpreter | None = None
) -> Model:
    weights = checkpoint if quirk.needs_checkpoint else None
    return load_model(
        quirk.spec, weights, workspace=workspace, interpreter=interpreter, **quirk.options
    )


def noise(duration_s: float, sample_rate: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    samples = round(duration_s * sample_rate)
    values = np.random.default_rng(7).uniform(-0.5, 0.5, (2, samples))
    return values.astype(np.float32)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in this process: with another number of threads sums differ in their last digits.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_a_quirky_model_runs(
    quirk: Quirk, checkpoint: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(QUIRKY))
    model = load(quirk, checkpoint, workspace)
    for duration_s in LENGTHS_S:
        audio = noise(duration_s, model.sample_rate)
        scene = model.scene(audio.copy())
        embeddings, centres_ms = model.timestamps(audio.copy())
        assert scene.shape == (2, model.scene_embedding_size)
        assert embeddings.shape == (2, centres_ms.shape[1], model.timestamp_embedding_size)
        for array in (scene, embeddings, centres_ms):
            assert array.dtype == np.float32
            assert np.isfinite(array).all()
        assert (np.abs(np.diff(centres_ms, 2)) < 0.01).all()
        assert 0 <= centres_ms.min() <= centres_ms.max() <= duration_s * 1000
        # The two clips are different ones.
        assert not np.allclose(scene[0], scene[1], atol=1e-6)


@pytest.mark.usefixtures("quick_python")
@pytest.mark.parametrize(
    "quirk",
    [
        pytest.param(quirk, marks=[] if quirk.name in ELSEWHERE else pytest.mark.real)
        for quirk in QUIRKS
    ],
    ids=lambda quirk: quirk.name,
)
def test_another_process_gives_the_same_numbers(
    quirk: Quirk,
    checkpoint: Path,
    workspace: Workspace,
    installed: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,
) -> None:
    monkeypatch.syspath_prepend(str(QUIRKY))
    other = installed if quirk.is_package else Interpreter(Path(sys.executable), timeout_s=300)
    here = load(quirk, checkpoint, workspace)
    there = load(quirk, checkpoint, workspace, other)
    try:
        for duration_s in LENGTHS_S:
            audio = noise(duration_s, here.sample_rate)
            for want, have in zip(
                (here.scene(audio.copy()), *here.timestamps(audio.copy())),
                (there.scene(audio.copy()), *there.timestamps(audio.copy())),
                strict=True,
            ):
                assert np.array_equal(want, have)
    finally:
        there.close()


def test_options_and_checkpoints_arrive(checkpoint: Path, workspace: Workspace) -> None:
    audio = noise(1.0, 16000)
    plain = load(Quirk("plain"), checkpoint, workspace).scene(audio.copy())
    wide = Quirk("more_arguments", options={"frame_length": "1024"})
    narrow = Quirk("more_arguments", options={"frame_length": "512"})
    assert np.array_equal(load(narrow, checkpoint, workspace).scene(audio.copy()), plain)
    trained = load(Quirk("pickled_checkpoint", needs_checkpoint=True), checkpoint, workspace)
    # The checkpoint's factors in the place of 0.5 ... 1.5, over frames of 1024 samples as well.
    untrained = load(wide, checkpoint, workspace)
    factors = np.linspace(-1, 1, 8) / np.linspace(0.5, 1.5, 8)
    means = untrained.scene(audio.copy())[:, :8]
    assert not np.allclose(means, plain[:, :8], atol=1e-3)
    assert np.allclose(trained.scene(audio.copy())[:, :8], means * factors, rtol=1e-5)


def test_a_package_without_the_api_names_its_submodules(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(QUIRKY))
    with pytest.raises(ModelError, match=r"levels\.base, levels\.base2level"):
        load_model("levels", workspace=workspace)
