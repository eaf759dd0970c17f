"""What every module owes its reader: a purpose, and docstrings of its names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hearbench

ROOT = Path(hearbench.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in FILES]

# Calls whose own arguments say what the constant is: help texts, titles, descriptions.
SPEAKING = {"Annotated", "EventScore", "Literal", "NDArray", "SceneScore", "Typer", "get_args"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def exported(tree: ast.Module) -> list[str]:
    """The names of ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and "__all__" in assigned(node):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def assigned(node: ast.stmt) -> list[str]:
    """Names that a statement gives values."""
    if isinstance(node, ast.AnnAssign):
        targets: list[ast.expr] = [node.target]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    else:
        return []
    return [
        part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
    ]


def functions(tree: ast.Module) -> Iterator[tuple[str, Function, str | None]]:
    """The exported functions and the public methods of exported classes, by their names.

    With the docstring of the class; None where there is no class.
    """
    names = set(exported(tree))
    for node in tree.body:
        if isinstance(node, Function) and node.name in names:
            yield node.name, node, None
        elif isinstance(node, ast.ClassDef) and node.name in names:
            for item in node.body:
                if isinstance(item, Function) and not item.name.startswith("_"):
                    yield f"{node.name}.{item.name}", item, ast.get_docstring(node) or ""


def section(text: str, title: str) -> str | None:
    """What stands in a section of a docstring in Google's style, None if there is none."""
    found = re.search(rf"^{title}:\n((?:    .*(?:\n|$)|\n)*)", text, re.MULTILINE)
    return found and found.group(1)


def described(text: str) -> list[str]:
    """The names that a section describes."""
    entries = re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:", text, re.MULTILINE)
    return [name.strip().lstrip("*") for entry in entries for name in entry.split(",")]


def parameters(node: Function, *, method: bool) -> list[str]:
    """The names of all arguments that a caller gives."""
    given = node.args
    first = [*given.posonlyargs, *given.args]
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    if method and not static:
        first = first[1:]
    rest = [given.vararg, *given.kwonlyargs, given.kwarg]
    return [arg.arg for arg in (*first, *rest) if arg is not None]


def raised(node: Function) -> Iterator[str]:
    """The names of the errors that a function itself raises."""
    for part in ast.walk(node):
        if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call):
            called = part.exc.func
            if isinstance(called, ast.Name) and called.id.endswith("Error"):
                yield called.id


def is_verb(node: Function) -> bool:
    """Whether a function is a verb of the command line, whose docstring is its help."""
    return any("verb" in ast.dump(decorator) for decorator in node.decorator_list)


def says_itself(node: ast.stmt) -> bool:
    """Whether a constant's value needs no words: a text, a name for another thing's kind."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Subscript):
        head = value.value
    elif isinstance(value, ast.Call):
        head = value.func
    else:
        return isinstance(value, ast.Constant) and isinstance(value.value, str)
    name = head.attr if isinstance(head, ast.Attribute) else getattr(head, "id", "")
    return name in SPEAKING


def undescribed_constants(tree: ast.Module, lines: list[str]) -> Iterator[str]:
    """Exported constants without a string below them, a comment, or a word in the module's own."""
    told = set(re.findall(r"``(\w+)``", ast.get_docstring(tree) or ""))
    names = set(exported(tree)) - told
    commented = False
    end = 0
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        beside = any("# " in line for line in lines[node.lineno - 1 : node.end_lineno])
        above = lines[node.lineno - 2].startswith("#") if node.lineno > 1 else False
        # A comment speaks of all that follows it without a gap.
        commented = beside or above or (commented and node.lineno == end + 1)
        end = node.end_lineno or node.lineno
        below = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if not (commented or below or says_itself(node)):
            yield from names.intersection(assigned(node))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_module(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    assert ast.get_docstring(tree), "says what it is for"
    names = set(exported(tree))
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and node.name in names:
            assert ast.get_docstring(node), f"{node.name} has a docstring"
    assert not list(undescribed_constants(tree, lines))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_docstrings_name_what_functions_take_and_raise(path: Path) -> None:
    wrong = []
    for name, node, of_class in functions(ast.parse(path.read_text(encoding="utf-8"))):
        text = ast.get_docstring(node)
        if text is None:
            wrong.append(f"{name} has no docstring")
            continue
        wanted = parameters(node, method=of_class is not None)
        taken = section(text, "Args")
        # An argument whose type and name say it all has no entry.
        told = described(taken or "")
        if told != [argument for argument in wanted if argument in told]:
            wrong.append(f"{name} takes {wanted}, described: {told}")
        errors = section(text, "Raises") or section(of_class or "", "Raises")
        if errors is None and any(raised(node)) and not is_verb(node):
            wrong.append(f"{name} raises {sorted(set(raised(node)))}, which it doesn't say")
    assert not wrong


PACKAGES = sorted(
    ".".join(("hearbench", *path.parent.relative_to(ROOT).parts))
    for path in FILES
    if path.name == "__init__.py"
)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_hand_on_what_is_there(package: str) -> None:
    module = importlib.import_module(package)
    names = list(getattr(module, "__all__", ()))
    assert len(names) == len(set(names))
    for name in names:
        thing = getattr(module, name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), name
