"""Reading a small text from the network."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from hearkit.tasks.fetch.remote import RemoteFile, RetryPolicy
from hearkit.tasks.fetch.transfer import Transfer

__all__ = ["read_remote"]


def read_remote(url: str, *, policy: RetryPolicy | None = None) -> bytes:
    """What lies at an address, all of it.

    Raises:
        TransferError: It can't be had; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="hearkit-") as folder:
        transfer = Transfer(
            RemoteFile("content", url),
            url,
            Path(folder),
            policy=policy or RetryPolicy(),
            stop=threading.Event(),
            report=lambda done, size: None,  # noqa: ARG005
        )
        return transfer.run().read_bytes()
