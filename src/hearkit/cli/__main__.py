"""``python -m hearkit.cli``, the same as the console script."""

from __future__ import annotations

from hearkit.cli import main

if __name__ == "__main__":
    main()
