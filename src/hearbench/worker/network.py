"""A network that a function of a package makes, as a HEAR model: what it takes and gives is said.

Many packages hold a network and no HEAR API. What has to be known of one are a few facts: how
audio goes in, which part of what comes out are the embeddings, what their axes mean, and which
times they stand for. `Facts` has them; nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Optional

import torch

from .errors import UnusableError

__all__ = ["Facts", "Network", "NetworkApi"]

_AXES = ("clip", "time", "frequency", "number", "one")
_GRIDS = ("time*frequency", "frequency*time")
_BLOCK_S = 60.0


@dataclasses.dataclass(frozen=True)
class Facts:
    """What has to be known of a network to embed audio with it.

    Attributes:
        sample_rate: In Hz.
        part: Attribute of what the function makes that is the network, as ``encoder.audio``;
            empty where it is the network itself.
        call: Method of it that takes audio; empty for the network's own call.
        channels: Whether audio has an axis of channels: (clips, 1, samples).
        lengths: Whether the numbers of samples, (clips,), come as a second argument.
        alone: Whether each clip goes through by itself, as the network mixes those of a batch.
        output: Which part of what comes out is the embedding of frames: keys, attributes and
            indices with dots between, as ``hidden_states.6``; empty where it is a tensor.
        axes: What each axis of it holds: ``clip``, ``time``, ``number`` (the embedding),
            ``frequency`` (over which the mean is taken) and ``one`` (of length 1), and
            ``time*frequency`` or ``frequency*time`` for both in one axis, the last varying fastest.
        rows: Number of frequencies in such an axis.
        skip: Number of tokens ahead of those of that axis, such as class tokens.
        scene_output: As ``output``, of another part, (clips, size), that is the embedding of a
            scene; empty for the mean over frames.
        hop_ms: Time from one frame to the next; 0 where frames can't be timed.
        first_ms: Time on which the first frame is centred; to be said with hop_ms.
        window_ms: Where it is above 0, frames are windows of this length at 0, ``hop_ms``, ...,
            each of which goes through alone.
        shortest_ms: Shorter audio is continued with silence.
        longest_s: Longer audio goes through in parts of this length; 0 for any length.
        weights_as: Argument of the function that takes the path of weights; empty where they are
            a state dict of the network.
    """

    sample_rate: int = 16000
    part: str = ""
    call: str = ""
    channels: bool = False
    lengths: bool = False
    alone: bool = False
    output: str = ""
    axes: str = "clip time number"
    rows: int = 0
    skip: int = 0
    scene_output: str = ""
    hop_ms: float = 0.0
    first_ms: float = math.nan
    window_ms: float = 0.0
    shortest_ms: float = 0.0
    longest_s: float = 0.0
    weights_as: str = ""

    def __post_init__(self) -> None:
        axes = self.axes.split()
        grid = [axis for axis in axes if axis in _GRIDS]
        kinds = [kind for axis in axes for kind in axis.split("*")]
        strange = [axis for axis in axes if axis not in _AXES and axis not in _GRIDS]
        twice = [kind for kind in kinds if kind != "one" and kinds.count(kind) > 1]
        if strange or twice or not {"clip", "number"} <= set(kinds):
            raise UnusableError(
                "axes is {!r}; it names each axis once, clip and number among them: {}.".format(
                    self.axes, ", ".join((*_AXES, *_GRIDS))
                )
            )
        if bool(grid) != (self.rows > 0):
            raise UnusableError(
                f"axes is {self.axes!r} and rows {self.rows}: an axis of time and frequency needs "
                "the number of its frequencies, and no other does."
            )
        if self.window_ms > 0 and not self.hop_ms > 0:
            raise UnusableError("window_ms needs hop_ms, the time from one window to the next.")

    def samples(self, milliseconds: float) -> int:
        """A time in whole samples."""
        return round(milliseconds * self.sample_rate / 1000)


class NetworkApi:
    """The three functions of the HEAR API around a function that makes a network.

    Args:
        make: The function, or the network's class. What isn't one of `Facts` goes to it, and the
            sample rate where it has a parameter of that name.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        # So that text on a command line becomes numbers where numbers are wanted.
        keywords = [
            inspect.Parameter(item.name, _KEYWORD, default=item.default, annotation=item.type)
            for item in dataclasses.fields(Facts)
        ]
        path = inspect.Parameter("model_file_path", _EITHER, default="", annotation=str)
        rest = inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)
        load: Any = functools.partial(self._load)
        load.__signature__ = inspect.Signature([path, *keywords, rest])
        self.load_model: Callable[..., Network] = load

    def _load(self, model_file_path: str = "", **options: Any) -> Network:
        names = {item.name for item in dataclasses.fields(Facts)}
        facts = Facts(**{key: value for key, value in options.items() if key in names})
        wanted = inspect.signature(self._make).parameters
        arguments = {
            key: _argument(value, wanted.get(key))
            for key, value in options.items()
            if key not in names
        }
        if "sample_rate" in wanted:
            arguments["sample_rate"] = facts.sample_rate
        if model_file_path and facts.weights_as:
            arguments[facts.weights_as] = model_file_path
        made = self._make(**arguments)
        network = functools.reduce(getattr, facts.part.split("."), made) if facts.part else made
        if not isinstance(network, torch.nn.Module):
            raise UnusableError(
                f"{type(network).__module__}.{type(network).__qualname__} is no torch.nn.Module. "
                "Name the attribute that is one by the option part."
            )
        if model_file_path and not facts.weights_as:
            network.load_state_dict(_state(model_file_path))
        return Network(network.eval().requires_grad_(False), facts)

    def get_scene_embeddings(self, audio: torch.Tensor, model: Network) -> torch.Tensor:
        """One embedding per clip, (n_clips, size), of audio (n_clips, n_samples)."""
        return model.scenes(audio)

    def get_timestamp_embeddings(
        self, audio: torch.Tensor, model: Network
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames (n_clips, n_frames, size) and their centres in ms (n_clips, n_frames)."""
        return model.frames(audio)


_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class Network(torch.nn.Module):
    """A network with what is known of it.

    Attributes:
        sample_rate: In Hz.
        scene_embedding_size: Size of a clip's embedding, as a first call shows.
        timestamp_embedding_size: Size of a frame's embedding, as a first call shows.
    """

    def __init__(self, network: torch.nn.Module, facts: Facts) -> None:
        super().__init__()
        self.network = network
        self.facts = facts
        self.sample_rate = facts.sample_rate
        noise = 0.1 * torch.randn(1, facts.sample_rate, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            self.timestamp_embedding_size = self.encoded(noise).shape[2]
            self.scene_embedding_size = self.scenes(noise).shape[1]

    def scenes(self, audio: torch.Tensor) -> torch.Tensor:
        """Embeddings of clips (n_clips, size)."""
        if not self.facts.scene_output:
            return self.encoded(audio).mean(1)
        answers = [self._answer(part, self.facts.scene_output) for part in self._parts(audio)]
        return torch.stack(answers).mean(0)

    def frames(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings of frames that are centred within the audio, and where they are, in ms.

        Raises:
            UnusableError: The times of its frames aren't known.
        """
        facts = self.facts
        if not (facts.hop_ms > 0 and (facts.window_ms > 0 or facts.first_ms >= 0)):
            raise UnusableError(
                "The times of its frames aren't known, so it is for labels of whole clips alone. "
                "Say them by the options hop_ms and first_ms."
            )
        end_ms = (audio.shape[1] - 1) * 1000 / facts.sample_rate
        if facts.window_ms > 0:
            count = int(end_ms / facts.hop_ms) + 1
            centres = torch.arange(count, dtype=torch.float64) * facts.hop_ms
            found = self._windows(audio, centres)
        else:
            found = self.encoded(audio)
            frames = torch.arange(found.shape[1], dtype=torch.float64)
            centres = facts.first_ms + frames * facts.hop_ms
            count = max(1, int((centres <= end_ms).sum()))
            found, centres = found[:, :count], centres[:count]
        if centres[-1] > end_ms:
            centres = torch.tensor([end_ms / 2], dtype=torch.float64)
        return found, centres.to(audio.device, torch.float32).expand(found.shape[:2])

    def encoded(self, audio: torch.Tensor) -> torch.Tensor:
        """All frames of the audio, (n_clips, n_frames, size); one where there is no time axis."""
        facts = self.facts
        found = []
        for part in self._parts(audio):
            frames = _arranged(self._answer(part, facts.output), facts)
            continued = part.shape[1] < facts.samples(facts.shortest_ms)
            if facts.hop_ms > 0 and (continued or facts.longest_s > 0):
                # Those of the silence behind it aren't the audio's, nor of the next part.
                frames = frames[:, : math.ceil(part.shape[1] / facts.samples(facts.hop_ms))]
            found.append(frames)
        return torch.cat(found, 1)

    def _parts(self, audio: torch.Tensor) -> list[torch.Tensor]:
        longest = int(self.facts.longest_s * self.facts.sample_rate)
        return list(torch.split(audio, longest, 1)) if longest else [audio]

    def _answer(self, audio: torch.Tensor, output: str) -> torch.Tensor:
        """A part of what the network makes of audio."""
        if self.facts.alone and len(audio) > 1:
            place = self.facts.axes.split().index("clip") if output == self.facts.output else 0
            return torch.cat([self._answer(clip, output) for clip in torch.split(audio, 1)], place)
        missing = self.facts.samples(self.facts.shortest_ms) - audio.shape[1]
        audio = torch.nn.functional.pad(audio, (0, max(0, missing)))
        given = [audio[:, None] if self.facts.channels else audio]
        if self.facts.lengths:
            given.append(torch.full(audio.shape[:1], audio.shape[1], device=audio.device))
        return _picked(getattr(self.network, self.facts.call or "__call__")(*given), output)

    def _windows(self, audio: torch.Tensor, centres_ms: torch.Tensor) -> torch.Tensor:
        size = self.facts.samples(self.facts.window_ms)
        padded = torch.nn.functional.pad(audio, (size // 2, size))
        windows = padded.unfold(1, size, 1)
        starts = (centres_ms * self.facts.sample_rate / 1000).round().long().to(audio.device)
        block = max(1, int(_BLOCK_S * self.facts.sample_rate) // (size * len(audio)))
        found = []
        for some in torch.split(starts, block):
            frames = self.encoded(windows[:, some].flatten(0, 1)).mean(1)
            found.append(frames.view(len(audio), len(some), -1))
        return torch.cat(found, 1)


def _argument(given: Any, wanted: inspect.Parameter | None) -> Any:
    """What a function gets for an option: text that is JSON, unless the function wants text."""
    if not isinstance(given, str) or (wanted is not None and _is_text(wanted)):
        return given
    # Numbers, truth values, lists and tables come from a command line as text.
    try:
        return json.loads({"True": "true", "False": "false"}.get(given, given))
    except ValueError:
        return given


def _is_text(wanted: inspect.Parameter) -> bool:
    # Annotations are text themselves where a module puts off their evaluation.
    texts = (str, Optional[str], "str", "str | None", "Optional[str]")
    return isinstance(wanted.default, str) or wanted.annotation in texts


def _state(path: str) -> Mapping[str, Any]:
    """The weights in a checkpoint, which may lie beside other things."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found.get(key), Mapping):
            found = found[key]
    return found  # type: ignore[no-any-return]


def _picked(answer: Any, path: str) -> torch.Tensor:
    """The tensor at a path of keys, attributes and indices."""
    for key in filter(None, path.split(".")):
        below = _below(answer, key)
        if below is None:
            raise UnusableError(f"The network's answer has no {path}: {_shown(answer)}.")
        answer = below
    if not isinstance(answer, torch.Tensor):
        raise UnusableError(
            f"{path or 'What the network returns'} is no tensor but {_shown(answer)}. Name the "
            "embeddings in it by the option output."
        )
    return answer.float()


def _below(answer: Any, key: str) -> Any:
    """What is below a key, an index or an attribute; None if there is nothing."""
    if isinstance(answer, Mapping):
        return answer.get(key)
    if isinstance(answer, (list, tuple)) and key.lstrip("-").isdigit():
        return answer[int(key)] if -len(answer) <= int(key) < len(answer) else None
    return getattr(answer, key, None)


def _shown(answer: Any) -> str:
    """What an answer holds, in a few words."""
    kind = type(answer).__name__
    if isinstance(answer, Mapping):
        return f"a {kind} with {', '.join(map(str, answer))}"
    if isinstance(answer, (list, tuple)):
        return f"a {kind} of {len(answer)}"
    return f"a {kind}"


def _arranged(found: torch.Tensor, facts: Facts) -> torch.Tensor:
    """An answer as (n_clips, n_frames, size)."""
    axes = facts.axes.split()
    if found.ndim != len(axes):
        raise UnusableError(
            f"The network's answer has the shape {tuple(found.shape)}, and axes names {len(axes)}: "
            f"{facts.axes}."
        )
    for place, axis in enumerate(axes):
        if axis == "time" or axis in _GRIDS:
            found = found.narrow(place, facts.skip, found.shape[place] - facts.skip)
        if axis in _GRIDS:
            count = found.shape[place] // facts.rows
            if count * facts.rows != found.shape[place]:
                raise UnusableError(
                    f"{found.shape[place]} tokens of an axis can't be {facts.rows} frequencies "
                    "each at several times. Look at the options rows and skip."
                )
            sizes = {"time": count, "frequency": facts.rows}
            grid = [sizes[kind] for kind in axis.split("*")]
            found = found.reshape(*found.shape[:place], *grid, *found.shape[place + 1 :])
            axes[place : place + 1] = axis.split("*")
            break
    for place in reversed([i for i, axis in enumerate(axes) if axis == "one"]):
        if found.shape[place] != 1:
            raise UnusableError(
                f"Axis {place} of the shape {tuple(found.shape)} should have the length 1."
            )
        found = found.squeeze(place)
        del axes[place]
    if "frequency" in axes:
        found = found.mean(axes.index("frequency"))
        axes.remove("frequency")
    if "time" not in axes:
        found, axes = found.unsqueeze(0), ["time", *axes]
    return found.permute([axes.index(axis) for axis in ("clip", "time", "number")])
