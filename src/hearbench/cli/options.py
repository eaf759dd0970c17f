"""Options that several verbs share, in groups, and what is read from them.

Libraries are imported where they are used, so that the help of a verb needs none of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from hearbench.errors import HearError, ModelError, ProbeError
from hearbench.models.ref import MODEL_DTYPES, ModelRef
from hearbench.progress import TerminalProgress
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Dtype
    from hearbench.evaluation.probes import ProbeSetup
    from hearbench.models.loaded import Interpreter

__all__ = [
    "CacheDir",
    "CorpusDirs",
    "Details",
    "Device",
    "DtypeName",
    "HostedModelOptions",
    "Json",
    "ModelChoiceOptions",
    "ModelSpec",
    "ModelSpecs",
    "OutputOptions",
    "Plot",
    "Results",
    "Score",
    "Tasks",
    "TrainingOptions",
    "Workers",
    "WorkspaceOptions",
    "check_out",
    "checked_dtype",
    "make_folder",
    "pairs",
]

ModelSpec = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A HEAR-API module (import name or .py file), a published model by name (see "
        "`hearbench list models`), hf:ORG/NAME, onnx:FILE or net:PACKAGE.MODULE:FUNCTION.",
        show_default=False,
    ),
]
ModelSpecs = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="HEAR-API modules (import names or .py files), published models by name (see "
        "`hearbench list models`), hf:ORG/NAME, onnx:FILE or net:PACKAGE.MODULE:FUNCTION.",
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
        rich_help_panel="Data",
        metavar="PATH_OR_NAME",
        help="A prepared task: its folder, its .tar.gz, or its name (see `hearbench list tasks`). "
        "Repeatable.",
    ),
]
DtypeName = Annotated[
    str,
    typer.Option("--dtype", metavar="float32|float16", help="Precision of the embeddings on disk."),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device: cpu, cuda, cuda:1, mps, ...; by default a GPU if there is one.",
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
        metavar="N",
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
Score = Annotated[
    str | None,
    typer.Option(
        "--score", metavar="NAME", help="Score to show; by default each task's primary score."
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Figure to write: a .png, .svg or .pdf."),
]
Details = Annotated[
    bool,
    typer.Option(
        "--details",
        rich_help_panel="Output",
        help="Show all scores, chosen grid points, deviations and times, a table per model.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")]


@dataclass(frozen=True)
class WorkspaceOptions:
    """Options for where a verb works, and with how much of the machine."""

    PANEL: ClassVar[str] = "Where it runs"

    cache: CacheDir = None
    device: Device = None
    workers: Workers = None
    max_memory: Annotated[
        float | None,
        typer.Option(
            "--max-memory",
            metavar="GB",
            min=0,
            help="Memory of the host in GiB for a task's embeddings during training; by default "
            "half of what is free. On a GPU, what is free there decides.",
        ),
    ] = None
    mirror: Annotated[
        str | None,
        typer.Option(
            "--mirror",
            metavar="URL",
            help="Address to download from, of files with the same names; overrides "
            "HEARBENCH_MIRROR.",
        ),
    ] = None

    def workspace(self) -> Workspace:
        """The workspace, once it is sure that its cache can be written.

        Raises:
            HearError: It can't, or there is no device of that name.
        """
        workspace = Workspace.from_environment(
            cache_dir=self.cache,
            device=self.device,
            workers=self.workers,
            max_memory_gb=self.max_memory,
            mirror=self.mirror,
            progress=TerminalProgress(),
        )
        make_folder(
            workspace.cache_dir, "the cache", "Choose another by --cache or HEARBENCH_CACHE."
        )
        return workspace


@dataclass(frozen=True)
class ModelChoiceOptions:
    """The arguments of a model's ``load_model``."""

    PANEL: ClassVar[str] = "Model"

    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="F", help="File or folder that the model loads."),
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="K=V", help="Keyword argument of its load_model. Repeatable."
        ),
    ] = None

    model_dtype: Annotated[
        str | None,
        typer.Option(
            "--model-dtype",
            metavar="T",
            help="Precision of the model's own computation, where it supports others than "
            "float32: bfloat16 or float16.",
        ),
    ] = None

    def ref(self, spec: str, workspace: Workspace, host: Interpreter | None = None) -> ModelRef:
        """A model with these options, in this Python or another.

        Raises:
            ModelError: An option can't be handed to a model.
            HearError: The options can't be read, or the device can't be used.
        """
        given = self.keywords()
        if host is None:
            workspace.usable_device()
        return ModelRef(spec, self.weights, tuple(given.items()), host)

    def keywords(self) -> dict[str, str]:
        """Keywords for the model's ``load_model``.

        Raises:
            ModelError: One can't be handed to a model.
            HearError: They can't be read.
        """
        given = pairs(self.option, "--option")
        for key in ("spec", "workspace", "interpreter"):
            if key in given:
                raise ModelError(f"An option named {key!r} can't be handed to a model.")
        if "weights" in given:
            raise ModelError("Hand the weights over with --weights, not as an option.")
        if self.model_dtype is not None:
            if self.model_dtype not in MODEL_DTYPES:
                raise ModelError(
                    f"--model-dtype {self.model_dtype}: choose {', '.join(MODEL_DTYPES)}."
                )
            # That of every model that isn't asked for another.
            if self.model_dtype != MODEL_DTYPES[0]:
                given["model_dtype"] = self.model_dtype
        return given


@dataclass(frozen=True)
class HostedModelOptions(ModelChoiceOptions):
    """The arguments of a model's ``load_model``, and the process in which it runs."""

    PANEL: ClassVar[str] = "Model"

    python: Annotated[
        str | None,
        typer.Option(
            "--python",
            metavar="P",
            help="Run the model in another interpreter, as venv/bin/python; with --env also a "
            "version.",
        ),
    ] = None
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            metavar="SPEC",
            help="Run the model in an environment made for it: from a source tree, or a "
            "requirement of pip.",
        ),
    ] = None
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox", help="Run the model without a network and with only the files it needs."
        ),
    ] = False
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            min=1,
            help="Seconds that a model in a process of its own may take for one call; 1800 by "
            "default.",
        ),
    ] = None
    model_memory: Annotated[
        float | None,
        typer.Option(
            "--model-memory",
            metavar="GB",
            min=0.1,
            help="Memory in GiB that a model in a process of its own may allocate.",
        ),
    ] = None
    readable: Annotated[
        list[Path] | None,
        typer.Option(
            "--readable",
            metavar="PATH",
            help="Path that the sandbox lets the model read. Repeatable.",
        ),
    ] = None
    trust_code: Annotated[
        bool,
        typer.Option(
            "--trust-code",
            help="Run Python code that a checkpoint brings, in a process of its own.",
        ),
    ] = False

    def interpreter(
        self, models: Sequence[str], tasks: Sequence[str], workspace: Workspace
    ) -> Interpreter | None:
        """The other Python that the options describe; None if they ask for none.

        Args:
            models: The models that an environment is made for, as they were named.
            tasks: Tasks that the models must not read, as they were named.
            workspace: Takes the environment.

        Raises:
            ModelError: The environment can't be made, or there is no such Python.
        """
        from hearbench.models.environments import environment_for
        from hearbench.models.loaded import Interpreter
        from hearbench.models.pythons import python_at

        readable = [user_path(path).absolute() for path in self.readable or ()]
        if self.env is not None:
            made = environment_for(models, self.env, workspace=workspace, python=self.python)
            program = made.python
            readable += [made.editable] if made.editable is not None else []
        elif self.python is not None:
            program = python_at(self.python)
        elif any((self.sandbox, self.timeout, self.model_memory, self.readable, self.trust_code)):
            program = Path(sys.executable)
        else:
            return None
        return Interpreter(
            python=program,
            timeout_s=self.timeout or Interpreter.timeout_s,
            sandbox=self.sandbox,
            memory_gb=self.model_memory,
            readable=tuple(readable),
            hidden=tuple(path.resolve() for path in map(user_path, tasks) if path.exists()),
            trust_code=self.trust_code,
        )

    def refs(
        self, models: Sequence[str], tasks: Sequence[str], workspace: Workspace
    ) -> list[ModelRef]:
        """The models with these options, in this Python or the one that the options describe.

        Args:
            models: The models, as they were named.
            tasks: Tasks that the models must not read, as they were named.
            workspace: Takes an environment that is made for the models.

        Raises:
            HearError: As of `ref` and `interpreter`.
        """
        host = self.interpreter(models, tasks, workspace)
        return [self.ref(spec, workspace, host) for spec in models]


@dataclass(frozen=True)
class TrainingOptions:
    """How probes are trained."""

    PANEL: ClassVar[str] = "Probe"

    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="Protocol of training; see `hearbench list protocols`.",
        ),
    ] = "hear2021"
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", help="Seed for weight initialisation and dropout.", min=0
        ),
    ] = 42
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            metavar="N",
            min=1,
            max=1000,
            help="Number of seeds to train with: --seed and those after it.",
        ),
    ] = 1
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="K=V",
            help="Try only grid points with this hyperparameter, as hidden_layers=1. Repeatable.",
        ),
    ] = None
    grid_points: Annotated[
        int | None,
        typer.Option("--grid-points", metavar="N", min=1, help="Try only the first N grid points."),
    ] = None
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            metavar="NUMBERS",
            help="Layers that the protocols layers and weighted use, as 4,8,last.",
        ),
    ] = "all"
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="auto|float32|bfloat16",
            help="Precision of the matrix products during training; auto is the device's fastest.",
        ),
    ] = "auto"

    def plan(self, workspace: Workspace) -> ProbeSetup:
        """The training that the options describe.

        Raises:
            UnknownNameError: There is no such protocol.
            ProbeError: There is no such precision, nothing is left of the grid, or the protocol
                uses no layers.
            HearError: The device can't be used, or the layers aren't numbers.
        """
        from hearbench.probe.protocol import get_protocol

        # Before torch is loaded, as a slip of the keyboard needs no waiting.
        only = pairs(self.only, "--only")
        protocol = get_protocol(self.protocol).restricted(first=self.grid_points, only=only)
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ProbeError(f"--precision {self.precision}: use auto, float32 or bfloat16.")
        layers = layer_numbers(self.layers)
        workspace.usable_device()
        from hearbench.evaluation.probes import ProbeSetup

        seeds = range(self.seed, self.seed + self.seeds)
        return ProbeSetup.of(
            protocol, seeds, precision=self.precision, workspace=workspace, layers=layers
        )


@dataclass(frozen=True)
class OutputOptions:
    """Options for where results go, and in which form."""

    PANEL: ClassVar[str] = "Output"

    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder that takes MODEL/TASK/result.json."),
    ]
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Folder of the results below --out, instead of the model's name.",
        ),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that were made from other inputs.")
    ] = False
    dtype: DtypeName = "float32"
    json: Json = False


def check_out(out: Path) -> None:
    """Refuses a URL where a folder is needed.

    Raises:
        HearError: It is one.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", out.as_posix()):
        raise HearError(
            f"--out {out} is a URL; results are written into a folder of this machine. Copy it "
            "when it is done."
        )


def make_folder(folder: Path, what: str, remedy: str) -> None:
    """Makes a folder before hours are spent on what is to go there.

    Raises:
        HearError: It can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HearError(
            f"The folder {folder} for {what} can't be made: {error.strerror}. {remedy}",
            code="io",
        ) from error


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


def layer_numbers(text: str) -> Literal["all"] | list[int]:
    """Layers of a model, as ``4,8,last`` or ``all`` names them; ``last`` is -1.

    Raises:
        HearError: It names something else.
    """
    if text == "all":
        return "all"
    try:
        return [-1 if name.strip() == "last" else int(name) for name in text.split(",")]
    except ValueError:
        raise HearError(
            f"--layers {text}: numbers of layers are needed, with commas between them, as 4,8,last."
        ) from None


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
