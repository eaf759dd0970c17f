"""What a model ran on: its device, and the versions of CUDA and cuDNN of its framework."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Literal

from hearbench.errors import ModelError
from hearbench.files import SYNTAX_ERRORS
from hearbench.models.loaded import Interpreter

__all__ = ["Fact", "machine_facts"]

Fact = Literal["device", "cuda", "cudnn"]

_ASK_S = 300
# cuDNN's own number is 90100 for 9.1.0 and 8902 for 8.9.2.
_ASK = """
import importlib.util, json
found = {}
if importlib.util.find_spec("torch"):
    import torch
    found["cuda"] = torch.version.cuda
    number = torch.backends.cudnn.version() or 0
    scale = 10000 if number >= 90000 else 1000
    parts = (number // scale, number % scale // 100, number % 100)
    found["cudnn"] = ".".join(map(str, parts)) if number else None
elif importlib.util.find_spec("tensorflow"):
    import tensorflow
    built = tensorflow.sysconfig.get_build_info()
    found = {"cuda": built.get("cuda_version"), "cudnn": built.get("cudnn_version")}
print(json.dumps({key: str(value) for key, value in found.items() if value}))
"""


def machine_facts(host: Interpreter | None, device: str) -> dict[Fact, str]:
    """Reads off this machine what a submission says of it.

    Args:
        host: The other Python that ran the model; None for this one.
        device: Device of the model, as torch names it.

    Returns:
        ``device``; of a GPU of NVIDIA also ``cuda`` and ``cudnn``, as the framework that is
        installed beside the model says.

    Raises:
        ModelError: The interpreter doesn't answer.
    """
    found: dict[Fact, str] = {"device": device}
    if not device.startswith("cuda"):
        return found
    python = str(host.python if host else sys.executable)
    try:
        done = subprocess.run(  # noqa: S603
            [python, "-E", "-c", _ASK], capture_output=True, timeout=_ASK_S, check=True
        )
        # A framework may print before.
        said = dict(json.loads(done.stdout.splitlines()[-1]))
        names: tuple[Fact, ...] = ("cuda", "cudnn")
        found.update({name: str(said[name]) for name in names if name in said})
    except (OSError, *SYNTAX_ERRORS, IndexError, TypeError, subprocess.SubprocessError) as error:
        raise ModelError(f"{python} doesn't say which CUDA it has: {error}.") from error
    return found
