"""Files that are kept: media, by any address fsspec understands (a folder by default)."""

import re
from typing import IO

import fsspec

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")


class Files:
    def __init__(self, address: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(address)

    def _path(self, name: str) -> str:
        if not _NAME.match(name) or ".." in name:
            raise ValueError(f"not a file name this store gives out: {name!r}")
        return f"{self._root}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all: written beside, then moved into place."""
        path = self._path(name)
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        self._fs.pipe_file(path + ".part", data)
        self._fs.mv(path + ".part", path)

    def open(self, name: str) -> IO[bytes]:
        """Raises FileNotFoundError."""
        stream: IO[bytes] = self._fs.open(self._path(name), "rb")
        return stream
