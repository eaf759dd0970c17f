"""Naming a task so that any process can load it: by its folder, or by its content."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.digest import digest_json, short
from hearbench.errors import TaskError
from hearbench.files import atomic_folder

if TYPE_CHECKING:
    from hearbench.execution.executor import Context
    from hearbench.execution.remote_cache import Exchange
    from hearbench.tasks.store import PreparedTask
    from hearbench.workspace import Workspace

__all__ = ["TaskRef"]


@dataclass(frozen=True)
class TaskRef:
    """A task for any process.

    Attributes:
        folder: Where all processes find it; None if it comes by way of an exchange.
        content: Digest of labels and audio of a task that comes so.
        source_digest: That of the task.
        audio_digests: Digests of its audio, by rate in Hz.
        perturbation: Recipe by which its audio is disturbed; empty if it isn't.
        training: Whether that of all clips is, and not only of those that are scored.
    """

    name: str
    folder: str | None = None
    content: str | None = None
    source_digest: str = ""
    audio_digests: tuple[tuple[int, str], ...] = ()
    perturbation: str = ""
    training: bool = False

    @classmethod
    def on_disk(cls, task: PreparedTask) -> TaskRef:
        """For processes that see its folder."""
        return cls(task.name, folder=str(task.folder))

    @classmethod
    def sent(cls, task: PreparedTask, exchange: Exchange) -> TaskRef:
        """For processes that see the exchange, where the task is left.

        Raises:
            HearError: It can't be left there.
        """
        place = cls(
            task.name,
            content=_content(task),
            source_digest=task.source_digest,
            audio_digests=tuple(sorted(task.audio_digests.items())),
        )
        exchange.push(place.label_entry, task.folder, _label_files(task))
        exchange.push(place.entry, task.folder, [*_label_files(task), *_audio_files(task)])
        return place

    @property
    def entry(self) -> str:
        """Of the exchange, for all of the task."""
        return f"tasks/{self._key}"

    @property
    def label_entry(self) -> str:
        """Of the exchange, for all of it but the audio."""
        return f"labels/{self._key}"

    @property
    def _key(self) -> str:
        return f"{self.name}-{short(self.content or '')}"

    def load(self, context: Context) -> PreparedTask:
        """The task, checked once for all steps that follow each other in a process.

        Raises:
            HearError: It isn't there, or isn't as it was.
        """
        if self.perturbation:
            return self._disturbed(self.clean.load(context))
        return context.held("task", self, lambda: self._load(context.workspace, context.exchange))

    @property
    def clean(self) -> TaskRef:
        """The task with its audio as it came."""
        return replace(self, perturbation="", training=False)

    @property
    def title(self) -> str:
        """The name, and how the audio is disturbed: for messages."""
        return f"{self.name}, {self.perturbation}" if self.perturbation else self.name

    def _disturbed(self, task: PreparedTask) -> PreparedTask:
        from hearbench.perturb import Perturbation
        from hearbench.tasks.store import disturbed

        return disturbed(task, Perturbation.parse(self.perturbation), training=self.training)

    def _load(self, workspace: Workspace, exchange: Exchange) -> PreparedTask:
        from hearbench.tasks.store import load_task

        if self.folder is not None:
            return load_task(self.folder, workspace=workspace)
        found = self._here(workspace)
        if found is None:
            exchange.pull(self.entry, self._received(workspace))
            found = load_task(self._received(workspace), workspace=workspace)
        if _content(found) != self.content:
            raise TaskError(
                f"{found.folder} was changed; remove it, and start again.", code="damaged"
            )
        return found

    def load_labels(self, context: Context) -> PreparedTask:
        """The task for work that doesn't listen to it; its audio may be missing.

        Raises:
            HearError: It isn't there, or isn't as it was.
        """
        if self.folder is not None:
            return self.load(context)
        if self.perturbation:
            return self._disturbed(self.clean.load_labels(context))
        return context.held(
            "labels", self, lambda: self._load_labels(context.workspace, context.exchange)
        )

    def _load_labels(self, workspace: Workspace, exchange: Exchange) -> PreparedTask:
        from hearbench.tasks.check import read_task_folder
        from hearbench.tasks.store import PreparedTask

        found = self._here(workspace)
        if found is not None:
            return found
        folder = self._received(workspace)
        exchange.pull(self.label_entry, folder)
        content = read_task_folder(folder, workspace)
        if content.metadata is None:
            raise TaskError(f"{folder} was changed; remove it, and start again.", code="damaged")
        return PreparedTask(
            folder=folder,
            metadata=content.metadata,
            vocabulary=content.vocabulary,
            splits=content.splits,
            audio_folders={},
            audio_digests=dict(self.audio_digests),
            source_digest=self.source_digest,
            captions=content.captions,
        )

    def bring(self, folder: Path, exchange: Exchange) -> None:
        """Puts the task there if there is nothing; it appears whole.

        Raises:
            HearError: It can't be had.
        """
        if not folder.exists():
            with atomic_folder(folder) as temporary:
                exchange.pull(self.entry, temporary)

    def bring_home(self, workspace: Workspace, exchange: Exchange) -> None:
        """Puts the task where its name finds it, if there is none of that name.

        Raises:
            HearError: It can't be had.
        """
        self.bring(self._own(workspace), exchange)

    def _own(self, workspace: Workspace) -> Path:
        from hearbench.tasks.locate import TASKS_FOLDER

        return workspace.path(TASKS_FOLDER, self.name)

    def _received(self, workspace: Workspace) -> Path:
        # As an archive of a task is unpacked.
        return workspace.path("unpacked", self._key, self.name)

    def _here(self, workspace: Workspace) -> PreparedTask | None:
        """The whole task, where this cache has it."""
        from hearbench.tasks.store import load_task

        for folder in (self._own(workspace), self._received(workspace)):
            if not folder.is_dir():
                continue
            try:
                task = load_task(folder, workspace=workspace)
            except TaskError:
                continue  # another's that isn't finished, or what an interrupted transfer left
            if _content(task) == self.content:
                return task
        return None


def _content(task: PreparedTask) -> str:
    """Digest of all that a task came with."""
    audio = sorted(task.audio_digests.items())
    return digest_json({"labels": task.source_digest, "audio": [list(item) for item in audio]})


def _label_files(task: PreparedTask) -> list[str]:
    from hearbench.tasks.check import CAPTIONS, METADATA, VOCABULARY

    captions = [CAPTIONS] if task.captions else []
    return [METADATA, VOCABULARY, *captions, *(f"{split}.json" for split in task.splits)]


def _audio_files(task: PreparedTask) -> list[str]:
    return [
        path.relative_to(task.folder).as_posix()
        for rate in task.audio_digests
        for split in task.splits
        for path in task.audio_paths(split, rate)
    ]
