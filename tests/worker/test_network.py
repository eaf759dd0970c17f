"""Networks with no HEAR API: what is said of them decides what is made of their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hearbench.worker.errors import UnusableError
from hearbench.worker.network import Facts, Network, NetworkApi

RATE = 16000
HOP = 160


class Frames(torch.nn.Module):
    """The largest sample of every 10 ms, times a number that is learned, in many forms."""

    def __init__(self, form: str = "tensor", sizes: dict[str, int] | None = None) -> None:
        super().__init__()
        self.form, self.sizes = form, sizes or {}
        self.factor = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        self.lengths: list[int] = []

    def forward(self, audio: torch.Tensor) -> Any:
        if self.form == "channels":
            assert audio.ndim == 3
            audio = audio[:, 0]
        assert audio.ndim == 2
        self.lengths.append(audio.shape[1])
        count = audio.shape[1] // HOP
        peaks = audio[:, : count * HOP].reshape(-1, count, HOP).amax(2)
        found = peaks[:, :, None] * self.factor  # clip, time, number
        if self.form == "keys":
            return {"states": [None, (found,)], "pooled": found.amax(1)}
        if self.form == "channels":
            return found.mT  # clip, number, time
        if self.form == "layers":
            return found[None]
        if self.form == "clip":
            return found.amax(1)
        if self.form.startswith("grid"):
            # Three frequencies, a class token ahead.
            grid = torch.stack([found, 2 * found, 6 * found], 2)
            if self.form == "grid-frequency":
                grid = grid.transpose(1, 2)
            tokens = grid.flatten(1, 2)
            return torch.cat([torch.full_like(tokens[:, :1], 99.0), tokens], 1)
        return found

    def extract(self, audio: torch.Tensor) -> Any:
        return self(audio)

    def mixed(self, audio: torch.Tensor, lengths: torch.Tensor) -> Any:
        assert lengths.tolist() == [audio.shape[1]] * len(audio)
        return self(audio / audio.abs().max())


def loaded(form: str = "tensor", path: str = "", **facts: Any) -> Network:
    facts = {"first_ms": 0.0, **facts}
    network: Network = NetworkApi(Frames).load_model(path, form=form, **facts)
    network.network.lengths.clear()  # type: ignore[operator, union-attr]
    return network


def impulse(at_ms: float, duration_ms: float = 500) -> torch.Tensor:
    audio = torch.zeros(1, int(duration_ms * RATE / 1000))
    audio[0, int(at_ms * RATE / 1000)] = 1
    return audio


@pytest.mark.parametrize(
    ("form", "facts"),
    [
        ("tensor", {}),
        ("tensor", {"call": "extract"}),
        ("keys", {"output": "states.1.0"}),
        ("channels", {"channels": True, "axes": "clip number time"}),
        ("layers", {"axes": "one clip time number"}),
    ],
)
def test_every_form_gives_the_same_frames(form: str, facts: dict[str, Any]) -> None:
    model = loaded(form, hop_ms=10.0, first_ms=5.0, **facts)
    assert (model.sample_rate, model.timestamp_embedding_size, model.scene_embedding_size) == (
        RATE, 2, 2,
    )  # fmt: skip
    frames, centres = model.frames(impulse(123.0))
    assert frames.shape == (1, 50, 2)
    assert torch.equal(centres[0], torch.arange(50) * 10 + 5.0)
    assert frames[0].abs().sum(1).argmax() == 12
    assert frames[0, 12].tolist() == [1, 2]
    assert torch.allclose(model.scenes(impulse(123.0)), torch.tensor([[1 / 50, 2 / 50]]))


@pytest.mark.parametrize("axis", ["time*frequency", "frequency*time"])
def test_grids_of_patches_are_means_over_frequency(axis: str) -> None:
    form = "grid" if axis.startswith("time") else "grid-frequency"
    model = loaded(form, axes=f"clip {axis} number", rows=3, skip=1, hop_ms=10.0)
    frames, _ = model.frames(impulse(200.5))
    assert frames.shape == (1, 50, 2)
    assert frames[0, 20].tolist() == [3, 6]
    assert frames.abs().sum() == 9


def test_a_scene_may_be_another_part_of_the_answer() -> None:
    model = loaded("keys", output="states.1.0", scene_output="pooled")
    assert model.scenes(impulse(100)).tolist() == [[1, 2]]
    assert model.encoded(impulse(100)).shape == (1, 50, 2)


def test_frames_can_be_windows() -> None:
    model = loaded("clip", axes="clip number", hop_ms=50.0, window_ms=100.0)
    frames, centres = model.frames(torch.cat([impulse(210), impulse(0)]))
    assert frames.shape == (2, 10, 2)
    assert torch.equal(centres[0], torch.arange(10) * 50.0)
    # Within 50 ms of 200 and 250 ms.
    assert frames[0, :, 0].nonzero().flatten().tolist() == [4, 5]
    assert frames[1, :, 0].nonzero().flatten().tolist() == [0, 1]
    assert model.scenes(impulse(210)).tolist() == [[1, 2]]


def test_clips_that_must_not_be_mixed_go_through_alone() -> None:
    audio = torch.cat([impulse(100), impulse(200) * 4])
    together, alone = (
        loaded(call="mixed", lengths=True, hop_ms=10.0, alone=alone) for alone in (False, True)
    )
    assert together.scenes(audio)[0, 0] == pytest.approx(0.25 / 50)
    assert alone.scenes(audio)[:, 0].tolist() == pytest.approx([1 / 50, 1 / 50])
    assert alone.frames(audio)[0].shape == (2, 50, 2)


def test_long_audio_goes_through_in_parts() -> None:
    whole, parts = loaded(hop_ms=10.0), loaded(hop_ms=10.0, longest_s=0.2, shortest_ms=100.0)
    audio = torch.rand(2, 7000, generator=torch.Generator().manual_seed(1))
    frames, centres = parts.frames(audio)
    assert parts.network.lengths == [3200, 3200, 1600]
    assert torch.equal(frames[:, :43], whole.frames(audio)[0])
    # The last 600 samples fill three frames and a part of the fourth, which silence continues.
    assert frames.shape[1] == 44
    assert centres[0, -1] == 430


def test_short_audio_has_one_frame_at_least() -> None:
    model = loaded(hop_ms=10.0, first_ms=5.0, shortest_ms=20.0)
    frames, centres = model.frames(torch.ones(3, 33))
    assert frames.shape == (3, 1, 2)
    assert torch.equal(centres, torch.full((3, 1), 1.0))


def test_weights_of_a_file(tmp_path: Path) -> None:
    state = {"factor": torch.tensor([3.0, 4.0])}
    for content in (state, {"state_dict": state, "epoch": 3}, {"model": state}):
        torch.save(content, tmp_path / "weights.pt")
        model = loaded(path=str(tmp_path / "weights.pt"), hop_ms=10.0)
        assert model.frames(impulse(0))[0][0, 0].tolist() == [3, 4]


def at_a_rate(sample_rate: int) -> Frames:
    made = Frames()
    made.rate = sample_rate  # type: ignore[assignment]
    return made


def test_the_function_may_want_the_rate() -> None:
    assert NetworkApi(at_a_rate).load_model(sample_rate=22050).network.rate == 22050


def from_file(path: str, form: str) -> Frames:
    made = Frames(form)
    made.load_state_dict(torch.load(path))
    return made


def test_weights_that_the_function_reads(tmp_path: Path) -> None:
    torch.save({"factor": torch.tensor([3.0, 4.0])}, tmp_path / "weights.pt")
    api = NetworkApi(from_file)
    path = str(tmp_path / "weights.pt")
    model = api.load_model(path, weights_as="path", form="tensor", hop_ms=10.0, first_ms=0.0)
    assert model.frames(impulse(0))[0][0, 0].tolist() == [3, 4]


def test_options_reach_the_function() -> None:
    api = NetworkApi(Frames)
    model = api.load_model(form="keys", sizes='{"a": 3}', output="states.1.0", sample_rate=8000)
    assert model.network.sizes == {"a": 3}
    assert model.sample_rate == 8000
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


class Holder:
    """What a package may wrap around its network."""

    def __init__(self) -> None:
        self.inner = Frames()


def test_the_network_may_be_a_part() -> None:
    model = NetworkApi(Holder).load_model(part="inner", hop_ms=10.0)
    assert isinstance(model.network, Frames)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"axes": "clip time"}, "axes is 'clip time'; it names each axis once"),
        ({"axes": "clip time time number"}, "names each axis once"),
        ({"axes": "clip tone number"}, "names each axis once"),
        ({"axes": "clip time*frequency number"}, "needs the number of its frequencies"),
        ({"window_ms": 10.0}, "window_ms needs hop_ms"),
        ({"axes": "clip number"}, "has the shape (1, 100, 2), and axes names 2"),
        ({"axes": "clip time*frequency number", "rows": 7}, "100 tokens of an axis can't be 7"),
        ({"axes": "clip one number"}, "Axis 1 of the shape (1, 100, 2)"),
        ({"form": "keys"}, "is no tensor but a dict with states, pooled"),
        ({"form": "keys", "output": "states.2"}, "has no states.2: a list of 2"),
        ({"form": "keys", "output": "state"}, "has no state: a dict with states, pooled"),
        ({"form": "keys", "output": "states.1.0.9x"}, "has no states.1.0.9x: a Tensor"),
    ],
)
def test_what_does_not_fit_is_said(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UnusableError) as caught:
        NetworkApi(Frames).load_model(**given)
    assert message in str(caught.value)


def test_no_network() -> None:
    with pytest.raises(UnusableError, match=r"Holder is no torch\.nn\.Module"):
        NetworkApi(Holder).load_model()


def test_frames_without_times() -> None:
    model = loaded(hop_ms=0.0)
    assert model.scenes(impulse(10)).shape == (1, 2)
    for one in (model, NetworkApi(Frames).load_model(), NetworkApi(Frames).load_model(hop_ms=10.0)):
        with pytest.raises(UnusableError, match="options hop_ms and first_ms"):
            one.frames(impulse(10))


def test_facts_in_samples() -> None:
    assert Facts(sample_rate=24000).samples(12.5) == 300


class Arguments(Frames):
    """Keeps what it was made with; what only passes through says nothing of its type."""

    def __init__(
        self, size: int = 0, version: str = "1", task: str | None = None, **more: Any
    ) -> None:
        super().__init__()
        self.given = {"size": size, "version": version, "task": task, **more}


def test_text_becomes_what_json_says_unless_text_is_wanted() -> None:
    network = NetworkApi(Arguments).load_model(
        "",
        size="48",
        version="2023",
        task="7",
        width="1.5",
        pretrained="false",
        trained="True",
        layers="[1, 2]",
        config='{"depth": 2}',
        kind="large",
        exact=3,
    )
    assert network.network.given == {
        "size": 48,
        "version": "2023",
        "task": "7",
        "width": 1.5,
        "pretrained": False,
        "trained": True,
        "layers": [1, 2],
        "config": {"depth": 2},
        "kind": "large",
        "exact": 3,
    }
