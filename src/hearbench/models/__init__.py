"""HEAR-API models: how they are loaded and called, and the baselines.

A model is any module with the three functions of the common API, ``load_model``,
``get_scene_embeddings`` and ``get_timestamp_embeddings``; the baselines here are such modules
themselves, and import nothing from the rest of hearbench but ``hearbench.errors``.
"""

from __future__ import annotations

__all__: list[str] = []
