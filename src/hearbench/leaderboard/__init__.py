"""The official table of the benchmark, one's own results beside it, and its site."""
