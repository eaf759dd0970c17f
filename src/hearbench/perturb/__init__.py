"""Disturbances of audio clips: noise, reverberation, codecs and others, alone and in chains.

A perturbation is written as text: ``noise=10`` (dB), ``reverb=0.6+noise=pink:20`` for a chain,
``noise=20,10,0`` for several strengths, or the name of a set, as ``telephone``. What is random in
it, as the noise, is drawn anew for every clip, and is named by the task, the clip and the kind of
disturbance: the same on every machine and for every model. Clips keep their length.
"""

from hearbench.perturb.chain import ClipSource, Perturbation, parse_perturbations
from hearbench.perturb.step import PERTURB_FORMAT, Sound, Step

__all__ = [
    "PERTURB_FORMAT",
    "ClipSource",
    "Perturbation",
    "Sound",
    "Step",
    "parse_perturbations",
]
