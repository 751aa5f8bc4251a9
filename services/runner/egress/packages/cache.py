"""Files of the registries, kept on this process's disk for every run.

Only what a registry answered gets in, whole and checked, under the address that it was asked for: nothing that a sandbox sends decides what
another one reads. What is taken out is checked once more.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_PIECE = 1024 * 1024
_UNFINISHED = ".part"


class ContentWrong(ValueError):
    """What a registry sent is not what its index says, or is more than may come through."""


@dataclass
class Arriving:
    """A file on its way in; it counts only once it was kept."""

    file: BinaryIO
    path: Path
    max_bytes: int
    expected: str | None
    size: int = 0

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Raises ContentWrong where it grows too large."""
        self.size += len(piece)
        if self.size > self.max_bytes:
            raise ContentWrong("file_too_large")
        self._digest.update(piece)
        self.file.write(piece)

    def check(self) -> str:
        """Its SHA-256, when everything is there. Raises ContentWrong where it is another than the expected one."""
        found = self._digest.hexdigest()
        if self.expected is not None and found != self.expected:
            raise ContentWrong("content_wrong")
        return found

    def drop(self) -> None:
        """It is not wanted any more."""
        self.file.close()
        self.path.unlink(missing_ok=True)


class Cache:
    """A directory with a bound. Blocking: called in threads."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in directory.glob(f"*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    def arriving(self, max_bytes: int, expected: str | None) -> Arriving:
        """A place for a file that is on its way."""
        descriptor, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=self._directory)
        return Arriving(os.fdopen(descriptor, "w+b"), Path(name), max_bytes, expected)

    def keep(self, key: str, arrived: Arriving) -> None:
        """Whole and checked: from now on this is what lies under `key`. The oldest go where there is no room."""
        digest = arrived.check()
        arrived.file.close()
        if arrived.size > self._max_bytes:
            arrived.path.unlink(missing_ok=True)
            return
        self._make_room(arrived.size)
        for older in self._directory.glob(f"{_name(key)}.*"):
            older.unlink(missing_ok=True)
        arrived.path.replace(self._directory / f"{_name(key)}.{digest}")

    def find(self, key: str, expected: str | None) -> BinaryIO | None:
        """What lies under `key`, checked and at its beginning; None where it is not here, or not what it should be."""
        for path in self._directory.glob(f"{_name(key)}.*"):
            digest = path.suffix.removeprefix(".")
            if expected not in (None, digest):
                continue
            with contextlib.suppress(FileNotFoundError):  # another one may just have made room
                file = path.open("rb")
                if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                    os.utime(path)
                    file.seek(0)
                    return file
                file.close()
                path.unlink(missing_ok=True)
        return None

    def _make_room(self, size: int) -> None:
        kept = sorted(self._kept())
        excess = sum(held for _, held, _ in kept) + size - self._max_bytes
        for _, held, path in kept:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= held

    def _kept(self) -> Iterator[tuple[float, int, Path]]:
        """When each was last wanted, how large it is, and where it lies."""
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another door may just have made room
                if path.suffix != _UNFINISHED:
                    seen = path.stat()
                    yield seen.st_mtime, seen.st_size, path


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
