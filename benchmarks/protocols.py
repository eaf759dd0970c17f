"""What each protocol does to scores, to the order of models, and to time.

    python benchmarks/protocols.py --task PATH ... --model MODEL ... [--protocol NAME ...]
                                   [--seeds 1] [--out study.jsonl]

Every model is evaluated on every task by every protocol. Printed are the scores, of several seeds
the mean with its 95 % interval (Student's t over seeds); per protocol the
mean difference to the first protocol and the rank correlation (Kendall's tau-b) with its order of
models, over all tasks; and the processor time of the probes, as a share of the first protocol's.
Processor time, since others may use the machine. ``--out`` keeps what is done, one line of JSON
each, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

from hearbench import ProbeSetup, load_model, load_task, score
from hearbench.embeddings.compute import finish_store
from hearbench.probe.fit import fit_probes
from hearbench.workspace import Workspace

PROTOCOLS = (
    "hear2021",
    "hear2021-shuffled",
    "hear2021-standardised",
    "linear",
    "knn",
    "racing",
)
Row = dict[str, Any]


def measured(
    tasks: Sequence[str],
    models: Sequence[str],
    protocols: Sequence[str],
    *,
    seeds: int,
    workspace: Workspace,
    done: Sequence[Row],
) -> Iterator[Row]:
    """Evaluations that aren't done yet, one after the other."""
    found = {(row["task"], row["model"], row["protocol"]) for row in done}
    for model_spec in models:
        spec, *pairs = model_spec.split(",")
        options: dict[str, Any] = dict(pair.split("=", 1) for pair in pairs)
        model = load_model(spec, workspace=workspace, **options)
        for place in tasks:
            task = load_task(place, workspace=workspace)
            left = [p for p in protocols if (task.name, model.name, p) not in found]
            if not left:
                continue
            for protocol in left:
                # Some protocols hand the model other batches.
                _, wanted = ProbeSetup.of(protocol).on(model, task.task_type, "float32")
                store = finish_store(model, task, wanted, workspace)
                # A cache of its own: what another protocol trained would take no time.
                own = Workspace(
                    cache_dir=workspace.cache_dir / "study" / protocol,
                    device=workspace.device,
                    workers=workspace.workers,
                )
                started = time.process_time()
                trained = fit_probes(
                    store, protocol, seeds=list(range(42, 42 + seeds)), workspace=own
                )
                seconds = time.process_time() - started
                results = [score(predictions) for predictions in trained]
                outcomes = [o for result in results for o in result.grid]
                yield {
                    "task": task.name,
                    "model": model.name,
                    "protocol": protocol,
                    "score": results[0].primary_score,
                    "maximise": results[0].primary.maximise,
                    "means": [result.primary.mean for result in results],
                    "cpu_s": seconds,
                    "grid_epochs": sum(outcome.epochs for outcome in outcomes),
                }


def read_rows(path: Path | None) -> list[Row]:
    """What was measured before."""
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def print_tables(rows: Sequence[Row], protocols: Sequence[str], console: Console) -> None:
    """Scores, and what each protocol does to them."""
    cells = {(row["task"], row["model"], row["protocol"]): row for row in rows}
    pairs = list(dict.fromkeys((row["task"], row["model"]) for row in rows))
    table = Table("task", "model", *protocols, title="scores")
    for task, model in pairs:
        found = [cells.get((task, model, protocol)) for protocol in protocols]
        table.add_row(task, model, *("" if row is None else _shown(row) for row in found))
    console.print(table)
    first = protocols[0]
    complete = [p for p in pairs if all((*p, name) in cells for name in protocols)]
    summary = Table(
        "protocol",
        "mean difference",
        "largest",
        "tau with the first's order",
        "processor time",
        "epochs of the grid",
        title=f"against {first}, over {len(complete)} pairs of task and model",
    )
    for protocol in protocols:
        differences = []
        for pair in complete:
            base, own = (cells[pair[0], pair[1], name] for name in (first, protocol))
            sign = 1 if base["maximise"] else -1
            differences.append(sign * (_mean(own) - _mean(base)))
        spent, epochs = (
            sum(cells[task, model, protocol][key] for task, model in complete)
            / max(1e-9, sum(cells[task, model, first][key] for task, model in complete))
            for key in ("cpu_s", "grid_epochs")
        )
        summary.add_row(
            protocol,
            f"{statistics.fmean(differences):+.4f}",
            f"{max(differences, key=abs):+.4f}",
            f"{_tau(cells, complete, first, protocol):.2f}",
            f"{spent:.2f}",
            f"{epochs:.2f}",
        )
    console.print(summary)


def _mean(row: Row) -> float:
    return statistics.fmean(row["means"])


def _shown(row: Row) -> str:
    """The mean over seeds, with its 95 % interval where there are several."""
    n = len(row["means"])
    if n == 1:
        return f"{_mean(row):.3f}"
    error = statistics.stdev(row["means"]) / math.sqrt(n)
    return f"{_mean(row):.3f} ± {stats.t.ppf(0.975, n - 1) * error:.3f}"


def _tau(
    cells: dict[tuple[str, str, str], Row],
    pairs: Sequence[tuple[str, str]],
    first: str,
    protocol: str,
) -> float:
    """The mean over tasks, those where it is defined, of the rank correlation of models."""
    taus = []
    for task in dict.fromkeys(task for task, _ in pairs):
        models = [model for other, model in pairs if other == task]
        one, two = (
            [_mean(cells[(task, model, name)]) for model in models] for name in (first, protocol)
        )
        tau = float(stats.kendalltau(one, two).statistic)
        # Undefined where a protocol gives all models the same.
        if not math.isnan(tau):
            taus.append(tau)
    return statistics.fmean(taus) if taus else math.nan


def main() -> None:
    """Runs the study and prints its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", nargs="+", required=True, help="prepared tasks, or their names")
    parser.add_argument("--model", nargs="+", required=True, help="SPEC, or SPEC,option=value")
    parser.add_argument("--protocol", nargs="+", default=list(PROTOCOLS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None, help="keeps what is done")
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    workspace = Workspace.from_environment(cache_dir=args.cache)
    console = Console(width=130)
    rows = read_rows(args.out)
    for row in measured(
        args.task, args.model, args.protocol, seeds=args.seeds, workspace=workspace, done=rows
    ):
        rows.append(row)
        console.print(
            f"{row['task']}, {row['model']}, {row['protocol']}: {_mean(row):.4f} "
            f"in {row['cpu_s']:.1f} s",
            highlight=False,
        )
        if args.out:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    print_tables(rows, args.protocol, console)


if __name__ == "__main__":
    main()
