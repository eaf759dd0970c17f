"""Where the time of evaluations went: from results to figures, and to a page that shows them.

``summary`` reads results, ``page`` makes one HTML file of them, ``format`` writes numbers as text.
"""
