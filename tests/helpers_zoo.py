"""A zoo of two models, to test what the real one's files may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearbench.models import zoo

FAMILY = """
family = "chirp"
title = "Chirp"
about = "Listens to birds."
domains = ["environment"]
trained_on = "Xeno-canto"
licence_code = "MIT"
licence_weights = "CC-BY-NC-4.0"
sources = ["https://example.org/chirp"]

[[models]]
name = "chirp-small"
spec = "hf:chirp/small"
revision = "v1"
unchecked = ["input"]
size_mb = 90
sample_rate = 16000
input = "waveform"
output = "last_hidden_state"
tokens = "time"
hop_ms = 20
width = 384
tried = "not run"

[[models]]
name = "chirp-large"
licence_weights = "MIT"
spec = "net:chirp.nets:large"
requirements = ["chirp==1.0", "einops"]
python = "3.11"
fetches = "https://example.org/large.pt"
sample_rate = 32000
input = "waveform"
output = "0"
tokens = "time"
tried = "random weights of the published class"
"""


def written(folder: Path, text: str) -> Path:
    """The file of a family."""
    path = folder / "chirp.toml"
    path.write_text(text)
    return path


def put_into_zoo(monkeypatch: pytest.MonkeyPatch, *files: Path) -> None:
    """Has the zoo hold the models of these files, and no others."""
    models = [model for file in files for model in zoo.read_family(file)]
    found = {model.name.lower(): model for model in sorted(models, key=lambda one: one.name)}
    monkeypatch.setattr(zoo, "_all", lambda: found)
