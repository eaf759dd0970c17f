"""Where the probe's random numbers come from: named streams, no global state.

Every number is drawn from a stream that is named by what it is for (the run's seed, the fold,
the grid point or the step), never from a generator that others advance. So a grid point draws
the same numbers whichever others run beside it, and a run that is resumed in the middle needs
no generator's state.
"""

from __future__ import annotations

import numpy as np
import torch

from hearbench.digest import digest_json

__all__ = ["Dropout", "stream_seed"]

_LEVELS = 1 << 16


def stream_seed(*name: str | int | float) -> int:
    """A seed below 2**63 for the stream of that name."""
    return int(digest_json(list(name))[:16], 16) >> 1


class Dropout:
    """Which units are kept, per step and layer.

    All networks of a stack drop the same units in the same step: each still drops every unit
    independently with the right probability, comparing them is less noisy, and the cost of
    drawing, which would rival that of the products, is shared.

    Args:
        rate: Share that is dropped, to within 2**-17.
        seed: Names the stream.
        dtype: Type of the masks.
        device: Device of the masks; a GPU draws its own.
    """

    def __init__(self, rate: float, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self._dropped_levels = round(rate * _LEVELS)
        self._seed = seed
        self._dtype = dtype
        self._device = device

    def masks(self, step: int, layers: int, units: int, batch: int) -> list[torch.Tensor]:
        """Per hidden layer, (units, batch) of 0 and 1; an empty list if nothing is dropped."""
        if self._dropped_levels == 0:
            return []
        return [self._mask(step, layer, units, batch) for layer in range(layers)]

    def _mask(self, step: int, layer: int, units: int, batch: int) -> torch.Tensor:
        # Integers below 2**16, as signed ones because PyTorch compares those everywhere.
        threshold = self._dropped_levels - _LEVELS // 2
        if self._device.type == "cpu":
            bits = np.random.SFC64([self._seed, step, layer])
            drawn = bits.random_raw(-(-units * batch // 4)).view(np.int16)
            level = torch.from_numpy(drawn[: units * batch]).view(units, batch)
        else:
            generator = torch.Generator(self._device)
            generator.manual_seed(stream_seed(self._seed, step, layer))
            level = torch.randint(
                -(_LEVELS // 2),
                _LEVELS // 2,
                (units, batch),
                dtype=torch.int16,
                generator=generator,
                device=self._device,
            )
        return (level >= threshold).to(self._dtype)
