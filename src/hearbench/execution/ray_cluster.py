"""The backend that is a Ray cluster, or Ray on this machine alone."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import socket
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearbench._version import __version__
from hearbench.errors import HearError
from hearbench.execution.executor import Context, Outcome, Step, outcome_of
from hearbench.execution.remote_cache import Exchange, OneDisk, UrlExchange
from hearbench.files import TEMPORARY_PREFIX
from hearbench.progress import Progress
from hearbench.workspace import Workspace, available_cores

__all__ = ["RayCluster", "Share", "ray_cluster"]

_MARKS = "execution"
_KNOCK_S = 10.0


@dataclass(frozen=True)
class Share:
    """What one step takes of a node.

    Attributes:
        cpus: Processor cores, which are its threads.
        gpus: GPUs, of steps that need the device where that is one; a part of one lets several
            share it.
        retries: How often a step is run again that was lost with its process or node.
    """

    cpus: int = 1
    gpus: float = 1.0
    retries: int = 3


@dataclass(frozen=True)
class _Errand:
    """A step on its way to a worker, with what must hold there.

    Attributes:
        workspace: Those of the evaluation, with what the step has of a node.
        version: Of hearbench.
        mark: A file in the evaluation's cache.
        url: Where nodes that don't see that get things from and leave them; None if all do.
        url_mark: A file there.
        folder: Where the evaluation was started.
    """

    step: Step
    workspace: Workspace
    version: str
    mark: Path
    url: str | None
    url_mark: str
    folder: str

    def run(self) -> Outcome:
        node = socket.gethostname()
        if self.version != __version__:
            return _refused(
                f"{node} has hearbench {__version__}, and the evaluation was started with "
                f"{self.version}. Install the same one on all nodes."
            )
        workspace = self.workspace
        exchange: Exchange = OneDisk()
        if self.url is not None:
            workspace = self._own_cache()
            exchange = place = UrlExchange(self.url)
            try:
                seen = place.note(self.url_mark) is not None
            except HearError as error:
                return _refused(f"On {node}: {error}")
            if not seen:
                return _refused(
                    f"{node} doesn't see what the evaluation wrote to {place.shown}. "
                    "All nodes need the same place under the same URL."
                )
        elif not self.mark.exists():
            return _refused(
                f"{node} doesn't see the cache {self.workspace.cache_dir} of the evaluation. "
                "All nodes need the same folder under the same name: name one on a shared disk "
                "by --cache or HEARBENCH_CACHE, or a URL by --shared."
            )
        # Relative paths of models and weights mean the same as where the evaluation was started.
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        import torch

        # Ray says it by OMP_NUM_THREADS, but only to processes that haven't begun.
        torch.set_num_threads(workspace.workers)
        outcome = outcome_of(self.step, _context(workspace, exchange))
        if outcome.error is None:
            return outcome
        if not isinstance(outcome.error, HearError):
            raise outcome.error  # so that it arrives with its traceback
        # Of the public classes, which can all be pickled.
        kind = next(c for c in type(outcome.error).__mro__ if c.__module__ == HearError.__module__)
        return Outcome(error=kind(str(outcome.error), code=outcome.error.code))

    def _own_cache(self) -> Workspace:
        """With the node's own cache: what its environment says, or one disk with the evaluation."""
        if not os.environ.get("HEARBENCH_CACHE") and self.mark.exists():
            return self.workspace
        own = Workspace.from_environment().cache_dir
        return dataclasses.replace(self.workspace, cache_dir=own)


def _refused(text: str) -> Outcome:
    return Outcome(error=HearError(text))


# By workspace and URL: what a worker holds, as a model, serves the steps that come after.
_contexts: dict[tuple[Workspace, str], Context] = {}


def _context(workspace: Workspace, exchange: Exchange) -> Context:
    key = workspace, exchange.url if isinstance(exchange, UrlExchange) else ""
    if key not in _contexts:
        _contexts[key] = Context(workspace, exchange)
    return _contexts[key]


class RayCluster:
    """Runs steps on a Ray cluster that this process is connected to.

    What only ends an evaluation runs here.

    Args:
        workspace: For the steps; each takes its threads and device from its share.
        share: What one step takes.
        mark: A file in the cache by which nodes find out whether they see it.
        shared: Where nodes that don't see it get things from and leave them.
        url_mark: A file there.
    """

    parallel = True

    def __init__(
        self,
        ray: Any,
        workspace: Workspace,
        share: Share,
        mark: Path,
        shared: UrlExchange | None = None,
        url_mark: str = "",
    ) -> None:
        self._ray = ray
        self._share = share
        self._mark = mark
        self._shared = shared
        self._url_mark = url_mark
        device = workspace.torch_device().partition(":")[0]
        self._gpus = 0.0 if device == "cpu" else share.gpus
        # Of the GPUs of its node a worker sees only its own.
        self._workspace = dataclasses.replace(
            workspace, device=device, workers=share.cpus, progress=Progress()
        )
        self.context = Context(workspace, shared)
        self._at_home: deque[Step] = deque()
        self._remote = ray.remote(_Errand.run)
        self._running: dict[Any, Step] = {}

    @property
    def unused_gpus(self) -> int:
        """GPUs of the cluster that no step will use."""
        return 0 if self._gpus else int(sum(node.get("GPU", 0) for node in self._nodes()))

    def _nodes(self) -> list[Mapping[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def check_room(self, share: Share) -> None:
        """Makes sure that some step can run at all; Ray would wait for nodes to come.

        Raises:
            HearError: No node has what one takes.
        """
        nodes = self._nodes()
        cpus, gpus = share.cpus, min(self._gpus, share.gpus)
        if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            return
        wanted = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        there = "; ".join(
            f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes
        )
        raise HearError(
            f"No node of the cluster has the {wanted} that one step takes; the nodes have "
            f"{there}. Ask for less by --cpus-per-unit, --gpus-per-unit or --device."
        )

    def submit(self, step: Step) -> None:
        """Hands a step to the cluster, which runs it when there is room."""
        if step.at_home:
            self._at_home.append(step)
            return
        remote = self._remote.options(
            name=type(step).__name__,
            num_cpus=self._share.cpus,
            num_gpus=self._gpus if step.needs_device else 0,
            max_retries=self._share.retries,
        )
        workspace = self._workspace
        if not step.needs_device:
            workspace = dataclasses.replace(workspace, device="cpu")
        errand = _Errand(
            step,
            workspace,
            __version__,
            self._mark,
            self._shared.url if self._shared else None,
            self._url_mark,
            str(Path.cwd()),
        )
        self._running[remote.remote(errand)] = step

    def wait(self) -> tuple[Step, Outcome]:
        """The next step that is done."""
        from ray.exceptions import RayError, RayTaskError

        if self._at_home:
            step = self._at_home.popleft()
            return step, outcome_of(step, self.context)
        (ready, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        step = self._running.pop(ready)
        try:
            outcome: Outcome = self._ray.get(ready)
        except RayTaskError as error:
            outcome = Outcome(error=error)  # with the worker's traceback
        except RayError as error:
            first = str(error).strip().partition("\n")[0]
            outcome = _refused(
                f"{step.label()}: the process or node that did it was lost "
                f"{self._share.retries + 1} times, at last: {type(error).__name__}: {first} Does "
                "it need more memory than the nodes have, or does the model end its process?"
            )
        return step, outcome


@contextmanager
def ray_cluster(
    workspace: Workspace,
    *,
    address: str | None = None,
    share: Share | None = None,
    shared: UrlExchange | None = None,
) -> Iterator[RayCluster]:
    """Connects to a cluster, or starts one on this machine that ends with the block.

    Dashboard, usage statistics and the forwarding of workers' logs are off.

    Args:
        workspace: Whose cache all nodes must see, unless `shared` is given.
        address: Of the cluster's head, as ``10.0.0.5:6379``, or ``auto`` for the one that was
            started on this machine; None starts one.
        share: What one step takes.
        shared: By what nodes exchange what steps leave, each with a cache of its own.

    Raises:
        HearError: Ray isn't installed, the cluster doesn't answer, it hasn't what one step
            takes, or `shared` can't be written to.
    """
    share = share or Share()
    # Read when ray is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise HearError(
            "Ray isn't installed: pip install 'hearbench[ray]'.", code="not_installed"
        ) from error
    if address:
        _check_answers(address)
    with _url_mark(shared) as url_mark, _connected(ray, address), _mark(workspace) as mark:
        cluster = RayCluster(ray, workspace, share, mark, shared, url_mark)
        cluster.check_room(share)
        yield cluster


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    # A cluster of this machine alone needs no address that others can reach.
    own: dict[str, Any] = {
        "num_cpus": available_cores(),
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    with _handlers_kept():
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if address else own),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise HearError(
                f"No Ray cluster answers at {address or 'this machine'}: {first} `ray status` on "
                "one of its nodes tells whether it runs."
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _mark(workspace: Workspace) -> Iterator[Path]:
    # Named as what is cleared away should this process be killed.
    mark = workspace.path(_MARKS, f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        yield mark
    finally:
        mark.unlink(missing_ok=True)


@contextmanager
def _url_mark(shared: UrlExchange | None) -> Iterator[str]:
    if shared is None:
        yield ""
        return
    mark = shared.open_mark()
    try:
        yield mark
    finally:
        # All is done by then; a few bytes that stay are no reason to fail.
        with suppress(HearError):
            shared.remove_note(mark)


def _check_answers(address: str) -> None:
    """Knocks at a cluster's door, where Ray would wait for minutes.

    Raises:
        HearError: Nobody is there.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        return  # auto, or a form that Ray knows better
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise HearError(
            f"No Ray cluster answers at {address}: {error}. `ray status` on one of its nodes tells "
            "whether it runs, and where."
        ) from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keeps Ray from taking SIGTERM to itself, which hearbench ends well by."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
