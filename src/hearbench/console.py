"""Consoles that show names, labels and messages as they are, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hearbench.printable import printable

__all__ = ["PlainConsole"]


class PlainConsole(Console):
    """A console for texts of anybody's: none is taken for markup, or steers the terminal.

    All that rich draws goes through ``render``, so nothing can be forgotten: colours and moves
    of the cursor are rich's own and kept apart from texts.

    Args:
        stderr: Whether it is one on stderr.
        width: In columns; by default the terminal's.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Draws something, without what would steer a terminal."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)
