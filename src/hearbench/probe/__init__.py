"""The probe: shallow networks on frozen embeddings, chosen on validation, scored on test."""

from __future__ import annotations
