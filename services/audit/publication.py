"""The file in which checkpoints are published: outside the database, so that who rewrites the database is found out.

One signed note after the other, each followed by an empty line. It is only ever appended to, and each note is on disk before `publish`
returns. It must never be written by anyone but the writer of the log.
"""

import os
from pathlib import Path

import structlog

from services.audit import checkpoint
from services.audit.checkpoint import Checkpoint, VerifierKey
from services.audit.errors import CheckpointInvalid, TrailBroken

log = structlog.get_logger(__name__)

_MODE = 0o644


class Publication:
    """The published checkpoints of one log."""

    def __init__(self, path: Path, key: VerifierKey) -> None:
        self._path = path
        self._key = key

    def recover(self) -> list[Checkpoint]:
        """What was published, after the torn end that a crash may have left was cut off: nobody was promised that it stays.

        Raises TrailBroken for a note that the key did not sign, or a size that does not grow.
        """
        if not self._path.exists():
            return []
        published = self._path.read_bytes().decode("utf-8", "replace")
        notes, torn = checkpoint.split_notes(published)
        if torn:
            whole = "".join(f"{note}\n" for note in notes).encode()
            log.warning("torn_checkpoint_removed", path=str(self._path), kept_bytes=len(whole))
            os.truncate(self._path, len(whole))
        return self._verified(notes)

    def publish(self, note: str) -> None:
        """Append the note; it is on disk when this returns. A write that fails half-way is undone. Raises OSError."""
        created = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            before = os.fstat(descriptor).st_size
            content = f"{note}\n".encode()
            try:
                _write_whole(descriptor, content)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
            if created:
                os.fchmod(descriptor, _MODE)  # whatever the process's umask is: it is there to be read
                _sync_directory(self._path.parent)
        finally:
            os.close(descriptor)

    def _verified(self, notes: list[str]) -> list[Checkpoint]:
        points: list[Checkpoint] = []
        for note in notes:
            try:
                point = checkpoint.verify(note, self._key)
            except CheckpointInvalid as error:
                raise TrailBroken(f"{self._path} holds a checkpoint that is not ours: {error}") from error
            if points and point.size <= points[-1].size:
                raise TrailBroken(f"{self._path} goes back from size {points[-1].size} to {point.size}")
            points.append(point)
        return points


def _write_whole(descriptor: int, content: bytes) -> None:
    if os.write(descriptor, content) != len(content):
        raise OSError("the checkpoint was written in part")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
