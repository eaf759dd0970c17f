"""Evaluating models on tasks: what is kept, what is made, in which order, and what comes of it.

`hearbench.evaluate` is the way in. A `Job` is a model on a task, with the set-ups that are to be
made of its embeddings. `workflow` puts the steps of a job in order, and an executor of
`hearbench.execution` runs them, in this process or elsewhere.
"""

from __future__ import annotations

__all__ = ["DEFAULT_REPEATS"]

DEFAULT_REPEATS = 5
"""How often parts of the training clips are drawn, unless told otherwise."""
