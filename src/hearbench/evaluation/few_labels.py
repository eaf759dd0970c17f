"""Few labels as a set-up: probes that learn from parts of the training clips, and their curve."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.errors import HearError, ResultError
from hearbench.evaluation import DEFAULT_REPEATS
from hearbench.evaluation.job import Setup
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.results import Made
from hearbench.files import write_json
from hearbench.probe.subset import TrainSubset, mean_training_clips
from hearbench.results import RESULT_FILE
from hearbench.results.curve import (
    CURVE_FILE,
    FEW_LABELS,
    Curve,
    build_curve,
    finished_parts,
    part_folder,
)

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Dtype, HasLayers, Wanted
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Job
    from hearbench.tasks.store import PreparedTask
    from hearbench.tasks.task_type import TaskType
    from hearbench.workspace import Workspace

__all__ = ["FewLabels"]


@dataclass(frozen=True)
class FewLabels(Setup):
    """Probes that learn from parts of the training clips.

    Repeat r draws part r and trains with the first seed plus r.

    Attributes:
        probe: How they are trained. Of its seeds the first counts.
        points: In repeat 0: shares first, then shots, each from small to large.
        repeats: How often each is drawn.
    """

    probe: ProbeSetup
    points: tuple[TrainSubset, ...]
    repeats: int

    @classmethod
    def of(
        cls,
        probe: ProbeSetup,
        *,
        fractions: Sequence[float] = (),
        shots: Sequence[int] = (),
        repeats: int = DEFAULT_REPEATS,
    ) -> FewLabels:
        """A set-up as users describe it.

        Args:
            probe: How probes are trained, with one seed: every repeat has a seed of its own.
            fractions: Shares of the training clips, above 0 and at most 1.
            shots: Numbers of training clips per label.
            repeats: How often each is drawn.

        Raises:
            HearError: A share isn't in (0, 1].
        """
        for fraction in fractions:
            if not 0 < fraction <= 1:
                raise HearError(
                    f"--train-fraction {fraction}: a share above 0 and at most 1 is needed, as 0.1."
                )
        points = [TrainSubset(fraction=fraction) for fraction in sorted(set(fractions))]
        points += [TrainSubset(shots=number) for number in sorted(set(shots))]
        return cls(probe, tuple(points), repeats)

    def parts(self) -> list[TrainSubset]:
        """All that is trained: all points of a repeat before those of the next.

        So an interrupted run has a whole curve as early as can be.
        """
        return [point.with_repeat(r) for r in range(self.repeats) for point in self.points]

    def check(self, task: PreparedTask) -> None:
        """Refuses parts that would leave a fold with fewer clips than a probe needs."""
        self.probe.check(task)
        for part in self.parts():
            mean_training_clips(task, part)

    def on(self, model: HasLayers, kind: TaskType, dtype: Dtype) -> tuple[FewLabels, Wanted]:
        """The set-up as it is applied to a model, and which embeddings it takes."""
        probe, wanted = self.probe.on(model, kind, dtype)
        return dataclasses.replace(self, probe=probe), wanted

    def make(
        self,
        job: Job,
        store: EmbeddingStore,
        workspace: Workspace,
        further: Sequence[EmbeddingStore] = (),  # noqa: ARG002
    ) -> Made:
        """Trains what is missing of the curve and writes it, with its plot.

        Results of an earlier run, of other points too, belong to the curve; whether they were made
        from the same inputs is checked before anything is trained. ``curve.json`` is written after
        every training.
        """
        task, progress = job.task, workspace.progress
        # Which clips are drawn is looked at once per part, not at every writing.
        clips = functools.cache(functools.partial(mean_training_clips, task))
        parts = self.parts()
        waiting = [part for part in parts if not self._is_finished(part, job)]
        others = [part for part in finished_parts(job.folder) if part not in parts]
        stale = [part for part in others if not self._is_finished(part, job)]
        for part in stale:
            _remove(part_folder(job.folder, part))
            progress.line(f"{task.name}: removed {part.label()}, which was made from other inputs")
        if len(waiting) < len(parts):
            progress.line(
                f"{task.name}: kept {len(parts) - len(waiting)} of {len(parts)} trainings with few "
                "labels, which were made from the same inputs"
            )
        for number, part in enumerate(waiting, 1):
            progress.line(
                f"{task.name}: few labels, {number} of {len(waiting)}: {part.point}, repeat "
                f"{part.repeat + 1} of {self.repeats}, {round(clips(part), 1):,.10g} training clips"
            )
            probe = self._probe(part)
            probe.train(part_folder(job.folder, part), probe.seeds, store, workspace)
            if number < len(waiting):
                self._write(job, clips)
        path, curve = self._write(job, clips)
        progress.line(f"{task.name}: wrote {path}")
        _draw(path, job.folder, curve, workspace)
        return Made(curves=[(path, curve)])

    def _probe(self, part: TrainSubset) -> ProbeSetup:
        return dataclasses.replace(
            self.probe,
            protocol=self.probe.protocol.with_subset(part),
            seeds=(self.probe.seed + part.repeat,),
        )

    def _is_finished(self, part: TrainSubset, job: Job) -> bool:
        place = dataclasses.replace(job, folder=part_folder(job.folder, part))
        return self._probe(part).is_finished(place)

    def _write(self, job: Job, clips: Callable[[TrainSubset | None], float]) -> tuple[Path, Curve]:
        curve = build_curve(job.folder, clips, asked=self.parts())
        path = job.folder / FEW_LABELS / CURVE_FILE
        try:
            write_json(path, curve.model_dump(mode="json"))
        except OSError as error:
            raise ResultError(f"{path} can't be written: {error.strerror}.", code="io") from error
        return path, curve


def _draw(path: Path, folder: Path, curve: Curve, workspace: Workspace) -> None:
    from hearbench.views.curve_plot import draw_curves
    from hearbench.views.style import save_figure

    figure = draw_curves({curve.task.name: {folder.parent.name: curve}})
    for ending in (".png", ".svg"):
        place = path.with_suffix(ending)
        save_figure(figure, place)
        workspace.progress.line(f"{curve.task.name}: wrote {place}")


def _remove(folder: Path) -> None:
    """Takes a result away, ``result.json`` first."""
    (folder / RESULT_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
