"""From embeddings to test predictions: the grid on the first fold, its winner on the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hearbench.digest import digest_json, short
from hearbench.embeddings.store import EmbeddingStore
from hearbench.probe.fold_training import Plan, learn
from hearbench.probe.grid import GridResult
from hearbench.probe.kinds import TaskKind, kind_of
from hearbench.probe.layers import LayersRecord
from hearbench.probe.precision import resolve_precision
from hearbench.probe.predictions import FittedProbe, FoldPrediction
from hearbench.probe.protocol import DEFAULT_SEED, Protocol, get_protocol
from hearbench.probe.standardize import LARGE, SMALL
from hearbench.worker.memory import peak_resident_mb
from hearbench.workspace import Workspace

__all__ = ["PROBE_FORMAT", "fit_probe", "fit_probes", "plan_of", "work_folder"]

PROBE_FORMAT = 5
"""Raised whenever the numbers that a training gives change, so that none are mixed."""


def work_folder(
    store: EmbeddingStore,
    protocol: Protocol,
    *,
    seed: int,
    dtype: torch.dtype,
    device: str,
    workspace: Workspace,
) -> Path:
    """Where a probe keeps what it has finished; named by all that its result depends on."""
    task = store.task
    key = digest_json(
        {
            "format": PROBE_FORMAT,
            "embeddings": store.digest,
            "task": store.manifest.task.digest,
            "scores": task.metadata.evaluation,
            "on_loss": not task.metadata.use_scoring_for_early_stopping,
            "evaluation_params": task.metadata.evaluation_params,
            "protocol": protocol.model_dump(mode="json"),
            "seed": seed,
            "precision": str(dtype),
            "device": torch.device(device).type,
            "torch": torch.__version__,
        }
    )
    return workspace.path("probes", task.name, store.manifest.model.name, short(key))


def plan_of(
    store: EmbeddingStore,
    protocol: str | Protocol,
    *,
    seeds: Sequence[int],
    precision: str,
    workspace: Workspace,
    checkpoint_every_s: float = 30.0,
) -> Plan:
    """What the trainings of a probe share, and where each seed's are kept.

    Args:
        protocol: A protocol or its name.
        seeds: All different.
        precision: Precision of the matrix products, as for `fit_probe`.

    Raises:
        ProbeError: There is no such precision.
        UnknownNameError: There is no such protocol, or the task asks for an unknown score.
    """
    task = store.task
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    protocol = protocol.for_task(task.metadata.task_name, task.metadata.evaluation_params)
    device = workspace.torch_device()
    dtype = resolve_precision(precision, device)
    folders = {
        seed: work_folder(
            store, protocol, seed=seed, dtype=dtype, device=device, workspace=workspace
        )
        for seed in seeds
    }
    kind = kind_of(store, protocol, device=device, max_memory_bytes=workspace.memory_budget_bytes())
    n_folds = len(task.folds())
    return Plan(kind, protocol, folders, device, dtype, n_folds, None, checkpoint_every_s)


def fit_probe(
    store: EmbeddingStore,
    protocol: str | Protocol = "hear2021",
    *,
    seed: int = DEFAULT_SEED,
    precision: str = "auto",
    workspace: Workspace | None = None,
    checkpoint_every_s: float = 30.0,
) -> FittedProbe:
    """Learns probes on a store's embeddings and predicts every test split.

    The grid is searched on the first fold; the point with the best validation trains the
    others. What is finished is kept in the cache, and a training that was interrupted goes on
    from its last checkpoint; the result is the same, bit for bit.

    Args:
        protocol: A protocol or its name.
        seed: Seed for weight initialisation and dropout. The grid doesn't depend on it.
        precision: Precision of the matrix products during training: ``auto``, ``float32`` or
            ``bfloat16``.
        workspace: Cache, device, memory, and who shows progress; by default from the environment.

    Raises:
        ProbeError: The task is too small.
        EmbeddingError: The store is damaged.
        UnknownNameError: There is no such protocol, or the task asks for an unknown score.
    """
    (predictions,) = fit_probes(
        store,
        protocol,
        seeds=[seed],
        precision=precision,
        workspace=workspace,
        checkpoint_every_s=checkpoint_every_s,
    )
    return predictions


def fit_probes(
    store: EmbeddingStore,
    protocol: str | Protocol = "hear2021",
    *,
    seeds: Sequence[int],
    precision: str = "auto",
    workspace: Workspace | None = None,
    checkpoint_every_s: float = 30.0,
) -> tuple[FittedProbe, ...]:
    """As `fit_probe` with each of several seeds, whose networks are trained side by side.

    Each seed searches the grid on the first fold and trains the others with its own winner, so
    its predictions are those that it would give alone, but for rounding. What a seed has
    finished is kept by itself: asking for more of them later trains the new ones only. Of a store
    with other embeddings of the clips that are scored (`EmbeddingStore.tested_on`) these are what
    is predicted.

    Args:
        protocol: A protocol or its name.
        seeds: All different.
        precision: Precision of the matrix products, as for `fit_probe`.

    Returns:
        In the order of the seeds.

    Raises:
        ProbeError: The task is too small.
        EmbeddingError: The store is damaged.
        UnknownNameError: There is no such protocol, or the task asks for an unknown score.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different, and at least one, not {list(seeds)}")
    workspace = workspace or Workspace.from_environment()
    plan = plan_of(
        store,
        protocol,
        seeds=seeds,
        precision=precision,
        workspace=workspace,
        checkpoint_every_s=checkpoint_every_s,
    )
    protocol, device, kind = plan.protocol, plan.device, plan.kind
    asked = store.test or store
    tested = kind if store.test is None else dataclasses.replace(kind, store=store.test)
    points: dict[int, Sequence[int]] = {seed: range(len(protocol.grid)) for seed in seeds}
    grids: dict[int, tuple[GridResult, ...]] = {}
    predictions: dict[int, list[FoldPrediction]] = {s: [] for s in seeds}
    layer_weights: dict[int, dict[str, tuple[float, ...]]] = {s: {} for s in seeds}
    title = f"{store.task.name}: training probes ({protocol.name})"
    with workspace.progress.stage(title) as update:
        shown = dataclasses.replace(plan, update=update)
        for number, fold in enumerate(store.task.folds()):
            for seed, learned in learn(shown, number, fold, points).items():
                if number == 0:
                    grids[seed], points[seed] = learned.outcomes, [learned.best]
                if weights := kind.layer_weights(learned.chosen):
                    layer_weights[seed][fold.test] = weights
                predicted = tested.predict(
                    fold,
                    learned.chosen,
                    learned.outcomes[learned.best],
                    learned.seconds,
                    plan.folders[seed],
                )
                predictions[seed].append(
                    dataclasses.replace(
                        predicted,
                        peak_memory_mb=peak_resident_mb(),
                        peak_device_memory_mb=_peak_device_mb(device),
                        device_utilisation=learned.device_utilisation,
                    )
                )
    notes = _embedding_notes(tested)
    return tuple(
        FittedProbe(
            task=asked.task,
            embeddings=asked.manifest,
            embeddings_digest=asked.digest,
            embeddings_path=str(asked.folder),
            protocol=protocol,
            seed=seed,
            precision=str(plan.dtype).removeprefix("torch."),
            device=device,
            grid=grids[seed],
            chosen=points[seed][0],
            folds=tuple(predictions[seed]),
            notes=notes,
            layers=(
                LayersRecord(numbers=kind.layers, weights=layer_weights[seed])
                if kind.layers
                else None
            ),
        )
        for seed in seeds
    )


def _peak_device_mb(device: str) -> float | None:
    if not device.startswith("cuda"):
        return None
    return float(torch.cuda.max_memory_allocated(device)) / (1 << 20)


def _embedding_notes(kind: TaskKind) -> tuple[str, ...]:
    """Notes on test splits whose embeddings are all alike, or too large or small for a network."""
    what = kind.store.manifest.embedded.rows
    constant, largest = [], 0.0
    for split in dict.fromkeys(fold.test for fold in kind.task.folds()):
        first: npt.NDArray[np.float32] | None = None
        alike, count = True, 0
        for block in kind.blocks(split):
            first = block[:1] if first is None else first
            alike = alike and bool((block == first).all())
            count += len(block)
            largest = max(largest, float(block.max()), -float(block.min()))
        if alike and count > 1:
            constant.append(split)
    notes = []
    if constant:
        notes.append(
            f"All {what} of {', '.join(constant)} have the same embedding, so nothing is told "
            "apart: the scores are those of a guess."
        )
    trained = kind.protocol.networks and not kind.protocol.standardise
    if trained and largest and not SMALL < largest < LARGE:
        notes.append(
            f"The largest number in the embeddings is {largest:.1e}. Networks are trained in "
            "float32, in which squares of such numbers overflow or vanish, so the scores may say "
            "nothing of the model. Scale its embeddings, or use hear2021-standardised or knn."
        )
    return tuple(notes)
