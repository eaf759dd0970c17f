"""Bootstrap of ranking scores against a plain loop with scikit-learn.

    python benchmarks/bootstrap.py [--clips 10000] [--labels 200] [--resamples 10000]

The plain loop draws clips, repeats them, and calls scikit-learn's score; it is timed on a few
resamples and multiplied. Both get the same resamples there, and the scores must agree. Time is
wall-clock; beside it stands the processor time of all threads, which other work on the machine
moves less. The peak of memory is that of the whole process, so it is printed before the plain
loop, too.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

from hearbench.stats.clip_scores import scene_clip_score
from hearbench.stats.resampling import bootstrap, resamples, strata_of

SEED = 0
PLAIN = {"mAP": average_precision_score, "aucroc": roc_auc_score}
AIM_S = 60.0


def random_task(
    n_clips: int, n_labels: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """Probabilities and multi-hot targets: labels of 0.2 to 3 % of the clips, found by half."""
    rng = np.random.default_rng(SEED)
    targets = (rng.random((n_clips, n_labels)) < rng.uniform(0.002, 0.03, n_labels)).astype(np.int8)
    targets[rng.integers(0, n_clips, n_labels), np.arange(n_labels)] = 1
    logits = rng.normal(size=targets.shape) + 2 * targets - 4
    return (1 / (1 + np.exp(-logits))).astype(np.float32), targets


def plain_loop(
    name: str,
    probabilities: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int8],
    n_resamples: int,
) -> list[float]:
    """The obvious way."""
    found = []
    strata = strata_of(targets)
    for counts in resamples(len(targets), n_resamples, strata=strata, seed=SEED):
        for column in counts.T:
            index = np.repeat(np.arange(len(targets)), column.astype(np.int64))
            found.append(float(PLAIN[name](targets[index], probabilities[index], average="macro")))
    return found


def peak_mb() -> float:
    """Largest memory of this process so far, on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Runs all and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--plain", type=int, default=2, help="resamples of the plain loop")
    args = parser.parse_args()
    probabilities, targets = random_task(args.clips, args.labels)
    table = Table(
        title=f"{args.resamples} resamples of {args.clips} clips, {args.labels} labels "
        f"({100 * targets.mean():.1f} % positive)"
    )
    for column in ("score", "hearbench s", "CPU s", "memory MB", "plain loop s", "ratio", "aim s"):
        table.add_column(column, justify="left" if column == "score" else "right")
    before = peak_mb()
    for name in PLAIN:
        begun, begun_cpu = time.perf_counter(), time.process_time()
        score = scene_clip_score(name, probabilities, targets)
        found = bootstrap(
            [[score]], strata=[strata_of(targets)], n_resamples=args.resamples, seed=SEED
        )[0, 0]
        wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
        memory = peak_mb() - before
        begun = time.perf_counter()
        expected = plain_loop(name, probabilities, targets, args.plain)
        plain = (time.perf_counter() - begun) / args.plain * args.resamples
        if not np.allclose(found[: args.plain], expected, rtol=1e-9, atol=1e-12):
            raise ValueError(f"{name}: {found[: args.plain]} and {expected} differ")
        table.add_row(
            name,
            f"{wall:.1f}",
            f"{cpu:.1f}",
            f"{memory:.0f}",
            f"{plain:.0f}",
            f"{plain / wall:.0f}",
            f"{AIM_S:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
