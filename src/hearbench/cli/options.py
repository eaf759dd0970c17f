"""Options that several verbs share, and what is read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.errors import HearError, ModelError, ProbeError
from hearbench.progress import TerminalProgress
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.embeddings.manifest import Dtype
    from hearbench.evaluation.probes import ProbeSetup
    from hearbench.models.loaded import Interpreter
    from hearbench.models.ref import ModelRef

__all__ = [
    "CacheDir",
    "CorpusDirs",
    "Device",
    "DtypeName",
    "GridPoints",
    "Json",
    "MaxMemory",
    "Mirror",
    "ModelChoiceOptions",
    "ModelOptions",
    "ModelSpec",
    "ModelSpecs",
    "Name",
    "Only",
    "Out",
    "Overwrite",
    "Precision",
    "ProtocolName",
    "Results",
    "Seed",
    "Seeds",
    "Tasks",
    "TrainingOptions",
    "Weights",
    "Workers",
    "WorkspaceOptions",
    "checked_dtype",
    "make_folder",
    "model_ref",
    "pairs",
    "plan_of",
    "settings_of",
]

ModelSpec = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A HEAR-API module: its import name, or the path of its .py file.",
        show_default=False,
    ),
]
ModelSpecs = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="HEAR-API modules: import names, or paths of .py files.",
        show_default=False,
    ),
]
Results = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULT...",
        help="Results: a task's folder, a model's, or one that `evaluate --out` wrote.",
        show_default=False,
    ),
]
Tasks = Annotated[
    list[str],
    typer.Option(
        "--task",
        metavar="PATH_OR_NAME",
        help="A prepared task: its folder, its .tar.gz, or its name (see `hearbench list tasks`). "
        "Repeatable.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder that takes MODEL/TASK/result.json.")
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", metavar="F", help="File or folder that the model loads."),
]
ModelOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="K=V", help="Keyword argument of its load_model. Repeatable."),
]
ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol", metavar="NAME", help="Protocol of training; see `hearbench list protocols`."
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Seed for weight initialisation and dropout.", min=0)
]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds",
        metavar="N",
        min=1,
        max=1000,
        help="Number of seeds to train with: --seed and those after it.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="auto|float32|bfloat16",
        help="Precision of the matrix products during training; auto is the device's fastest.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="K=V",
        help="Try only grid points with this hyperparameter, as hidden_layers=1. Repeatable.",
    ),
]
GridPoints = Annotated[
    int | None,
    typer.Option("--grid-points", metavar="N", min=1, help="Try only the first N grid points."),
]
DtypeName = Annotated[
    str,
    typer.Option("--dtype", metavar="float32|float16", help="Precision of the embeddings on disk."),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", help="Device: cpu, cuda, cuda:1, mps, ...; by default a GPU if there is one."
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Folder of the cache; overrides HEARBENCH_CACHE."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "--jobs",
        min=1,
        help="Threads for reading and writing audio; by default one per core.",
    ),
]
CorpusDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--corpus-dir",
        metavar="DIR",
        help="Folder of files that are downloaded already, named as in their addresses. "
        "Repeatable.",
    ),
]
Mirror = Annotated[
    str | None,
    typer.Option(
        "--mirror",
        metavar="URL",
        help="Address to download from, of files with the same names; overrides HEARBENCH_MIRROR.",
    ),
]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        "--max-memory",
        metavar="GB",
        min=0,
        help="Memory of the host in GiB for a task's embeddings during training; by default half "
        "of what is free. On a GPU, what is free there decides.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Folder of the results below --out, instead of the model's name."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace results that were made from other inputs.")
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")]


@dataclass(frozen=True)
class WorkspaceOptions:
    """Where a verb works, and with how much of the machine."""

    cache: CacheDir = None
    device: Device = None
    workers: Workers = None
    max_memory: MaxMemory = None
    mirror: Mirror = None

    def workspace(self) -> Workspace:
        """The workspace, once it is sure that its cache can be written.

        Raises:
            HearError: It can't, or there is no device of that name.
        """
        return settings_of(self.cache, self.device, self.workers, self.max_memory, self.mirror)


@dataclass(frozen=True)
class ModelChoiceOptions:
    """What is handed to a model's ``load_model``."""

    weights: Weights = None
    option: ModelOptions = None

    def ref(self, spec: str, workspace: Workspace, host: Interpreter | None = None) -> ModelRef:
        """A model with these options, in this Python or another.

        Raises:
            ModelError: An option can't be handed to a model.
            HearError: The options can't be read, or the device can't be used.
        """
        return model_ref(spec, self.weights, self.option, workspace, host)


@dataclass(frozen=True)
class TrainingOptions:
    """How probes are trained."""

    protocol: ProtocolName = "hear2021"
    seed: Seed = 42
    seeds: Seeds = 1
    only: Only = None
    grid_points: GridPoints = None
    precision: Precision = "auto"

    def plan(self, workspace: Workspace) -> ProbeSetup:
        """The training that the options describe.

        Raises:
            UnknownNameError: There is no such protocol.
            ProbeError: There is no such precision, or nothing is left of the grid.
            HearError: The device can't be used.
        """
        return plan_of(
            self.protocol,
            self.seed,
            self.precision,
            self.only,
            self.grid_points,
            workspace,
            self.seeds,
        )


def settings_of(
    cache: Path | None,
    device: str | None = None,
    workers: int | None = None,
    max_memory_gb: float | None = None,
    mirror: str | None = None,
) -> Workspace:
    """The workspace of a run, once it is sure that its cache can be written.

    Raises:
        HearError: It can't, or no device is called so.
    """
    workspace = Workspace.from_environment(
        cache_dir=cache,
        device=device,
        workers=workers,
        max_memory_gb=max_memory_gb,
        mirror=mirror,
        progress=TerminalProgress(),
    )
    make_folder(workspace.cache_dir, "the cache", "Choose another by --cache or HEARBENCH_CACHE.")
    return workspace


def make_folder(folder: Path, what: str, remedy: str) -> None:
    """Makes a folder before hours are spent on what is to go there.

    Raises:
        HearError: It can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HearError(
            f"The folder {folder} for {what} can't be made: {error.strerror}. {remedy}"
        ) from error


def check_device(workspace: Workspace) -> str:
    """The device's name, once something has been put there.

    Raises:
        HearError: torch knows no such device, or it isn't here.
    """
    import torch

    device = workspace.torch_device()
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        from hearbench.worker.backends import torch_devices

        raise HearError(
            f"The device {device!r} can't be used. Here are {', '.join(torch_devices())}; torch "
            f"says: {str(error).splitlines()[0]}"
        ) from error
    return device


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """``["k=v", ...]`` as a dictionary.

    Raises:
        HearError: A text has no ``=``, or a key stands twice.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise HearError(f"{option} {text!r}: a name, '=' and a value are needed, as in k=v.")
        if key in found:
            raise HearError(f"{option} {key} is given twice: {found[key]!r} and {value!r}.")
        found[key] = value
    return found


def model_ref(
    spec: str,
    weights: str | None,
    options: Sequence[str] | None,
    workspace: Workspace,
    host: Interpreter | None = None,
) -> ModelRef:
    """The model that the options describe.

    Raises:
        ModelError: An option can't be handed to a model.
        HearError: The options can't be read, or the device can't be used.
    """
    given = pairs(options, "--option")
    for key in ("spec", "workspace", "interpreter"):
        if key in given:
            raise ModelError(f"An option named {key!r} can't be handed to a model.")
    if "weights" in given:
        raise ModelError("Hand the weights over with --weights, not as an option.")
    if host is None:
        check_device(workspace)
    from hearbench.models.ref import ModelRef

    return ModelRef(spec, weights, tuple(given.items()), host)


def checked_dtype(name: str) -> Dtype:
    """The precision of embeddings on disk.

    Raises:
        HearError: There is no such precision.
    """
    if name == "float32":
        return "float32"
    if name == "float16":
        return "float16"
    raise HearError(f"--dtype {name}: embeddings are stored as float32 or float16.")


def plan_of(
    protocol: str,
    seed: int,
    precision: str,
    only: Sequence[str] | None,
    grid_points: int | None,
    workspace: Workspace,
    seeds: int = 1,
) -> ProbeSetup:
    """The training that the options describe.

    Raises:
        UnknownNameError: There is no such protocol.
        ProbeError: There is no such precision, or nothing is left of the grid.
        HearError: The device can't be used.
    """
    from hearbench.probe.protocol import get_protocol

    # Before torch is loaded, as a slip of the keyboard needs no waiting.
    chosen = get_protocol(protocol).restricted(first=grid_points, only=pairs(only, "--only"))
    if precision not in ("auto", "float32", "bfloat16"):
        raise ProbeError(f"--precision {precision}: use auto, float32 or bfloat16.")
    device = check_device(workspace)
    from hearbench.evaluation.probes import ProbeSetup

    return ProbeSetup.of(chosen, range(seed, seed + seeds), precision=precision, device=device)
