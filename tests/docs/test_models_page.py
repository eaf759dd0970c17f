"""docs/models.md: its code runs as it stands, and its tables are true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models import BUILT_IN, EXAMPLES, Entry, facts, loaded, parameters, wav2vec2_config

import hearbench.models
from hearbench.models.loading import load_model
from hearbench.models.openl3 import OpenL3Model
from hearbench.models.vggish import VggishModel
from hearbench.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/models.md").read_text()
EXAMPLE = ROOT / "examples/models/my_encoder.py"
# For files that bring a model's facts with them.
ADAPTERS = {"onnx_file"}

Row = dict[str, str]


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for kind, code in found if kind == language]


def table(text: str) -> dict[str, Row]:
    """The rows of a section's table, by their first cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


BASELINES, PUBLISHED = table(section("Baselines")), table(section("Examples for published models"))


def test_the_example_is_shown_whole() -> None:
    source, _ = blocks(section("Wrapping your own model"), "python")
    assert source == EXAMPLE.read_text()


@pytest.mark.usefixtures("quick_python")
def test_the_commands_that_try_it_run(tmp_path: Path) -> None:
    text = section("Wrapping your own model")
    shown, click = blocks(text, "python")
    (tmp_path / "my_encoder.py").write_text(shown)
    quoted = re.search(r'^python -c "(.+)"$', blocks(text, "")[0], re.MULTILINE)
    assert quoted
    answers = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        for code in (quoted[1], f"import torch; torch.set_num_threads(1)\n{click}")
    ]
    assert [answer.returncode for answer in answers] == [0, 0], answers
    assert (tmp_path / "my_encoder.pt").is_file()
    assert answers[1].stdout == "500.0\n"


# Its frames near the ends are others even in silence: what lies beyond them counts as zero.
PADDED = """
import torch

def load_model(model_file_path=""):
    model = torch.nn.Conv1d(1, 4, 5, padding=2).requires_grad_(False)
    torch.nn.init.constant_(model.weight, 0.5)[..., 2] = 1.0
    model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size = 16000, 4, 4
    return model.eval()

def get_timestamp_embeddings(audio, model):
    frames = torch.nn.functional.pad(audio, (160, 160)).unfold(1, 320, 320)
    loudness = torch.log(frames.square().mean(2, keepdim=True) + 1e-4)
    centres_ms = 20.0 * torch.arange(frames.shape[1]).expand(len(audio), -1)
    return model(loudness.transpose(1, 2)).transpose(1, 2).contiguous(), centres_ms

def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(1)
"""


@pytest.mark.usefixtures("quick_python")
def test_the_click_is_found_whatever_the_frames_near_the_ends_are(tmp_path: Path) -> None:
    _, click = blocks(section("Wrapping your own model"), "python")
    (tmp_path / "my_encoder.py").write_text(PADDED)
    (tmp_path / "my_encoder.pt").touch()
    answer = subprocess.run(
        [sys.executable, "-c", click], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.stdout == "500.0\n", answer.stderr


def test_every_built_in_model_has_its_row() -> None:
    with_api = set()
    for path in Path(hearbench.models.__path__[0]).glob("*.py"):
        names = {
            name
            for node in ast.parse(path.read_text()).body
            for name in (
                [alias.asname or alias.name for alias in node.names]
                if isinstance(node, ast.ImportFrom)
                else [getattr(node, "name", "")]
            )
        }
        if {"load_model", "get_scene_embeddings", "get_timestamp_embeddings"} <= names:
            with_api.add(path.stem)
    assert {entry.spec for entry in BUILT_IN.values()} == {
        f"hearbench.models.{name}" for name in with_api - ADAPTERS
    }
    assert list(BASELINES) == [entry.label for entry in BUILT_IN.values()]
    assert list(PUBLISHED) == [entry.label for entry in EXAMPLES.values()]


def check(row: Row, entry: Entry, workspace: Workspace) -> None:
    model = load_model(entry.spec, workspace=workspace, **entry.options)
    assert [row[key] for key in ("Hz", "scene", "timestamps", "hop, ms")] == facts(model)
    assert (row["weights"], row["their licence"]) == (entry.source, entry.licence)


@pytest.mark.parametrize("name", ["naive", "vqt", "crepe-tiny", "crepe-full"])
def test_rows_of_baselines(name: str, workspace: Workspace) -> None:
    entry = BUILT_IN[name]
    if entry.missing():
        pytest.skip(f"{name} needs {', '.join(entry.missing())}")
    row = BASELINES[entry.label]
    check(row, entry, workspace)
    assert row["parameters"] == parameters(loaded(entry, None))
    assert row["parameters"] == {"crepe-tiny": "0.3 M", "crepe-full": "13.1 M"}.get(name, "none")


def test_rows_of_large_baselines() -> None:
    # Without drawing or running them.
    of_papers = {"vggish": "72.1 M", "openl3": "4.7 M"}
    for model, name in ((VggishModel(), "vggish"), (OpenL3Model(), "openl3")):
        row = BASELINES[f"`{name}`"]
        assert row["parameters"] == parameters(model) == of_papers[name]
        sizes = (model.scene_embedding_size, model.timestamp_embedding_size)
        assert (int(row["scene"]), int(row["timestamps"])) == sizes
        assert (int(row["Hz"]), float(row["hop, ms"])) == (model.sample_rate, model.hop_ms)
        entry = BUILT_IN[name]
        assert (row["weights"], row["their licence"]) == (entry.source, entry.licence)
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        network = transformers.Wav2Vec2Model(wav2vec2_config())
    wav2vec2 = BASELINES["`wav2vec2`"]
    assert wav2vec2["parameters"] == parameters(network)
    assert int(wav2vec2["scene"]) == int(wav2vec2["timestamps"]) == network.config.hidden_size


def test_the_naive_baseline_is_the_same_in_all_frameworks() -> None:
    one, *others = (
        {key: cell for key, cell in row.items() if key not in ("model", "times real time")}
        for label, row in BASELINES.items()
        if label.startswith("`naive")
    )
    assert others == [one, one]


@pytest.mark.parametrize(
    "name", ["openwakeword", "moonshine", "moonshine_layers", "resemblyzer_voice"]
)
def test_rows_of_published_models(name: str, workspace: Workspace) -> None:
    entry = EXAMPLES[name]
    if entry.missing():
        pytest.skip(f"{name} needs {', '.join(entry.missing())}")
    row = PUBLISHED[entry.label]
    check(row, entry, workspace)
    assert row["MB"] == entry.mb()
