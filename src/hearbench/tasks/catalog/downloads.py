"""Addresses of the files of a corpus: plain files, and archives in several parts."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from hearbench.records import Record

__all__ = ["Download", "FilePart", "Md5", "Text", "WebAddress", "address_file_name"]

_UNSAFE_NAME = re.compile(r"[\x00-\x1f\\/:*?\"<>|]")


def address_file_name(url: str) -> str:
    """The name of the file behind an address, such as ``FSD50K.metadata.zip``."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:  # such as a broken IPv6 host
        whole = False
    if not whole or re.search(r"\s", text):
        raise ValueError(f"{text!r} is no address; it begins with http:// or https://")
    return text


def _file_address(text: str) -> str:
    name = address_file_name(text)
    if name in {"", ".", ".."} or _UNSAFE_NAME.search(name):
        raise ValueError(f"{text!r} doesn't end in the name of a file")
    return text


def _md5(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise ValueError(f"{text!r} is no MD5, which has 32 hex digits")
    return text.lower()


Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
WebAddress = Annotated[str, AfterValidator(_web_address)]
FileAddress = Annotated[WebAddress, AfterValidator(_file_address)]
Md5 = Annotated[str, AfterValidator(_md5)]


class FilePart(Record):
    """One part of an archive that was published in several.

    Attributes:
        url: Its address.
        md5: Its MD5, 32 hex digits; None where none was published.
    """

    url: FileAddress
    md5: Md5 | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address, without a query."""
        return address_file_name(self.url)


class Download(Record):
    """One file of a corpus, or one archive in several parts.

    Attributes:
        split: The split, or other part of the corpus, that it holds.
        name: Tells apart downloads of one split.
        url: Its address; None for an archive in parts.
        md5: The MD5 of the file at ``url``, 32 hex digits; None where none was published.
        parts: The parts of a split zip, ``.z01`` and on, with ``.zip`` the last.
        zipname: The part that names a split zip as a whole, ``<name>.zip``.
    """

    split: Text | None = None
    name: Text | None = None
    url: FileAddress | None = None
    md5: Md5 | None = None
    parts: tuple[FilePart, ...] = ()
    zipname: Text | None = None

    @property
    def file_name(self) -> str:
        """Its own name: of the file, or of the whole archive where that is in parts."""
        return self.zipname or address_file_name(self.url or "")

    @property
    def files(self) -> tuple[FilePart, ...]:
        """All files that have to be fetched for it."""
        return self.parts or (FilePart(url=self.url or "", md5=self.md5),)

    @model_validator(mode="after")
    def _whole(self) -> Download:
        if (self.url is None) == (not self.parts):
            raise ValueError("a download has either url or parts")
        if self.parts:
            names = [part.file_name for part in self.parts]
            if self.md5 is not None:
                raise ValueError("in a download with parts, each part has its own md5")
            if self.zipname != names[-1]:
                raise ValueError(
                    f"zipname is the name of the last part, {names[-1]!r}, not {self.zipname!r}"
                )
            _refuse_twice(names, "parts")
        elif self.zipname is not None:
            raise ValueError("zipname belongs to a download with parts")
        if self.split is None and self.name is None:
            raise ValueError("a download has split, name or both")
        return self


def check_downloads(downloads: tuple[Download, ...]) -> tuple[Download, ...]:
    """Refuses two files of one name, which would lie in one folder."""
    _refuse_twice([part.file_name for item in downloads for part in item.files], "downloads")
    return downloads


def _refuse_twice(names: list[Any], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} of one name: {', '.join(twice)}")
