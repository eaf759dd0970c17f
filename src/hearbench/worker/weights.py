"""The number of weights that a model has learned."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["weight_count"]


def weight_count(model: Any) -> int:
    """Counts the learned weights of a model.

    These are its parameters and what else of floating point its checkpoint holds, such as the
    stored statistics of a normalisation. Windows, filters and random matrices are not in a
    checkpoint (a buffer that isn't persistent, a variable that isn't trainable). Where a model
    keeps its weights in another form than they were learned in, it says ``n_weights`` itself.
    """
    own = getattr(model, "n_weights", None)
    if isinstance(own, int):
        return own
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        state = model.state_dict().values()
        tensors = [item for item in state if isinstance(item, torch.Tensor)]
        return sum(int(item.numel()) for item in tensors if item.is_floating_point())
    count = 0
    for variable in getattr(model, "trainable_variables", ()):
        size = 1
        for length in variable.shape:
            size *= int(length)
        count += size
    return count
