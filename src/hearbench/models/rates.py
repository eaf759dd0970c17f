"""The sample rates that a model may ask for."""

from __future__ import annotations

__all__ = ["HIGHEST_RATE", "LOWEST_RATE", "SAMPLE_RATES"]

# In Hz: those of the challenge's rules of 2021, and 32 kHz, which was added to them.
SAMPLE_RATES = (16000, 22050, 32000, 44100, 48000)
# Below, words can't be understood; above, no one records.
LOWEST_RATE, HIGHEST_RATE = 4000, 192000
