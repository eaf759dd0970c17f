"""``--executor ray`` and ``--shard``: long work done by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from hearbench.cli.options import WorkspaceOptions
from hearbench.errors import HearError
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.execution.executor import Executor
    from hearbench.execution.ray_cluster import Share
    from hearbench.execution.remote_cache import UrlExchange

__all__ = [
    "ClusterOptions",
]


@dataclass(frozen=True)
class ClusterOptions(WorkspaceOptions):
    """Options for where a verb works, and for which processes do what takes long."""

    PANEL: ClassVar[str] = "Where it runs"

    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            metavar="local|ray",
            help="Runs the long work: this process, or Ray, on this machine or a cluster.",
        ),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Address of a running Ray cluster; auto for the one of this machine. By default "
            "one is started on this machine for this command.",
        ),
    ] = None
    cpus_per_unit: Annotated[
        int | None,
        typer.Option(
            "--cpus-per-unit", metavar="N", min=1, help="Cores per unit of work; 1 by default."
        ),
    ] = None
    gpus_per_unit: Annotated[
        float | None,
        typer.Option(
            "--gpus-per-unit",
            metavar="F",
            min=0,
            help="GPUs per unit of work, as 0.25 for four on one; 1 by default where there are "
            "any.",
        ),
    ] = None
    shared: Annotated[
        str | None,
        typer.Option(
            "--shared",
            metavar="URL",
            help="URL by which nodes or shards without a common disk exchange what they make, as "
            "s3://bucket/folder; each has a cache of its own.",
        ),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Share the work with N - 1 other processes that run the same command on a common "
            "disk or with the same --shared, as 3/16 in the third job of a Slurm array; merge does "
            "what is left.",
        ),
    ] = None

    @property
    def exchange(self) -> UrlExchange | None:
        """Where processes without a common disk leave what they make.

        Raises:
            HearError: What was given is no URL.
        """
        if self.shared is None:
            return None
        from hearbench.execution.remote_cache import UrlExchange

        return UrlExchange(self.shared)

    def share(self) -> Share | None:
        """Finds out what one step takes of a cluster; None where there is none.

        Raises:
            HearError: There is no such executor, or an option doesn't go with it.
        """
        if self.shard is not None and self.executor != "local":
            raise HearError("--shard shares work without Ray; leave out --executor.")
        if self.shard not in (None, "merge"):
            from hearbench.execution.shard import shard_of

            shard_of(self.shard)
        if self.executor not in ("local", "ray"):
            raise HearError(f"--executor {self.executor}: use local or ray.")
        if self.executor == "local":
            given = {
                "--address": self.address,
                "--cpus-per-unit": self.cpus_per_unit,
                "--gpus-per-unit": self.gpus_per_unit,
            }
            found = [option for option, value in given.items() if value is not None]
            if found:
                raise HearError(f"{' and '.join(found)} only goes with --executor ray.")
            if self.shared is not None and self.shard is None:
                raise HearError("--shared only goes with --executor ray or --shard.")
            _ = self.exchange  # a slip is told before anything is loaded
            return None
        from hearbench.execution.ray_cluster import Share

        cpus, gpus = self.cpus_per_unit, self.gpus_per_unit
        # Ray knows parts of one GPU, and whole ones beyond.
        if gpus is not None and gpus > 1 and not float(gpus).is_integer():
            raise HearError(
                f"--gpus-per-unit {gpus:g}: a part of one GPU, or a whole number of them."
            )
        default = Share()
        return Share(default.cpus if cpus is None else cpus, default.gpus if gpus is None else gpus)

    @contextmanager
    def running(self, workspace: Workspace) -> Iterator[Executor | None]:
        """Who runs the steps of an evaluation; None for this process alone.

        Raises:
            HearError: The cluster or the URL can't be used, or options don't fit together.
        """
        share = self.share()
        if share is not None:
            from hearbench.execution.ray_cluster import ray_cluster

            with ray_cluster(
                workspace, address=self.address, share=share, shared=self.exchange
            ) as cluster:
                if cluster.unused_gpus:
                    workspace.progress.line(
                        f"The cluster's GPUs ({cluster.unused_gpus}) stay idle: this machine has "
                        "none, or --device says so. Start the evaluation on a node that has one."
                    )
                yield cluster
        elif self.shard is None or (self.shard == "merge" and self.shared is None):
            yield None
        else:
            from hearbench.execution.shard import Shard, shard_of

            exchange = self.exchange
            if exchange is not None:
                exchange.check()
            number, count = (1, 1) if self.shard == "merge" else shard_of(self.shard)
            yield Shard(number, count, workspace, exchange)
