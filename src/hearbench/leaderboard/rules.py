"""The rules of the challenge that a submission's card and facts can be held against.

Code must be under a licence that fits Apache-2.0, weights under one that fits CC BY 4.0. Licences
are SPDX identifiers (https://spdx.org/licenses), or several joined by ``AND`` or ``OR``. Which ones
fit Apache-2.0 follows the Apache Software Foundation's list of what its projects may include
(https://www.apache.org/legal/resolved.html, category A).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urlsplit

from hearbench.leaderboard.card import Card
from hearbench.leaderboard.machine import Fact
from hearbench.leaderboard.submission import Submission

__all__ = ["CODE_LICENCES", "WEIGHTS_LICENCES", "card_problems", "rule_notes", "rule_problems"]

CODE_LICENCES = frozenset(
    {
        *("0BSD", "AFL-3.0", "Apache-1.1", "Apache-2.0", "BlueOak-1.0.0", "BSD-1-Clause"),
        *("BSD-2-Clause", "BSD-2-Clause-Patent", "BSD-3-Clause", "BSD-3-Clause-LBNL", "BSL-1.0"),
        *("CC0-1.0", "HPND", "ICU", "ISC", "MIT", "MIT-0", "MS-PL", "MulanPSL-2.0", "NCSA"),
        *("PostgreSQL", "PSF-2.0", "Python-2.0", "Unicode-3.0", "Unlicense", "UPL-1.0", "W3C"),
        *("WTFPL", "X11", "Zlib", "ZPL-2.0", "ZPL-2.1"),
    }
)
"""Licences whose code can become part of what is under Apache-2.0, by SPDX identifiers."""

WEIGHTS_LICENCES = CODE_LICENCES | {
    *("CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0"),
    *("CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "ODC-By-1.0", "PDDL-1.0"),
}
"""Licences under which weights can be used as freely as under CC BY 4.0, by SPDX identifiers."""

# Of which one runs the model; numpy is there in any case.
_FRAMEWORKS = ("numpy", "torch", "tensorflow", "keras", "jax", "onnxruntime")


def card_problems(card: Card, *, has_weights: bool) -> list[str]:
    """Lists what of a card is against the rules, in sentences; empty if nothing is.

    Args:
        has_weights: Whether the model loads weights that aren't part of its package.
    """
    problems = []
    wrong = _licence_problem(card.licence, CODE_LICENCES)
    if wrong:
        problems.append(
            f"licence {wrong} The code's must be compatible with Apache-2.0, as MIT or "
            "BSD-3-Clause."
        )
    if has_weights or card.weights_url:
        wrong = _licence_problem(card.weights_licence, WEIGHTS_LICENCES)
        if wrong:
            problems.append(
                f"weights_licence {wrong} The weights' must be compatible with CC BY 4.0, as "
                "CC-BY-4.0 or CC0-1.0."
            )
    if has_weights and not card.weights_url:
        problems.append("weights_url is empty, and the model loads weights. Say where they are.")
    if not urlsplit(card.url).hostname:
        problems.append(f"url names no host: {card.url}.")
    return problems


def rule_problems(submission: Submission) -> Iterator[str]:
    """Finds what of a submission is against the rules, in sentences."""
    model = submission.model
    has_weights = model.weights_digest is not None
    origin = submission.origin
    if origin is not None and origin.weights_sha256 is not None:
        has_weights = True
    yield from card_problems(submission.card, has_weights=has_weights)
    if "python" not in model.versions:
        yield "the version of Python that ran the model isn't recorded."
    if origin is None:
        return
    # What is submitted from an address is written by a version that records all of it.
    if not any(name in model.versions for name in _FRAMEWORKS):
        yield "no version of the framework that ran the model is recorded."
    yield from _machine_problems(submission.machine)


def rule_notes(submission: Submission) -> Iterator[str]:
    """Notes of what no rule forbids and keeps others from running the submission again."""
    if submission.origin is None:
        yield "It doesn't say where its code can be had, so it can't be run again from there."
    elif submission.origin.address.startswith("git+file:"):
        yield f"The address of its code is of one machine: {submission.origin.address}."


def _machine_problems(machine: Mapping[Fact, str]) -> Iterator[str]:
    if "device" not in machine:
        yield "the device that the model ran on isn't recorded."
    elif machine["device"].startswith("cuda"):
        names: tuple[Fact, ...] = ("cuda", "cudnn")
        for name in names:
            if name not in machine:
                yield f"the model ran on a GPU, and the version of {name} isn't recorded."


def _licence_problem(text: str, allowed: Collection[str]) -> str:
    """Why a licence isn't allowed; empty if it is. Of several by ``OR`` one is enough."""
    if not text.strip():
        return "is empty; give its SPDX identifier."
    by_case = {name.lower(): name for name in allowed}
    unknown: list[str] = []
    for choice in text.split(" OR "):
        parts = [part.strip() for part in choice.split(" AND ")]
        wrong = [part for part in parts if part.lower() not in by_case]
        if not wrong:
            return ""
        unknown += wrong
    return f"is {text}, and {', '.join(dict.fromkeys(unknown))} isn't among those that fit."
