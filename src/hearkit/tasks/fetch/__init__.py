"""Fetching files over HTTP: resumed, retried, several at a time, and checked before they count."""

from hearkit.tasks.fetch.many import ByteProgress, fetch
from hearkit.tasks.fetch.remote import RemoteFile, RetryPolicy, TransferError
from hearkit.tasks.fetch.small import read_remote

__all__ = ["ByteProgress", "RemoteFile", "RetryPolicy", "TransferError", "fetch", "read_remote"]
