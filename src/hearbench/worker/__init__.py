"""Code that runs beside a model, also in an interpreter that has no hearbench.

The package is sent as it is into a model's own environment, under the name ``hearbench_worker``,
and hearbench uses the same code for models in its own process. So it runs on Python 3.7 and later,
imports nothing but the standard library, numpy and the model's framework, and itself only
relatively.
"""
