"""Reading a small text from the network."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from hearbench.tasks.fetch.remote import RemoteFile, RetryPolicy, TransferError
from hearbench.tasks.fetch.transfer import Transfer

__all__ = ["read_remote"]

# A record's description or a list of check sums has a few kB.
_MOST_BYTES = 16 << 20


def read_remote(url: str, *, policy: RetryPolicy | None = None) -> bytes:
    """What lies at an address, all of it.

    Raises:
        TransferError: It can't be had, or is far too long; the message says why.
    """

    def refuse_much(done: int, size: int | None) -> None:
        if max(done, size or 0) > _MOST_BYTES:
            raise TransferError(f"has more than {_MOST_BYTES >> 20} MiB, which can't be right")

    with tempfile.TemporaryDirectory(prefix="hearbench-") as folder:
        transfer = Transfer(
            RemoteFile("content", url),
            url,
            Path(folder),
            policy=policy or RetryPolicy(),
            stop=threading.Event(),
            report=refuse_much,
        )
        return transfer.run().read_bytes()
