"""Spreading an evaluation over processes and machines.

Work elsewhere only fills the shared cache: audio at a model's rate, shards of embeddings,
finished trainings. The evaluation that runs afterwards finds all of it there, so its results are
those of an evaluation that did everything itself.
"""
