"""Zero-shot evaluation as a set-up: clips compared with texts by a model that embeds both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hearbench.embeddings.texts import read_texts, texts_folder
from hearbench.errors import HearError
from hearbench.evaluation.one_file import OneFileSetup
from hearbench.evaluation.steps import EmbedTexts
from hearbench.zero_shot import ZeroShotResult, texts_of, zero_shot_scores
from hearbench.zero_shot.record import TEMPERATURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Embeddings, Job
    from hearbench.execution.executor import Step
    from hearbench.tasks.prompts import Prompts
    from hearbench.tasks.store import PreparedTask
    from hearbench.workspace import Workspace

__all__ = ["ZeroShot"]


@dataclass(frozen=True)
class ZeroShot(OneFileSetup[ZeroShotResult]):
    """Clips classified by class names, and found by captions, written to zero-shot.json.

    Attributes:
        prompts: Class names and templates; None for those of the catalog, or the labels in words.
        temperature: What similarities are divided by before the softmax over classes. The best
            class doesn't depend on it, the order of clips under a label does.

    Raises:
        HearError: The temperature isn't a number above 0.
    """

    RECORD: ClassVar[type[ZeroShotResult]] = ZeroShotResult

    prompts: Prompts | None = None
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise HearError(f"The temperature is {self.temperature}; it is a number above 0.")

    def check(self, task: PreparedTask) -> None:
        """Refuses event tasks, and those whose classes can't be put into words."""
        texts_of(task, self.prompts)

    def before(self, job: Job, embeddings: Embeddings) -> Sequence[Step]:
        """Embeds the texts of the task."""
        texts = texts_of(job.task, self.prompts).all
        return [EmbedTexts(embeddings.model, embeddings.digest, texts)]

    def differences(self, job: Job, result: ZeroShotResult) -> list[str]:
        """In what a result was made from other embeddings or texts, in words."""
        found = super().differences(job, result)
        classes, prompts = result.classes, texts_of(job.task, self.prompts).classes
        if classes is None or prompts is None:
            return found  # the captions, which are part of the task, are all that counts
        if classes.names != prompts.names:
            found.append("other class names")
        if tuple(each.template for each in classes.templates) != prompts.templates:
            found.append("other templates")
        if classes.temperature not in (None, self.temperature):
            found.append(f"a temperature of {classes.temperature} instead of {self.temperature}")
        return found

    def scored(self, job: Job, store: EmbeddingStore, workspace: Workspace) -> ZeroShotResult:
        """Compares the clips with the texts."""
        texts = texts_of(job.task, self.prompts)
        embedded = read_texts(texts_folder(job.inputs.model, texts.all, workspace))
        return zero_shot_scores(
            store, texts, embedded, temperature=self.temperature, workspace=workspace
        )
