"""Files that are kept: media, by any address fsspec understands.

A folder by default (``file://…``). ``s3://bucket/folder`` needs the extra ``s3``; keys and endpoint are taken from the
environment as AWS's own tools do (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` …).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import IO

import fsspec
from fsspec.implementations.local import LocalFileSystem

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")


class FilesError(Exception):
    """The place where media are to be kept can't be used. Says what to do."""


class Files:
    """One place for files. Every method raises OSError while the place can't be reached."""

    def __init__(self, address: str) -> None:
        """Raises FilesError for an address that nothing here can serve."""
        scheme = address.split("://", 1)[0]
        try:
            self._fs, self._root = fsspec.core.url_to_fs(address)
        except ImportError as error:
            extra = " Install Twinline with its extra: pip install 'twinline[s3]'." if scheme in ("s3", "s3a") else ""
            raise FilesError(f"Media can't be kept at {scheme}://…: {error}.{extra}") from error
        except ValueError as error:
            raise FilesError(
                f"TWINLINE_MEDIA_URL isn't an address of a place for files ({error}). "
                "Use file:///a/folder or s3://bucket/folder."
            ) from error
        self._root = self._root.rstrip("/")

    @contextmanager
    def _away(self) -> Iterator[None]:
        """A store's client has errors of its own; whoever keeps files knows OSError."""
        try:
            yield
        except (OSError, ValueError):
            raise
        except Exception as error:
            raise OSError(f"the place for files doesn't answer ({type(error).__name__})") from error

    def _path(self, name: str) -> str:
        if not _NAME.match(name) or ".." in name:
            raise ValueError(f"not a file name this store gives out: {name!r}")
        return f"{self._root}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all. In a folder it is written beside, then moved into place; an object appears whole."""
        path = self._path(name)
        with self._away():
            if not isinstance(self._fs, LocalFileSystem):
                self._fs.pipe_file(path, data)
                return
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self._fs.pipe_file(path + ".part", data)
            self._fs.mv(path + ".part", path)

    def has(self, name: str) -> bool:
        with self._away():
            return bool(self._fs.exists(self._path(name)))

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        with self._away():
            data: bytes = self._fs.cat_file(self._path(name))
        return data

    def open(self, name: str) -> IO[bytes]:
        """For reading in pieces. Raises FileNotFoundError."""
        with self._away():
            stream: IO[bytes] = self._fs.open(self._path(name), "rb")
        return stream

    def under(self, folder: str) -> list[tuple[str, datetime]]:
        """The names of all files in a folder and in those within it, each with when it was written."""
        start = len(self._root) + 1
        with self._away():
            self._fs.invalidate_cache()  # another process may have written since
            return [(path[start:], self._fs.modified(path)) for path in sorted(self._fs.find(self._path(folder)))]

    def erase(self, name: str) -> None:
        """A file, or a folder with all that is in it. What isn't there is erased already."""
        with self._away(), suppress(FileNotFoundError):
            self._fs.rm(self._path(name), recursive=True)
