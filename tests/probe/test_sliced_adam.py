"""Adam in slices against PyTorch's own on whole tensors."""

import pytest
import torch

from hearbench.probe import sliced_adam
from hearbench.probe.sliced_adam import Learnt, adam_step, update


def test_a_step_is_pytorchs_own_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator) for shape in ((37, 19), (64, 16), (5,))]
    expected = [weight.clone().requires_grad_() for weight in weights]
    optimiser = torch.optim.Adam(expected, lr=3e-3, fused=True)
    firsts, seconds = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step in range(1, 6):
        gradients = [torch.randn(weight.shape, generator=generator) for weight in weights]
        adam_step(weights, gradients, firsts, seconds, lr=3e-3, step=torch.tensor(float(step)))
        for tensor, gradient in zip(expected, gradients, strict=True):
            tensor.grad = gradient
        optimiser.step()
    for weight, tensor in zip(weights, expected, strict=True):
        assert torch.equal(weight, tensor.detach())


@pytest.mark.parametrize("shape", [(37, 19), (64, 16), (5,), (3, 1000)])
def test_slices_give_the_same_as_the_whole(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliced_adam, "_SLICE", 64)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    expected = weight.clone().requires_grad_()
    optimiser = torch.optim.Adam([expected], lr=3e-3)
    first, second = torch.zeros(shape), torch.zeros(shape)
    rounded = torch.zeros(shape, dtype=torch.bfloat16)
    for steps in range(5):
        gradient = torch.randn(shape, generator=generator).bfloat16()
        seen: list[int] = []
        old = weight.clone()

        def before(start: int, stop: int, seen: list[int] = seen, old: torch.Tensor = old) -> None:
            seen.extend(range(start, stop))
            assert torch.equal(weight[start:stop], old[start:stop])

        update([Learnt(weight, first, second, gradient, rounded, before)], lr=3e-3, steps=steps)
        expected.grad = gradient.float()
        optimiser.step()
        assert seen == list(range(shape[0]))
    torch.testing.assert_close(weight, expected.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(rounded, weight.bfloat16())
