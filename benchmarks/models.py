"""Every built-in model: rate, sizes, hop, parameters, and how much faster than real time it is.

    python benchmarks/models.py [--seconds S] [--repeats N] [--only naive,vggish]

Scene embeddings of ten clips are timed. Models whose weights aren't part of a package get random
ones of the right shapes, which take as long.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hearkit.models.loading import load_model
from hearkit.models.protocol import Model
from hearkit.settings import Settings

CLIPS = 10


def main() -> None:
    """Loads, times and prints one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of every clip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help="names from the first column, joined by commas")
    args = parser.parse_args()
    wanted = set(args.only.split(",")) if args.only else set(MODELS)
    table = Table(title=f"Built-in models, {torch.get_num_threads()} threads")
    for column in ("model", "Hz", "scene", "timestamp", "hop ms", "parameters", "x real time"):
        table.add_column(column, justify="left" if column == "model" else "right")
    settings = Settings.from_environment(device="cpu")
    with tempfile.TemporaryDirectory(prefix="hearkit-bench-") as folder:
        for name, make in MODELS.items():
            if name in wanted:
                table.add_row(name, *row(make(Path(folder), settings), args))
    Console().print(table)


def row(model: Model, args: argparse.Namespace) -> list[str]:
    """The cells of a model."""
    rng = np.random.default_rng(1)
    n_samples = int(args.seconds * model.sample_rate)
    audio = rng.uniform(-0.1, 0.1, (CLIPS, n_samples)).astype(np.float32)
    _, centres_ms = model.timestamps(audio[:1])
    model.scene(audio[:1])
    times = []
    for _ in range(args.repeats):
        begin = time.perf_counter()
        model.scene(audio.copy())
        times.append(time.perf_counter() - begin)
    factor = CLIPS * args.seconds / statistics.median(times)
    hop_ms = float(np.diff(centres_ms[0]).mean()) if centres_ms.shape[1] > 1 else float("nan")
    return [
        str(model.sample_rate),
        str(model.scene_embedding_size),
        str(model.timestamp_embedding_size),
        f"{hop_ms:g}",
        parameters(model.loaded),
        f"{factor:.0f}" if factor >= 10 else f"{factor:.1f}",
    ]


def parameters(loaded: object) -> str:
    """The trained numbers of a model, in millions; none in one that learned nothing."""
    if not isinstance(loaded, torch.nn.Module):
        return "0"
    count = sum(parameter.numel() for parameter in loaded.parameters())
    return f"{count / 1e6:.1f} M" if count else "0"


def plain(module: str, **options: str) -> Callable[[Path, Settings], Model]:
    """A model that needs nothing from elsewhere."""
    spec = f"hearkit.models.{module}"
    return lambda _, settings: load_model(spec, None, settings=settings, **options)


def vggish(folder: Path, settings: Settings) -> Model:
    """VGGish with random weights."""
    from hearkit.models.vggish import VggishModel

    return load_model(
        "hearkit.models.vggish", random_weights(VggishModel(), folder / "v.pth"), settings=settings
    )


def openl3(folder: Path, settings: Settings) -> Model:
    """OpenL3 with random weights."""
    from hearkit.models.openl3 import OpenL3Model

    return load_model(
        "hearkit.models.openl3", random_weights(OpenL3Model(), folder / "o.pth"), settings=settings
    )


def random_weights(model: torch.nn.Module, path: Path) -> Path:
    """A state dict of the right shapes."""
    generator = torch.Generator().manual_seed(1)
    weights = {}
    for name, value in model.state_dict().items():
        drawn = torch.rand(value.shape, generator=generator) * 0.02
        weights[name] = drawn + 1 if name.endswith("running_var") else drawn
        if not value.dtype.is_floating_point:
            weights[name] = torch.zeros(value.shape, dtype=value.dtype)
    torch.save(weights, path)
    return path


def wav2vec2(folder: Path, settings: Settings) -> Model:
    """A large wav2vec 2.0 with random weights, in the place of the baseline's checkpoint."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    )
    Wav2Vec2Model(config).save_pretrained(folder / "wav2vec2")
    extractor: Any = Wav2Vec2FeatureExtractor
    extractor().save_pretrained(folder / "wav2vec2")
    return load_model("hearkit.models.wav2vec2", folder / "wav2vec2", settings=settings)


MODELS: dict[str, Callable[[Path, Settings], Model]] = {
    "naive": plain("naive"),
    "naive_tensorflow": plain("naive_tensorflow"),
    "naive_keras": plain("naive_keras"),
    "vqt": plain("vqt"),
    "crepe-tiny": plain("crepe", capacity="tiny"),
    "crepe-full": plain("crepe", capacity="full"),
    "vggish": vggish,
    "openl3": openl3,
    "wav2vec2": wav2vec2,
}


if __name__ == "__main__":
    main()
