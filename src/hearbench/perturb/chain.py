"""Perturbations: steps one after the other, and how users write them."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError, UnknownNameError
from hearbench.perturb.step import PERTURB_FORMAT, Floats, Sound, Step
from hearbench.registry import Registry, did_you_mean
from hearbench.toml import tomllib
from hearbench.workspace import user_path

__all__ = ["KINDS", "ClipSource", "Perturbation", "named_sets", "parse_perturbations"]

KINDS: Registry[type[Step]] = Registry(
    "kind of perturbation",
    "hearbench.perturbations",
    {
        "clip": "hearbench.perturb.kinds:Clipping",
        "codec": "hearbench.perturb.codec:Codec",
        "dropout": "hearbench.perturb.kinds:Dropout",
        "gain": "hearbench.perturb.kinds:Gain",
        "noise": "hearbench.perturb.kinds:Noise",
        "rate": "hearbench.perturb.kinds:Rate",
        "reverb": "hearbench.perturb.kinds:Reverb",
        "shift": "hearbench.perturb.kinds:Shift",
        "speed": "hearbench.perturb.kinds:Speed",
    },
)
"""All kinds of steps by their names."""

_SCALE = 32768.0

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class ClipSource:
    """Which clip is disturbed, and others beside it.

    Attributes:
        task: Name of the task.
        clip: ``split/file``.
        others: Gives so many other clips of the task at the same rate, or fewer if there are no
            more, chosen by random numbers.
    """

    task: str
    clip: str
    others: Callable[[np.random.RandomState, int], list[Samples]]


@dataclass(frozen=True)
class Perturbation:
    """A disturbance of audio: one or several steps in a chain.

    Attributes:
        name: As the user wrote it: its recipe, or the name of a set.
    """

    name: str
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: str) -> Perturbation:
        """The one perturbation that a text names; see `parse_perturbations`.

        Raises:
            HearError: It names several, or none.
        """
        found = parse_perturbations(text)
        if len(found) != 1:
            raise HearError(f"{text!r} names {len(found)} perturbations instead of one.")
        return found[0]

    @property
    def recipe(self) -> str:
        """The canonical text of its steps: ``reverb=0.6+noise=pink:20``."""
        return "+".join(map(str, self.steps))

    @property
    def series(self) -> str:
        """What its strength is drawn over; of a chain its name."""
        return self.steps[0].series if len(self.steps) == 1 else self.name

    @property
    def severity(self) -> float | None:
        """Its strength; None of a chain."""
        return self.steps[0].value if len(self.steps) == 1 else None

    @property
    def unit(self) -> str:
        """Unit of its strength; empty where it has none."""
        return self.steps[0].unit if len(self.steps) == 1 else ""

    @property
    def changes(self) -> frozenset[str]:
        """What it changes that labels may follow: the ``pitch``, the ``level``, the ``sources``."""
        return frozenset().union(*(step.changes for step in self.steps))

    def moved_ms(self, time_ms: float) -> float:
        """The time at which a moment of a clip is heard afterwards, in ms."""
        for step in self.steps:
            time_ms = step.moved_ms(time_ms)
        return time_ms

    def apply(self, samples: Samples, sample_rate: int, source: ClipSource) -> Samples:
        """Disturbs a clip (n_samples,) of a rate in Hz.

        Returns:
            As many samples, rounded once, after the last step.

        Raises:
            HearError: The clip can't be disturbed so.
        """
        x: Floats = samples / _SCALE
        before: Counter[str] = Counter()
        for step in self.steps:
            random = _random(source, step.series, before[step.series])
            before[step.series] += 1

            def others(n: int, random: np.random.RandomState = random) -> list[Floats]:
                return [other / _SCALE for other in source.others(random, n)]

            y = step.apply(Sound(x, sample_rate, random, others))
            if y.shape != x.shape:
                raise HearError(f"{step} gave {y.shape} samples for {x.shape}; its code is wrong.")
            x = y
        rounded = np.rint(x * _SCALE)
        return np.clip(rounded, -_SCALE, _SCALE - 1, out=rounded).astype(np.int16)


def _random(source: ClipSource, series: str, before: int) -> np.random.RandomState:
    """Random numbers for a clip and kind of step; its strength has no part in them."""
    named = "\n".join([str(PERTURB_FORMAT), source.task, source.clip, series, str(before)])
    digest = hashlib.sha256(named.encode("utf-8")).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4").tolist())


def parse_perturbations(text: str) -> list[Perturbation]:
    """The perturbations that a text names.

    Args:
        text: A step, as ``noise=10``; several strengths of it, as ``noise=20,10,0``; a chain of
            steps, as ``reverb=0.6+noise=10``; the name of a set, as ``telephone``; or the path of a
            ``.toml`` file with named sets, of which all are taken.

    Raises:
        UnknownNameError: There is no such kind or set.
        HearError: A step can't have that strength, or a file can't be used.
    """
    text = text.strip()
    if text.endswith(".toml"):
        path = user_path(text)
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise HearError(f"The file of perturbations {text} can't be read: {error}.") from error
        return list(_read_sets(content, text).values())
    if "=" not in text:
        known = named_sets()
        if text not in known:
            hint = did_you_mean(text, [*known, *(f"{kind}=" for kind in KINDS.names())])
            raise UnknownNameError(f"There is no perturbation named {text!r}. {hint}")
        return [known[text]]
    return [
        Perturbation("+".join(map(str, steps)), steps)
        for steps in itertools.product(*(_strengths(part, text) for part in text.split("+")))
    ]


def _strengths(part: str, text: str) -> list[Step]:
    """A step in all strengths that are listed."""
    kind, equals, values = part.strip().partition("=")
    if not equals or not kind:
        raise HearError(f"{text!r}: {part!r} is no step; write KIND=VALUE, as noise=10.")
    step = KINDS.get(kind)
    variant, colon, strengths = values.rpartition(":")
    return [step.read(f"{variant}{colon}{each}") for each in strengths.split(",")]


def named_sets() -> dict[str, Perturbation]:
    """The sets of hearbench by their names."""
    content = (files("hearbench.perturb") / "sets.toml").read_text(encoding="utf-8")
    return _read_sets(content, "sets.toml")


def _read_sets(content: str, source: str) -> dict[str, Perturbation]:
    try:
        tables: dict[str, Any] = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise HearError(f"{source} is no TOML: {error}.") from error
    found = {}
    for name, table in tables.items():
        steps: Any = table.get("steps") if isinstance(table, dict) else None
        whole = isinstance(steps, list) and steps and all(isinstance(each, str) for each in steps)
        if not whole or table.keys() - {"about", "steps"}:
            raise HearError(
                f"{source}: [{name}] needs a list `steps` of texts, as "
                '["reverb=0.6", "noise=20"], and beside it `about` at most.'
            )
        chain = parse_perturbations("+".join(steps))
        if len(chain) != 1:
            raise HearError(f"{source}: [{name}] has several strengths of a step; a set has one.")
        found[name] = Perturbation(name, chain[0].steps)
    if not found:
        raise HearError(f"{source} holds no set of perturbations.")
    return found
