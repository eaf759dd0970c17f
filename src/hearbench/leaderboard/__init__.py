"""The official table of the benchmark, a user's results beside it, and its site."""
