"""Student's t, as `scipy.stats` has it.

``scipy.stats`` takes longer to import than most commands need otherwise, and calls these
same functions of ``scipy.special``.
"""

from __future__ import annotations

__all__ = ["t_quantile", "t_tail"]


def t_quantile(p: float, freedom: float) -> float:
    """The value below which a variable of Student's t lies with probability ``p``.

    Args:
        p: Between 0 and 1.
        freedom: Degrees of freedom; infinitely many are the normal distribution.
    """
    from scipy import special

    return float(special.stdtrit(freedom, p))


def t_tail(value: float, freedom: float) -> float:
    """The probability that a variable of Student's t exceeds a value.

    Args:
        freedom: Degrees of freedom; infinitely many are the normal distribution.
    """
    from scipy import special

    return float(special.stdtr(freedom, -value))
