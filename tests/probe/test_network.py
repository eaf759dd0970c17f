"""The stacked networks against plain PyTorch modules, number by number."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from plain_loop import plain_network
from torch import nn

from hearbench.probe import network, sliced_adam
from hearbench.probe.network import Dropped, ProbeStack, Step
from hearbench.probe.outputs import MULTICLASS, MULTILABEL
from hearbench.probe.protocol import GridPoint
from hearbench.probe.reading import Reading

N_FEATURES, N_LABELS, BATCH = 7, 4, 32


@pytest.fixture(autouse=True, params=["all at once", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to take a step, the second with matrices that are updated in several slices."""
    one_by_one = request.param == "one by one"
    monkeypatch.setattr(network, "_LARGE_NETWORK", 0 if one_by_one else 1 << 60)
    monkeypatch.setattr(sliced_adam, "_SLICE", 32)


def points(layers: int, dropout: float = 0.0) -> list[GridPoint]:
    common = {"hidden_layers": layers, "hidden_dim": 16, "dropout": dropout}
    return [
        GridPoint(lr=lr, initialization=init, **common)
        for lr, init in [(1e-2, "uniform"), (3e-3, "normal"), (1e-3, "uniform")]
    ]


def stack_of(layers: int, offset: torch.Tensor, multilabel: bool = False) -> ProbeStack:
    return ProbeStack(
        points(layers),
        [11, 22, 33],
        reading=Reading(offset),
        n_labels=N_LABELS,
        outputs=MULTILABEL if multilabel else MULTICLASS,
        dtype=torch.float32,
    )


def as_module(stack: ProbeStack, i: int) -> nn.Sequential:
    """A plain module with the same weights, statistics and biases."""
    point, weights = stack.points[i], stack.snapshot(i)
    module = plain_network(
        N_FEATURES,
        N_LABELS,
        hidden_layers=point.hidden_layers,
        hidden_dim=point.hidden_dim,
        initialization=point.initialization,
        dropout=point.dropout,
    )
    linears = [m for m in module if isinstance(m, nn.Linear)]
    norms = [m for m in module if isinstance(m, nn.BatchNorm1d)]
    with torch.no_grad():
        for name, linear in zip([*range(point.hidden_layers), "out"], linears, strict=True):
            linear.weight.copy_(weights[f"weight_{name}"])
            linear.bias.copy_(weights[f"bias_{name}"])
        for layer, norm in enumerate(norms):
            norm.register_buffer("running_mean", weights[f"mean_{layer}"])
            norm.register_buffer("running_var", weights[f"variance_{layer}"])
    return module


def forward(stack: ProbeStack, x: torch.Tensor, dropped: Sequence[Dropped] = ()) -> torch.Tensor:
    """Logits in training."""
    return stack._forward(stack._trained, stack._running, x, dropped)


def loss_of(module: nn.Module, x: torch.Tensor, y: torch.Tensor, multilabel: bool) -> torch.Tensor:
    if multilabel:
        return nn.functional.binary_cross_entropy_with_logits(module(x), y)
    return nn.functional.cross_entropy(module(x), y)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_training_equals_a_plain_module(layers: int, multilabel: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(6, BATCH, N_FEATURES, generator=generator) * 2 + 3
    if multilabel:
        y = (torch.rand(6, BATCH, N_LABELS, generator=generator) < 0.3).float()
    else:
        y = torch.randint(0, N_LABELS, (6, BATCH), generator=generator)
    offset = x.flatten(0, 1).mean(0)
    stack = stack_of(layers, offset, multilabel)
    modules = [as_module(stack, i) for i in range(3)]
    for i, module in enumerate(modules):
        # The mathematical gradient of a bias before normalisation is zero; what PyTorch
        # computes is rounding noise, which Adam blows up to whole steps. Not trained here.
        trained = [
            p
            for name, p in module.named_parameters()
            if not (
                name.endswith("bias") and isinstance(module[int(name.split(".")[0])], nn.Linear)
            )
            or name.startswith(str(len(module) - 1))
        ]
        optimizer = torch.optim.Adam(trained, lr=stack.points[i].lr)
        for batch_x, batch_y in zip(x, y, strict=True):
            optimizer.zero_grad()
            loss_of(module, batch_x, batch_y, multilabel).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        module.eval()
    for batch_x, batch_y in zip(x, y, strict=True):
        stack.train_steps([Step(batch_x - offset, batch_y)])
    held_out = torch.randn(9, N_FEATURES, generator=generator)
    logits = stack.predict(held_out - offset)
    for i, module in enumerate(modules):
        expected = module(held_out).detach()
        torch.testing.assert_close(logits[i].T, expected, rtol=2e-4, atol=2e-4)


def test_dropout_drops_and_scales_as_pytorch_does() -> None:
    point = GridPoint(hidden_layers=1, hidden_dim=16, dropout=0.25)
    stack = ProbeStack(
        [point],
        [1],
        reading=Reading(torch.zeros(N_FEATURES)),
        n_labels=N_LABELS,
        outputs=MULTICLASS,
        dtype=torch.float32,
    )
    module = as_module(stack, 0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, N_FEATURES, generator=generator)
    keep = (torch.rand(16, BATCH, generator=generator) >= 0.25).float()
    logits = forward(stack, x, [(0, 1, [keep])])[0]
    linear, norm, _, relu, out = module
    expected = out(relu(norm(linear(x)) * keep.T / 0.75))
    torch.testing.assert_close(logits.T, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_network_learns_the_same_whoever_runs_beside_it(layers: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, BATCH, N_FEATURES, generator=generator)
    y = torch.randint(0, N_LABELS, (8, BATCH), generator=generator)
    offset = torch.zeros(N_FEATURES)
    together = stack_of(layers, offset)
    alone = ProbeStack(
        points(layers)[1:2], [22], reading=Reading(offset), n_labels=N_LABELS, outputs=MULTICLASS,
        dtype=torch.float32,
    )  # fmt: skip
    for step, (batch_x, batch_y) in enumerate(zip(x, y, strict=True)):
        if step == 4:
            together.keep_only([1, 2])
        together.train_steps([Step(batch_x, batch_y)])
        alone.train_steps([Step(batch_x, batch_y)])
    position = 0
    for name, tensor in alone.snapshot(0).items():
        torch.testing.assert_close(together.snapshot(position)[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_by_one_is_the_same_as_all_at_once(
    dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(9, BATCH, N_FEATURES, generator=generator).to(dtype)
    y = torch.randint(0, N_LABELS, (9, BATCH), generator=generator)
    keep = (torch.rand(9, 2, 2, 16, BATCH, generator=generator) >= 0.25).to(dtype)
    steps = [
        Step(x[i], y[i], [(0, 2, list(keep[i][0])), (2, 3, list(keep[i][1]))]) for i in range(6)
    ]
    steps += [
        Step(x[i], y[i], [(0, 1, list(keep[i][0])), (1, 2, list(keep[i][1]))]) for i in range(6, 9)
    ]
    states = []
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for large in (0, 1 << 60):
        monkeypatch.setattr(network, "_LARGE_NETWORK", large)
        stack = ProbeStack(
            points(2, dropout=0.25),
            [1, 2, 3],
            reading=Reading(torch.full((N_FEATURES,), 0.5)),
            n_labels=N_LABELS,
            outputs=MULTICLASS,
            dtype=dtype,
        )
        stack.train_steps(iter(steps[:6]))
        stack.keep_only([0, 2])
        stack.train_steps(iter(steps[6:]))
        states.append(stack.state())
    monkeypatch.undo()
    torch.set_num_threads(before)
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert states[0]["step"].tolist() == [9.0, 9.0]


def test_state_goes_on_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(6, BATCH, N_FEATURES, generator=generator)
    y = torch.randint(0, N_LABELS, (6, BATCH), generator=generator)
    offset = torch.zeros(N_FEATURES)
    undisturbed, first, second = (stack_of(2, offset) for _ in range(3))
    for i in range(6):
        undisturbed.train_steps([Step(x[i], y[i])])
    for i in range(3):
        first.train_steps([Step(x[i], y[i])])
    second.load_state({k: v.clone() for k, v in first.state().items()})
    for i in range(3, 6):
        second.train_steps([Step(x[i], y[i])])
    for name, tensor in undisturbed.state().items():
        assert torch.equal(second.state()[name], tensor), name


def test_a_snapshot_is_restored_and_independent() -> None:
    stack = stack_of(1, torch.zeros(N_FEATURES))
    x = torch.randn(BATCH, N_FEATURES, generator=torch.Generator().manual_seed(3))
    before, saved = stack.predict(x)[1].clone(), copy.deepcopy(stack.snapshot(1))
    stack.train_steps([Step(x, torch.zeros(BATCH, dtype=torch.long))])
    assert not torch.equal(stack.predict(x)[1], before)
    stack.restore(1, saved)
    assert torch.equal(stack.predict(x)[1], before)


def test_initial_weights_have_xaviers_spread() -> None:
    wide = [
        GridPoint(hidden_layers=2, hidden_dim=512, initialization=i) for i in ("uniform", "normal")
    ]
    stack = ProbeStack(
        wide,
        [1, 2],
        reading=Reading(torch.zeros(300)),
        n_labels=40,
        outputs=MULTICLASS,
        dtype=torch.float32,
    )
    for i in range(2):
        weights = stack.snapshot(i)
        expected = {"0": (300, 512, 1.0), "1": (512, 512, 2**0.5), "out": (512, 40, 2**0.5)}
        for name, (n_in, n_out, gain) in expected.items():
            deviation = gain * np.sqrt(2 / (n_in + n_out))
            assert float(weights[f"weight_{name}"].std()) == pytest.approx(deviation, rel=0.02)
            bias = weights[f"bias_{name}"]
            assert float(bias.abs().max()) <= 1 / np.sqrt(n_in)
    limit = np.sqrt(6 / 812)
    assert float(stack.snapshot(0)["weight_0"].abs().max()) <= limit
    assert float(stack.snapshot(1)["weight_0"].abs().max()) > limit


def test_bfloat16_products_stay_close_to_float32() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(BATCH, N_FEATURES, generator=generator)
    y = torch.randint(0, N_LABELS, (BATCH,), generator=generator)
    exact, rounded = (
        ProbeStack(
            points(2),
            [1, 2, 3],
            reading=Reading(torch.zeros(N_FEATURES)),
            n_labels=N_LABELS,
            outputs=MULTICLASS,
            dtype=dtype,
        )
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert all(t.dtype == torch.float32 for t in rounded.state().values())
    with torch.no_grad():
        difference = forward(exact, x) - forward(rounded, x.bfloat16())
    assert 0 < float(difference.abs().max()) < 0.1
    for _ in range(20):
        exact.train_steps([Step(x, y)])
        rounded.train_steps([Step(x.bfloat16(), y)])
    learned, expected = (s.losses(s.predict(x), y) for s in (rounded, exact))
    assert float(expected.min()) < 0.5 * np.log(N_LABELS)
    torch.testing.assert_close(learned, expected, rtol=0.05, atol=0.02)


def test_points_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        ProbeStack(
            [GridPoint(hidden_layers=1), GridPoint(hidden_layers=2)],
            [1, 2],
            reading=Reading(torch.zeros(3)),
            n_labels=2,
            outputs=MULTICLASS,
            dtype=torch.float32,
        )
