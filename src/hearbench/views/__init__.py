"""Ways to look at results beyond their scores.

Views read what a result's folder holds and need nothing else: no task, no model, no embeddings.
What draws and what transcribes are extras, ``plot`` and ``transcription``, imported when used.
"""
