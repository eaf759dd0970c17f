"""Results of a model that has changed since: never kept for another one's."""

from __future__ import annotations

import json
from pathlib import Path

from helpers_cli import hearbench
from helpers_models import write_model
from helpers_tasks import make_scene_task

# What it is made of can't be seen: no file is opened for its size.
HIDDEN = """
import ctypes, os, pathlib
SIZE = pathlib.Path(__file__).parent / "size.bin"
def get_scene_embeddings(audio, model):
    gain = os.path.getsize(SIZE)
    return torch.stack([audio.mean(1), audio.std(1) * gain, audio.abs().amax(1)], 1)
"""


def test_a_result_is_kept_for_its_model_alone(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m", extra=HIDDEN)
    task = make_scene_task(tmp_path / "task", clips_per_label=2)
    size = tmp_path / "m/size.bin"
    size.write_bytes(b"xx")
    command = ("evaluate", path, "--task", task, "--protocol", "knn", "--out", tmp_path / "out",
        "--cache", tmp_path / "cache", "--json")  # fmt: skip
    first = hearbench(*command)
    assert first.code == 0, first.stderr
    assert first.stderr.count("note: stats: not all that this model takes in") == 1
    result = json.loads((tmp_path / "out/stats/tones-1.0.0-full/result.json").read_text())
    assert "ctypes" in result["notes"][0]
    assert result["model"]["fingerprint"]["state"] == "made"
    again = hearbench(*command)
    assert "kept" in again.stderr

    size.write_bytes(b"xxx")
    changed = hearbench(*command)
    assert changed.code == 2
    assert "embeds a fixed signal differently now" in changed.stderr
    new = hearbench(*command, "--overwrite")
    assert new.code == 0, new.stderr
    assert "embeddings found in the cache" not in new.stderr
    found = json.loads((tmp_path / "out/stats/tones-1.0.0-full/result.json").read_text())
    assert "So they weren't used" in found["notes"][1]
    # Those of the model before are there still.
    size.write_bytes(b"xx")
    back = hearbench(*command, "--overwrite")
    assert "embeddings found in the cache" in back.stderr
    last = json.loads((tmp_path / "out/stats/tones-1.0.0-full/result.json").read_text())
    assert last["embeddings"] == result["embeddings"]
