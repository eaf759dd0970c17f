"""Where the time of evaluations went: figures from results, and a page that shows them.

``summary`` reads results, ``page`` makes one HTML file of them, ``format`` writes numbers as text.
"""
