"""A training on a device that has shapes and no numbers: PyTorch's ``meta``.

It takes the way of a GPU. Fetching a number from it is an error, as there is none, so what passes
here never waits for the device; and every operation is seen with the devices of its tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hearbench.probe.network import Dropout, ProbeStack, Step
from hearbench.probe.outputs import MULTICLASS, MULTILABEL, Outputs, Standardised
from hearbench.probe.protocol import GridPoint
from hearbench.probe.reading import Attention, Inputs, Piece, Reading, WeightedLayers

META = torch.device("meta")
BATCH, SIZE, LABELS, LAYERS = 32, 24, 5, 3
NUMBERS = Standardised(np.zeros(LABELS), np.ones(LABELS))


class Seen(TorchDispatchMode):
    """Operations by name, once their tensors were found to lie on one device.

    Attributes:
        copies: Copies from one device to another.
        launches: Operations on the device that compute something.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.copies = 0
        self.launches: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> object:
        found = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, found)) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in tensors}
        if len(devices) > 1:
            assert func._schema.name in {"aten::_to_copy", "aten::copy_"}, f"{func} of {devices}"
            self.copies += 1
        if func is torch.ops.aten._fused_adam_.default:
            _check_fused(args)
        if META.type in devices and not func.is_view:
            self.launches[func._schema.name] += 1
        return found


def _check_fused(args: Any) -> None:
    """What CUDA's function demands and a CPU's doesn't: alike and dense; steps beside them."""
    for weight, *others in zip(*args[:4], strict=True):
        assert weight.dtype == torch.float32
        assert weight.is_contiguous()
        for other in others:
            assert (other.dtype, other.shape) == (weight.dtype, weight.shape)
            assert other.stride() == weight.stride()
    for step in args[5]:
        assert (step.device, step.dtype, step.ndim) == (META, torch.float32, 0)


class Clips:
    """A batch of clips as frames, in two pieces."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def split(self, count: int) -> list[Clips]:
        return [Clips(min(count, self.count - i)) for i in range(0, self.count, count)]

    def pieces(self) -> Iterator[Piece]:
        for part in np.array_split(np.arange(self.count), 2):
            clips = torch.empty(len(part), dtype=torch.long, device=META)
            x = torch.empty(len(part), 7, SIZE, device=META)
            yield Piece(clips, x, torch.empty_like(clips))


@pytest.fixture(autouse=True)
def _generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators of the CPU, as this device has none."""

    class Here(torch.Generator):
        def __new__(cls, *_: Any) -> Here:
            return super().__new__(cls)

    monkeypatch.setattr(torch, "Generator", Here)


def reading_of(kind: str) -> Reading:
    if kind == "layers":
        return WeightedLayers(torch.zeros(LAYERS * SIZE, device=META), LAYERS)
    offset = torch.zeros(SIZE, device=META)
    return Attention(offset) if kind == "frames" else Reading(offset)


def inputs_of(kind: str, dtype: torch.dtype) -> Inputs:
    if kind == "frames":
        return Clips(BATCH)
    return torch.empty(BATCH, (LAYERS if kind == "layers" else 1) * SIZE, dtype=dtype, device=META)


def labels_of(outputs: Outputs) -> torch.Tensor:
    if outputs is MULTICLASS:
        return torch.empty(BATCH, dtype=torch.long, device=META)
    return torch.empty(BATCH, LABELS, device=META)


def stack_of(
    kind: str, layers: int, outputs: Outputs, dtype: torch.dtype, count: int = 3
) -> ProbeStack:
    return ProbeStack(
        [
            GridPoint(hidden_layers=layers, hidden_dim=16, lr=1e-3 * (i + 1), dropout=0.1)
            for i in range(count)
        ],
        range(count),
        reading=reading_of(kind),
        n_labels=LABELS,
        outputs=outputs,
        dtype=dtype,
    )


def steps_of(
    stack: ProbeStack, kind: str, outputs: Outputs, dtype: torch.dtype, count: int
) -> Iterator[Step]:
    """So many steps, of the same batch, with dropout."""
    x, y = inputs_of(kind, dtype), labels_of(outputs)
    dropout = Dropout(stack.dropout, 1, dtype, META)
    for i in range(count):
        masks = dropout.masks(i, stack.layers, stack.width, BATCH)
        yield Step(x, y, [(0, len(stack), masks)] if masks else [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("outputs", [MULTICLASS, MULTILABEL, NUMBERS], ids=["class", "tag", "r2"])
@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("kind", ["clips", "layers", "frames"])
def test_a_step_stays_on_the_device_and_never_waits_for_it(
    kind: str, layers: int, outputs: Outputs, dtype: torch.dtype
) -> None:
    dtype = dtype if layers else torch.float32
    stack = stack_of(kind, layers, outputs, dtype)
    seen = []
    for count in (1, 3):
        with Seen() as one:
            stack.train_steps(steps_of(stack, kind, outputs, dtype, count))
        seen.append(one)
    assert seen[0].copies == seen[1].copies == 0
    launches = seen[0].launches
    assert launches["aten::_fused_adam_"] == len(stack)
    assert launches["aten::native_batch_norm"] == layers
    for name in ("aten::_fused_adam_", "aten::native_batch_norm", "aten::mm", "aten::bmm"):
        assert seen[1].launches[name] == 3 * launches[name]


def test_more_networks_are_no_more_launches_but_for_adams() -> None:
    launches = []
    for count in (1, 5):
        stack = stack_of("clips", 2, MULTICLASS, torch.bfloat16, count)
        with Seen() as seen:
            stack.train_steps(steps_of(stack, "clips", MULTICLASS, torch.bfloat16, 1))
        assert seen.launches.pop("aten::_fused_adam_") == count
        launches.append(seen.launches)
    # Labels that several networks share are laid out once more.
    assert sum((launches[1] - launches[0]).values()) <= 1
    assert 30 < sum(launches[0].values()) < 80


@pytest.mark.parametrize("kind", ["clips", "layers", "frames"])
def test_a_prediction_is_fetched_by_who_asks_for_it(kind: str) -> None:
    stack = stack_of(kind, 2, MULTICLASS, torch.bfloat16)
    x = inputs_of(kind, torch.float32)
    with Seen() as seen:
        logits = stack.predict(x)
        stack.losses(logits, labels_of(MULTICLASS))
        stack.snapshot(1)
        assert seen.copies == 0
    assert logits.shape == (3, LABELS, BATCH)
    assert stack.predict(x, [0, 2]).shape == (2, LABELS, BATCH)
    with pytest.raises(NotImplementedError):  # or the above would say nothing
        logits.cpu()


def test_networks_that_stay_keep_their_count_of_steps_on_the_device() -> None:
    stack = stack_of("clips", 1, MULTICLASS, torch.float32)
    stack.train_steps(steps_of(stack, "clips", MULTICLASS, torch.float32, 1))
    state = {name: torch.zeros(x.shape) for name, x in stack.state().items()}
    stack.load_state(state)
    with Seen() as seen:
        stack.train_steps(steps_of(stack, "clips", MULTICLASS, torch.float32, 1))
    assert seen.launches["aten::_fused_adam_"] == 3
    assert seen.copies == 0
