"""Collecting all that is wrong with something, to say it in one message."""

from __future__ import annotations

from hearbench.errors import TaskError

__all__ = ["Problems"]


class Problems:
    """Problems by kind, each with examples; the message shows a few of each and the count."""

    def __init__(self, *, examples: int = 5) -> None:
        self._examples = examples
        self._by_kind: dict[str, list[str]] = {}

    def add(self, kind: str, example: str) -> None:
        """Notes a problem of a kind ("audio that is missing") at a place ("train/a.wav")."""
        self._by_kind.setdefault(kind, []).append(example)

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def __len__(self) -> int:
        return sum(len(examples) for examples in self._by_kind.values())

    def merge(self, other: Problems) -> None:
        """Adds the problems of another."""
        for kind, examples in other._by_kind.items():
            self._by_kind.setdefault(kind, []).extend(examples)

    def lines(self) -> list[str]:
        """One line per kind: its count, and examples up to the cap."""
        lines = []
        for kind, examples in self._by_kind.items():
            shown = "; ".join(examples[: self._examples])
            more = len(examples) - self._examples
            tail = f"; and {more} more" if more > 0 else ""
            lines.append(f"- {kind} ({len(examples)}): {shown}{tail}")
        return lines

    def error(self, heading: str, remedy: str) -> TaskError:
        """Makes one error of all problems: what can't be used, the problems, what to do."""
        return TaskError("\n".join([heading, *self.lines(), remedy]))
