"""Fetching files over HTTP: resumed, retried, several at a time, and checked before they count."""

from hearbench.tasks.fetch.many import TooLittleRoomError, fetch, fetch_each, read_remote
from hearbench.tasks.fetch.remote import RemoteFile, RetryPolicy, TransferError

__all__ = [
    "RemoteFile",
    "RetryPolicy",
    "TooLittleRoomError",
    "TransferError",
    "fetch",
    "fetch_each",
    "read_remote",
]
