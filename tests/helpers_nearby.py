"""A model's process that is none: what it takes to import torch is saved."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hearbench.models.other_process import CallFailedError, open_places
from hearbench.worker.arrays import SharedArrays
from hearbench.worker.session import Session, SessionError

TESTS = Path(__file__).resolve().parent


class Nearby:
    """Serves a model as ``hearbench.models.other_process.OtherProcess`` does, in this process."""

    _session: Session | None = None

    def __init__(self, *asked: Any, **more: Any) -> None:  # noqa: ARG002
        self._places = open_places()
        self.arrays = SharedArrays(self._places)
        # One for all, as what it hears through can't be taken out of an interpreter again.
        Nearby._session = Nearby._session or Session(self.arrays)
        self.session = Nearby._session
        self.session.arrays = self.arrays
        self._random = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        # As in a process where nobody has used it yet.
        torch.seed()
        self._known = dict(sys.modules)
        self._path = [*sys.path]

    def ask(self, do: str, _what: str, **arguments: Any) -> dict[str, Any]:
        command = {"import": "import_model"}.get(do, do)
        given = json.loads(json.dumps(arguments))
        if command == "guard":
            return {}  # it could never be taken back
        try:
            done: Mapping[str, Any] = getattr(self.session, command)(**given)
        except SessionError as fault:
            raise CallFailedError(fault.text, fault.missing) from fault
        return dict(json.loads(json.dumps(done)))

    def hand_over(self, audio: Any) -> None:
        self.arrays.new("audio", "<f4", audio.shape)[...] = audio

    def take(self, name: str, dtype: str, shape: Any) -> Any:
        return np.array(self.arrays.open(name, dtype, shape))

    def check_alive(self) -> None:
        """It is, as long as this one is."""

    def last_lines(self) -> str:
        return ""

    def close(self) -> None:
        sys.path[:] = self._path
        random.setstate(self._random[0])
        np.random.set_state(self._random[1])  # noqa: NPY002
        torch.set_rng_state(self._random[2])
        for name in set(sys.modules) - set(self._known):
            if str(TESTS) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        for file in self._places.values():
            os.close(file)
