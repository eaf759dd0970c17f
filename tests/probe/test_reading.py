"""Networks that read weighted sums of layers or of frames, against plain PyTorch modules."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence

import pytest
import torch
from plain_loop import plain_network
from torch import nn

from hearbench.probe import network, sliced_adam
from hearbench.probe.network import ProbeStack, Step
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import GridPoint
from hearbench.probe.reading import (
    Attention,
    Inputs,
    Piece,
    Reading,
    WeightedLayers,
    as_tensor,
)

N_LAYERS, SIZE, N_LABELS, BATCH = 3, 5, 4, 32
LENGTHS = [4, 9, 1, 6]


@dataclasses.dataclass(frozen=True)
class PaddedFrames:
    """Clips (clips, frames, size) of some lengths, in pieces of so many clips and frames."""

    x: torch.Tensor
    lengths: torch.Tensor
    clips: int = 1 << 30
    frames: int = 1 << 30

    def __len__(self) -> int:
        return len(self.x)

    def split(self, count: int) -> list[PaddedFrames]:
        parts = zip(torch.split(self.x, count), torch.split(self.lengths, count), strict=True)
        return [dataclasses.replace(self, x=x, lengths=lengths) for x, lengths in parts]

    def pieces(self) -> Iterator[Piece]:
        for every in torch.split(torch.arange(len(self)), self.clips):
            for first in range(0, int(self.lengths[every].max()), self.frames):
                clips = every[self.lengths[every] > first]
                lengths = (self.lengths[clips] - first).clamp(max=self.frames)
                x = self.x[clips, first : first + int(lengths.max())]
                yield Piece(clips, x, lengths)


class Plain(nn.Module):
    """A network that reads as one would first write it."""

    def __init__(self, reading: Reading, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body
        self.mix = nn.Parameter(torch.zeros(N_LAYERS))
        self.query = nn.Parameter(torch.zeros(SIZE))
        self._layers = isinstance(reading, WeightedLayers)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Of layers (batch, layers, size), or of frames (batch, frames, size)."""
        if self._layers:
            read = (torch.softmax(self.mix, 0)[:, None] * x).sum(dim=1)
        else:
            rows = []
            for clip, length in zip(x, lengths.tolist(), strict=True):
                frames = clip[:length]
                attention = torch.softmax(frames @ self.query / SIZE**0.5, dim=0)
                rows.append(attention @ frames)
            read = torch.stack(rows)
        logits: torch.Tensor = self.body(read)
        return logits

    def trained(self) -> list[nn.Parameter]:
        """All but biases before normalisation, whose gradient is zero but for rounding."""
        last = f"body.{len(self.body) - 1}."
        fixed = {
            f"body.{i}.bias" for i, module in enumerate(self.body) if isinstance(module, nn.Linear)
        }
        return [p for name, p in self.named_parameters() if name not in fixed or last in name]


def points(layers: int) -> list[GridPoint]:
    common = {"hidden_layers": layers, "hidden_dim": 16, "dropout": 0.0}
    return [
        GridPoint(lr=lr, initialization=init, **common)
        for lr, init in [(1e-2, "uniform"), (3e-3, "normal"), (1e-3, "uniform")]
    ]


def stack_of(
    layers: int,
    reading: Reading,
    which: Sequence[int] = (0, 1, 2),
    dtype: torch.dtype = torch.float32,
) -> ProbeStack:
    return ProbeStack(
        [points(layers)[i] for i in which],
        [(11, 22, 33)[i] for i in which],
        reading=reading,
        n_labels=N_LABELS,
        outputs=MULTICLASS,
        dtype=dtype,
    )


def plain_of(stack: ProbeStack, i: int) -> Plain:
    """A plain module with the same weights, statistics and biases."""
    point, weights = stack.points[i], stack.snapshot(i)
    body = plain_network(
        SIZE,
        N_LABELS,
        hidden_layers=point.hidden_layers,
        hidden_dim=point.hidden_dim,
        initialization=point.initialization,
        dropout=0.0,
    )
    linears = [m for m in body if isinstance(m, nn.Linear)]
    with torch.no_grad():
        for name, linear in zip([*range(point.hidden_layers), "out"], linears, strict=True):
            linear.weight.copy_(weights[f"weight_{name}"])
            linear.bias.copy_(weights[f"bias_{name}"])
    return Plain(stack.reading, body)


def pooled(query: torch.Tensor, frames: PaddedFrames) -> torch.Tensor:
    """Sums (clips, networks, size) of frames, of queries (networks, size)."""
    return Attention(torch.zeros(query.shape[1])).read({"query": query}, frames)


@pytest.fixture(params=["all at once", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to take a step, the second with matrices that are updated in several slices."""
    one_by_one = request.param == "one by one"
    monkeypatch.setattr(network, "_LARGE_NETWORK", 0 if one_by_one else 1 << 60)
    monkeypatch.setattr(sliced_adam, "_SLICE", 32)
    return str(request.param)


@dataclasses.dataclass(frozen=True)
class Case:
    """Batches as a plain module reads them, and as a stack does."""

    reading: Reading
    x: torch.Tensor
    lengths: torch.Tensor
    y: torch.Tensor
    held_out: torch.Tensor

    def given(self, x: torch.Tensor, lengths: torch.Tensor) -> Inputs:
        """A batch as a stack gets it."""
        if isinstance(self.reading, WeightedLayers):
            return x.flatten(1) - self.reading.offset
        return PaddedFrames(x - self.reading.offset, lengths, clips=7, frames=4)


def case_of(what: str, *, linear: bool = False) -> Case:
    generator = torch.Generator().manual_seed(5)
    rows = N_LAYERS if what == "weighted" else max(LENGTHS)
    x = torch.randn(6, BATCH, rows, SIZE, generator=generator) * 2
    # Layers are far from each other, so that what is subtracted depends on their weights.
    x += torch.arange(1.0, rows + 1)[:, None] if what == "weighted" else 3.0
    y = torch.randint(0, N_LABELS, (6, BATCH), generator=generator)
    lengths = torch.tensor(LENGTHS).repeat(BATCH // len(LENGTHS))
    mean = x.flatten(0, 1).mean(0)
    reading: Reading
    if what == "weighted":
        reading = WeightedLayers(mean.flatten(), N_LAYERS, linear=linear)
    else:
        reading = Attention(mean.mean(0))
    return Case(reading, x, lengths, y, torch.randn(BATCH, rows, SIZE, generator=generator) + 1)


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("what", ["weighted", "attentive"])
def test_training_equals_a_plain_module(what: str, layers: int, way: str) -> None:
    case = case_of(what, linear=layers == 0)
    stack = stack_of(layers, case.reading)
    modules = [plain_of(stack, i) for i in range(3)]
    for point, module in zip(stack.points, modules, strict=True):
        # The layers' weights learn a hundred times faster, or ten times without hidden layers.
        others = [p for p in module.trained() if p is not module.mix]
        lr = (100 if layers else 10) * point.lr
        optimizer = torch.optim.Adam(others, lr=point.lr)
        optimizer.add_param_group({"params": [module.mix], "lr": lr})
        for x, y in zip(case.x, case.y, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x, case.lengths), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        module.eval()
    stack.train_steps(
        Step(case.given(x, case.lengths), y) for x, y in zip(case.x, case.y, strict=True)
    )
    logits = stack.predict(case.given(case.held_out, case.lengths))
    for i, module in enumerate(modules):
        if isinstance(stack.reading, WeightedLayers):
            learned, plain = stack.reading.shares(stack.snapshot(i)), module.mix.softmax(dim=0)
            assert float((learned - 1 / N_LAYERS).abs().max()) > 0.01
        else:
            learned, plain = stack.snapshot(i)["query"], module.query
            assert float(learned.abs().max()) > 1e-3
        torch.testing.assert_close(learned, plain.detach(), rtol=1e-4, atol=1e-5)
        expected = module(case.held_out, case.lengths).detach()
        torch.testing.assert_close(logits[i].T, expected, rtol=1e-4, atol=1e-5)
        *_, weight, bias = module.body.parameters()
        for own, plain in (("weight_out", weight), ("bias_out", bias)):
            found = stack.snapshot(i)[own]
            torch.testing.assert_close(found, plain.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("what", ["weighted", "attentive"])
def test_a_network_learns_the_same_whoever_runs_beside_it(what: str, layers: int, way: str) -> None:
    case = case_of(what)
    together, alone = stack_of(layers, case.reading), stack_of(layers, case.reading, [1])
    for number, (x, y) in enumerate(zip(case.x, case.y, strict=True)):
        if number == 3:
            together.keep_only([1, 2])
        for stack in (together, alone):
            stack.train_steps([Step(case.given(x, case.lengths), y)])
    for name, tensor in alone.snapshot(0).items():
        torch.testing.assert_close(together.snapshot(0)[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("what", ["weighted", "attentive"])
def test_state_goes_on_bit_for_bit(what: str, way: str) -> None:
    case = case_of(what)
    steps = [Step(case.given(x, case.lengths), y) for x, y in zip(case.x, case.y, strict=True)]
    undisturbed, first, second = (stack_of(1, case.reading) for _ in range(3))
    undisturbed.train_steps(steps)
    first.train_steps(steps[:3])
    second.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    second.train_steps(steps[3:])
    for name, tensor in undisturbed.state().items():
        assert torch.equal(second.state()[name], tensor), name
    saved = copy.deepcopy(second.snapshot(2))
    x = case.given(case.held_out, case.lengths)
    before = second.predict(x)[2].clone()
    second.train_steps(steps)
    second.restore(2, saved)
    assert torch.equal(second.predict(x)[2], before)
    assert torch.equal(second.predict(x, [2])[0], before)


def test_layers_begin_with_equal_weights_and_frames_with_their_mean() -> None:
    case = case_of("weighted")
    stack = stack_of(1, case.reading)
    assert isinstance(stack.reading, WeightedLayers)
    expected = torch.full((N_LAYERS,), 1 / N_LAYERS)
    assert torch.equal(stack.reading.shares(stack.snapshot(0)), expected)
    frames = torch.randn(2, 6, SIZE, dtype=torch.float64)
    query = torch.zeros(1, SIZE, dtype=torch.float64)
    found = pooled(query, PaddedFrames(frames, torch.tensor([6, 2])))
    expected = torch.stack([frames[0].mean(0), frames[1, :2].mean(0)])
    torch.testing.assert_close(found[:, 0], expected)


@pytest.mark.parametrize(("clips", "frames"), [(4, 9), (1, 9), (4, 2), (3, 4)])
def test_the_gradient_of_attention_is_that_of_its_formula(clips: int, frames: int) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, 9, SIZE, generator=generator, dtype=torch.float64)
    query = torch.randn(2, SIZE, generator=generator, dtype=torch.float64, requires_grad=True)
    cut = PaddedFrames(x, torch.tensor(LENGTHS), clips=clips, frames=frames)
    assert torch.autograd.gradcheck(lambda q: pooled(q, cut), query)
    found = pooled(query, cut)
    for i, length in enumerate(LENGTHS):
        own = x[i, :length]
        attention = torch.softmax(query @ own.T / SIZE**0.5, dim=1)
        torch.testing.assert_close(found[i], attention @ own)


def test_attention_holds_for_large_scores() -> None:
    x = torch.tensor([[[1e4, 0.0], [2e4, 1.0], [-1e4, 2.0]]])
    query = torch.tensor([[1.0, 0.0]])
    for frames in (1, 2, 3):
        found = pooled(query, PaddedFrames(x, torch.tensor([3]), frames=frames))
        torch.testing.assert_close(found, torch.tensor([[[2e4, 1.0]]]))


def test_readings_want_what_they_read() -> None:
    frames = PaddedFrames(torch.zeros(1, 2, SIZE), torch.tensor([2]))
    with pytest.raises(TypeError, match="not their frames"):
        as_tensor(frames)
    with pytest.raises(TypeError, match="frames are needed"):
        Attention(torch.zeros(SIZE)).read({"query": torch.zeros(1, SIZE)}, torch.zeros(1, SIZE))


def test_bfloat16_products_learn_about_the_same() -> None:
    for what in ("weighted", "attentive"):
        case = case_of(what)
        learned = []
        for dtype in (torch.float32, torch.bfloat16):
            stack = stack_of(1, case.reading, dtype=dtype)
            for _ in range(5):
                for x, y in zip(case.x, case.y, strict=True):
                    given = case.given(x, case.lengths)
                    rounded = given.to(dtype) if isinstance(given, torch.Tensor) else given
                    stack.train_steps([Step(rounded, y)])
            learned.append(stack.snapshot(0)["mix" if what == "weighted" else "query"])
        assert float((learned[0] - learned[1]).abs().max()) < 0.03
        assert not torch.equal(*learned)
