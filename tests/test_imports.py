"""Imports go the way of the data, and the package itself loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hearbench

ROOT = Path(hearbench.__file__).parent

# As in docs/design.md: a part may import itself and what stands before it.
LAYERS = (
    {"worker"},
    {
        "_version",
        "amounts",
        "cache",
        "console",
        "digest",
        "errors",
        "files",
        "locks",
        "memo",
        "printable",
        "progress",
        "records",
        "registry",
        "workspace",
        "strict_json",
        "sums",
        "table",
        "toml",
    },
    {"audio"},
    {"perturb"},
    {"tasks"},
    {"overlap"},
    {"models"},
    {"embeddings"},
    {"validate"},
    {"pytest_plugin"},
    {"metrics"},
    {"stats"},
    {"probe"},
    {"results"},
    {"distance"},
    {"clustering"},
    {"zero_shot"},
    {"comparison"},
    {"views"},
    {"execution"},
    {"evaluation"},
    {"planning"},
    {"report"},
    {"demo"},
    {"leaderboard"},
    {"cli"},
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
# What loads and calls models, of which no baseline knows anything.
MACHINERY = {
    *("engine", "finding", "given", "known", "loaded", "loading", "published", "options"),
    *("model", "ref", "source"),
    *("fingerprint", "identity", "reading"),
    *(
        "answers",
        "environments",
        "isolation",
        "other_process",
        "pythons",
        "sandbox",
    ),
}


def imports(path: Path) -> Iterator[str]:
    """Names of all hearbench modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            # The package itself imports what it has when that is asked for.
            yield from (alias.name for alias in node.names if alias.name.startswith("hearbench."))
        elif isinstance(node, ast.ImportFrom):
            # The package that is sent to other interpreters has another name there.
            relative = path.is_relative_to(ROOT / "worker")
            assert relative or not node.level, f"{path}: imports are absolute"
            assert not relative or node.level or node.module != "hearbench", path
            module = node.module or ""
            if module == "hearbench":
                yield from (f"hearbench.{alias.name}" for alias in node.names)
            elif module.startswith("hearbench."):
                yield module


def part_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def test_every_part_has_a_place() -> None:
    assert {part_of(path) for path in FILES} == set(RANK)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_imports_go_the_way_of_the_data(path: Path) -> None:
    own = part_of(path)
    for name in imports(path):
        part = name.split(".")[1]
        assert RANK[part] <= RANK[own], f"{own} must not import {name}"


BASELINES = sorted(
    path.name
    for path in (ROOT / "models").glob("*.py")
    if path.stem not in {*MACHINERY, "__init__"}
)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_models_like_any_other(name: str) -> None:
    for module in imports(ROOT / "models" / name):
        part, _, rest = module.removeprefix("hearbench.").partition(".")
        allowed = {"errors", "models", "registry"}
        is_checkpoints = module.startswith("hearbench.worker")
        assert part in allowed or is_checkpoints, f"{name} must not import {module}"
        assert rest.partition(".")[0] not in MACHINERY, f"{name} must not import {module}"


@pytest.mark.parametrize(
    "module",
    ["hearbench", "hearbench.errors", "hearbench.progress", "hearbench.workspace", "hearbench.cli"],
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'numpy', 'av', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
