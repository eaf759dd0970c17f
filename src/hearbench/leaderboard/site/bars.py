"""A score as a bar among all the others: a small drawing beside the number that it shows."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

__all__ = ["bar"]

_WIDTH = 240
_HEIGHT = 16
_BAR_TOP, _BAR_HEIGHT = 4, 8


def bar(
    score: float | None,
    others: Sequence[float | None],
    whisker: tuple[float, float] | None = None,
) -> Markup:
    """SVG of a bar from 0 to 1, a tick for every other model's score, and a whisker.

    It is hidden from screen readers, which find the same in the cells beside it. Colours are the
    style sheet's.

    Args:
        score: In 0 to 1; None draws the others alone.
        others: Scores that are marked by ticks.
        whisker: Where one begins and ends.
    """
    parts = [_rect("track", 0, _WIDTH)]
    ticks = "".join(
        f"M{_x(value)} 1V{_HEIGHT - 1}" for value in sorted({v for v in others if v is not None})
    )
    if score is not None:
        parts.append(_rect("fill", 0, _x(score)))
    if ticks:
        parts.append(f'<path class="ticks" d="{ticks}"/>')
    if score is not None and whisker is not None:
        left, right, middle = _x(whisker[0]), _x(whisker[1]), _HEIGHT // 2
        ends = f"M{left} 5V11M{right} 5V11"
        parts.append(f'<path class="whisker" d="M{left} {middle}H{right}{ends}"/>')
    drawing = "".join(parts)
    # Nothing in here but numbers.
    return Markup(  # noqa: S704
        f'<svg class="bar" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false">{drawing}</svg>'
    )


def _x(value: float) -> str:
    return f"{min(max(value, 0.0), 1.0) * _WIDTH:.1f}"


def _rect(name: str, x: float, width: float | str) -> str:
    return f'<rect class="{name}" x="{x}" y="{_BAR_TOP}" width="{width}" height="{_BAR_HEIGHT}"/>'
