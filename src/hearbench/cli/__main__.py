"""``python -m hearbench.cli``, the same as the console script."""

from __future__ import annotations

from hearbench.cli import main

if __name__ == "__main__":
    main()
