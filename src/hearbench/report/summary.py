"""Time and memory of evaluations, summed from their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from hearbench.records import Record
from hearbench.results.finding import find_result_files, layer_folder, seed_folders
from hearbench.results.record import RESULT_FILE, Result, StageRecord

__all__ = ["STAGES", "ResultReport", "RunReport", "StageTotal", "report_of", "summarise"]

# In the order in which they run.
STAGES = ("embedding", "probe", "scoring")


class ResultReport(Record):
    """Time and memory of one result.

    Attributes:
        created: When it was written, UTC, ISO 8601.
        device: Device that the probe was trained on.
        precision: Precision of the matrix products during training.
        versions: Versions of hearbench, Python and the libraries.
        stages: The stages, in the order in which they ran.
        shares_embeddings: Whether an earlier result of the report was made from the same
            embeddings, so that their time counts there.
        seconds: Time of all stages, without embedding where that counts elsewhere.
        peak_memory_mb: The most of any stage, MiB; None where none is known.
    """

    folder: str
    model: str
    task: str
    protocol: str
    seed: int
    created: str
    device: str
    precision: str
    versions: dict[str, str]
    stages: tuple[StageRecord, ...]
    shares_embeddings: bool
    seconds: float
    peak_memory_mb: float | None
    notes: tuple[str, ...]

    def of_stage(self, stage: str) -> list[StageRecord]:
        """The records of one of `STAGES`."""
        return [each for each in self.stages if each.stage == stage]

    def seconds_of(self, stage: str) -> float:
        """Seconds of one of `STAGES`; 0 for embedding that counts elsewhere."""
        if stage == "embedding" and self.shares_embeddings:
            return 0.0
        return sum(each.seconds for each in self.of_stage(stage))


class StageTotal(Record):
    """Time of one stage in all results.

    Attributes:
        stage: One of `STAGES`.
        seconds: Time of this stage in all results.
        share: Share of the time of all stages, 0 to 1.
    """

    stage: str
    seconds: float
    share: float


class RunReport(Record):
    """Time and memory of several results.

    Attributes:
        results: The results, in the order in which they were named.
        totals: One total for each stage.
        seconds: Time of all stages of all results.
        peak_memory_mb: The most of any result, MiB; None where none is known.
    """

    format_version: Literal[1] = 1
    results: tuple[ResultReport, ...]
    totals: tuple[StageTotal, ...]
    seconds: float
    peak_memory_mb: float | None


def report_of(places: Sequence[Path]) -> RunReport:
    """Reads all results in and below folders, those of further seeds included.

    Args:
        places: Each a ``result.json``, its folder, a model's folder, or one of several models.
            What two of them hold counts once.

    Raises:
        ResultError: There is none in a place, or one can't be read.
    """
    found: dict[Path, tuple[Path, Result]] = {}
    for place in places:
        for file in find_result_files(place):
            for folder, result in seed_folders(file.parent):
                whole = _of_all_layers(file.parent, folder, result)
                found.setdefault(folder.resolve(), (folder, whole))
    return summarise(found.values())


def summarise(results: Iterable[tuple[Path, Result]]) -> RunReport:
    """Makes a report of results, each with the folder in which it lies."""
    embedded: set[tuple[str, str, float]] = set()
    reports = []
    for folder, result in results:
        # A store that was made again took another time; the layers of one took the same.
        store = result.model.digest, result.task.digest, result.resources.embed_s
        reports.append(_report(folder, result, store in embedded))
        embedded.add(store)
    by_stage = {stage: sum(each.seconds_of(stage) for each in reports) for stage in STAGES}
    seconds = sum(by_stage.values())
    return RunReport(
        results=tuple(reports),
        totals=tuple(
            StageTotal(stage=stage, seconds=own, share=own / seconds if seconds else 0.0)
            for stage, own in by_stage.items()
        ),
        seconds=seconds,
        peak_memory_mb=_most(each.peak_memory_mb for each in reports),
    )


def _report(folder: Path, result: Result, shares_embeddings: bool) -> ResultReport:
    took = result.resources
    stages = took.stages or _stages_of_earlier(result)
    counted = [s for s in stages if not (shares_embeddings and s.stage == "embedding")]
    return ResultReport(
        folder=str(folder),
        model=result.model.name,
        task=result.task.name,
        protocol=result.protocol.name,
        seed=result.seed,
        created=took.created,
        device=result.device,
        precision=result.precision,
        versions={"hearbench": result.hearbench_version, **result.versions},
        stages=stages,
        shares_embeddings=shares_embeddings,
        seconds=sum(stage.seconds for stage in counted),
        peak_memory_mb=_most((took.embed_peak_memory_mb, took.probe_peak_memory_mb)),
        notes=result.notes,
    )


def _of_all_layers(task: Path, folder: Path, result: Result) -> Result:
    """A result with the time of every layer that was tried for it, not of the chosen one alone.

    Args:
        task: ``MODEL/TASK``.
        folder: That of the result: the same, or that of a further seed below it.
    """
    if result.layers is None or result.layers.chosen is None:
        return result
    own = folder.relative_to(task)
    places = [layer_folder(task, number) / own for number in result.layers.numbers]
    of_layers = [Result.read(place) for place in places if (place / RESULT_FILE).is_file()]
    if not of_layers:
        return result
    stages = [stage for stage in result.resources.stages if stage.stage == "embedding"]
    for each in of_layers:
        stages += [stage for stage in each.resources.stages if stage.stage != "embedding"]
    resources = result.resources.model_copy(update={"stages": tuple(stages)})
    return result.model_copy(update={"resources": resources})


def _stages_of_earlier(result: Result) -> tuple[StageRecord, ...]:
    """The stages of a result that was written before they were kept by themselves."""
    took = result.resources
    embedding = StageRecord(
        stage="embedding",
        seconds=took.embed_s,
        throughput=took.audio_s / took.embed_s if took.embed_s > 0 else None,
        unit="seconds of audio",
        peak_memory_mb=took.embed_peak_memory_mb,
    )
    probes = (
        StageRecord(stage="probe", part=test, seconds=seconds, unit="training clips")
        for test, seconds in took.fold_s.items()
    )
    return embedding, *probes


def _most(sizes_mb: Iterable[float | None]) -> float | None:
    return max((size for size in sizes_mb if size is not None), default=None)
