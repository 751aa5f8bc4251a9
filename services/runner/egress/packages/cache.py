"""Files of the registries, kept on this process's disk for every run.

Only what a registry answered gets in, whole and checked, under the address that it was asked for: nothing that a sandbox sends decides what
another one reads. What is taken out is checked once more. What is kept and what is on its way have the same bound each.
"""

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from services.runner.egress.packages.digests import Digest

_UNFINISHED = ".part"


class ContentWrong(ValueError):
    """What a registry sent is not what its index says, or is more than may come through."""


@dataclass
class Arriving:
    """A file on its way in; it counts only once it was kept. Without a place on the disk it is counted and checked all the same."""

    max_bytes: int
    expected: Digest | None
    place: tuple[BinaryIO, Path] | None
    room: Callable[[int], bool]
    """Takes so many bytes of the disk, or gives them back; whether there was room."""
    size: int = 0
    _digests: dict[str, Any] = field(default_factory=dict[str, Any])
    _held: int = 0

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        algorithms = {"sha256"} | ({self.expected.algorithm} if self.expected else set[str]())
        self._digests = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}

    def write(self, piece: bytes) -> None:
        """Raises ContentWrong where it grows too large. Where the disk has no room for it, it is not kept."""
        self.size += len(piece)
        if self.size > self.max_bytes:
            raise ContentWrong("file_too_large")
        for digest in self._digests.values():
            digest.update(piece)
        if self.place is None:
            return
        if not self.room(len(piece)):
            self.drop()
            return
        self._held += len(piece)
        try:
            self.place[0].write(piece)
        except OSError:
            self.drop()

    def check(self) -> str:
        """Its SHA-256, when everything is there. Raises ContentWrong where it is not what it should be."""
        if self.expected is not None and self._digests[self.expected.algorithm].hexdigest() != self.expected.value:
            raise ContentWrong("content_wrong")
        return self._digests["sha256"].hexdigest()

    def drop(self) -> None:
        """It is not wanted on the disk any more, or lies there for good. A second time does nothing."""
        if self.place is None:
            return
        file, path = self.place
        self.place = None
        with contextlib.suppress(OSError):  # what was not written yet may find no room
            file.close()
        path.unlink(missing_ok=True)
        self.room(-self._held)
        self._held = 0


class Cache:
    """A directory with a bound. Blocking: called in threads."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._coming = 0
        self._counting = threading.Lock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in directory.glob(f"*{_UNFINISHED}"):
            left.unlink(missing_ok=True)

    def arriving(self, max_bytes: int, expected: Digest | None, *, kept: bool = True) -> Arriving:
        """A place for a file that is on its way; none where it will not be kept."""
        if not kept or not self._max_bytes:
            return Arriving(max_bytes, expected, None, self._room)
        descriptor, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=self._directory)
        return Arriving(max_bytes, expected, (os.fdopen(descriptor, "w+b"), Path(name)), self._room)

    def keep(self, key: str, arrived: Arriving) -> None:
        """Whole and checked: from now on this is what lies under `key`. The oldest go where there is no room."""
        digest = arrived.check()
        if arrived.place is None:
            return
        file, path = arrived.place
        try:
            file.flush()
            self._make_room(arrived.size)
            for older in self._directory.glob(f"{_name(key)}.*"):
                older.unlink(missing_ok=True)
            path.replace(self._directory / f"{_name(key)}.{digest}")
        except OSError:  # a full disk is no reason for the sandbox to go without
            path.unlink(missing_ok=True)
        arrived.drop()

    def find(self, key: str, expected: Digest | None) -> BinaryIO | None:
        """What lies under `key`, checked and at its beginning; None where it is not here, or not what it should be."""
        for path in self._directory.glob(f"{_name(key)}.*"):
            with contextlib.suppress(FileNotFoundError):  # another one may just have made room
                file = path.open("rb")
                unspoilt = _is(file, Digest("sha256", path.suffix.removeprefix(".")))
                if unspoilt and (expected is None or _is(file, expected)):
                    os.utime(path)
                    file.seek(0)
                    return file
                file.close()
                if not unspoilt:
                    path.unlink(missing_ok=True)
        return None

    def _room(self, size: int) -> bool:
        with self._counting:
            if self._coming + size > self._max_bytes:
                return False
            self._coming += size
            return True

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


def _is(file: BufferedReader, digest: Digest) -> bool:
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.new(digest.algorithm, usedforsecurity=False)).hexdigest() == digest.value


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
