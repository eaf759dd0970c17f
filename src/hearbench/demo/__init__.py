"""The demo's content: small synthesised tasks, and a model to start from."""

from __future__ import annotations

from hearbench.demo.tasks import (
    DEMO_EVENT_CLIP,
    DEMO_GRID_POINTS,
    DEMO_ONLY,
    DEMO_PROTOCOL,
    DEMO_TASKS,
    make_demo_tasks,
    write_starter_model,
)

__all__ = [
    "DEMO_EVENT_CLIP",
    "DEMO_GRID_POINTS",
    "DEMO_ONLY",
    "DEMO_PROTOCOL",
    "DEMO_TASKS",
    "make_demo_tasks",
    "write_starter_model",
]
