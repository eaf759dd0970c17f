"""Pictures of results, and scores that only some results have.

Views need no model and no embeddings: events, comparisons and curves are drawn from results'
folders, and a task's data from its statistics. Music transcription scores need the extra
``transcription``.
"""
