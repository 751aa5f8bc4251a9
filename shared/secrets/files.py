"""Files that hold a secret: mode 0600 and nothing else, written whole or not at all."""

import contextlib
import os
import secrets
import stat
from pathlib import Path

from shared.secrets.errors import NotPrivate

_PRIVATE_MODES = frozenset({0o600, 0o400})


def read_private(path: Path) -> bytes:
    """The content of a file that its owner alone can read. Raises NotPrivate for any other mode, OSError where it cannot be read.

    The mode is read from the open file, so nobody can change what is there between the check and the reading.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) not in _PRIVATE_MODES:
            raise NotPrivate(f"{path} holds a secret and must be a file of mode 0600, not {stat.S_IMODE(status.st_mode):04o}")
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by a file of mode 0600 with this content, on disk before this returns. A file that was there keeps its owner."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """As `write_private`, readable by everyone: for the public part of a key."""
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            _keep_owner(path, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _keep_owner(path: Path, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        if os.geteuid() == 0:
            os.fchown(descriptor, status.st_uid, status.st_gid)
