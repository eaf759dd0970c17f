r"""Several models on several tasks, as one table of their first scores.

For instance, after `hearbench demo --tasks-only`:

    python examples/compare_models.py demo-out/my_model.py hearbench.models.naive \
        --tasks demo-out/tasks/strokes-1.0.0-demo demo-out/tasks/layers-1.0.0-demo
"""

from __future__ import annotations

import argparse

import hearbench


def main() -> None:
    """Prints a row per model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--protocol", default="faster")
    options = parser.parse_args()

    tasks = [hearbench.load_task(path) for path in options.tasks]
    print("\t".join(["model", *(task.metadata.task_name for task in tasks)]))
    for spec in options.models:
        model = hearbench.load_model(spec)
        cells = [model.name]
        for task in tasks:
            # What has been computed before, by any program, is found in the cache.
            store = hearbench.embed(model, task)
            result = hearbench.score(hearbench.fit_probe(store, protocol=options.protocol))
            cells.append(f"{result.primary.mean:.3f}")
        print("\t".join(cells))


if __name__ == "__main__":
    main()
