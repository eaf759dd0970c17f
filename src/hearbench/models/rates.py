"""The sample rates that a HEAR model may ask for."""

from __future__ import annotations

__all__ = ["SAMPLE_RATES"]

# In Hz: those of the challenge's rules of 2021, and 32 kHz, which was added to them.
SAMPLE_RATES = (16000, 22050, 32000, 44100, 48000)
