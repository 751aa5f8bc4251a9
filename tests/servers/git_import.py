"""Makes whole histories in one process: a stream for `git fast-import`, deterministic by what it is given."""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.servers.git_objects import Blob

_PLAIN = re.compile(rb"[A-Za-z0-9_./-]+")
_MODULE = "160000"


def commits(repository: Path, changes: Iterable[Mapping[bytes, Blob | None]], branch: str = "main") -> None:
    """One commit per mapping on top of each other, each adding, replacing or (None) removing these files."""
    with subprocess.Popen(
        ["git", "-C", repository, "-c", "core.bigFileThreshold=64m", "fast-import", "--quiet"],  # noqa: S607
        stdin=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null"},
    ) as process:
        assert process.stdin is not None
        for part in _stream(changes, branch.encode()):
            process.stdin.write(part)
    assert process.returncode == 0


def _stream(changes: Iterable[Mapping[bytes, Blob | None]], branch: bytes) -> Iterator[bytes]:
    for number, files in enumerate(changes):
        message = b"commit %d" % number
        yield b"commit refs/heads/%s\ncommitter Test <test@example.org> %d +0000\ndata %d\n%s\n" % (
            branch, 1_700_000_000 + number, len(message), message,
        )  # fmt: skip
        for path, blob in files.items():
            if blob is None:
                yield b"D %s\n" % _quoted(path)
            elif blob.mode == _MODULE:
                yield b"M 160000 %s %s\n" % (blob.content, _quoted(path))
            else:
                yield b"M %s inline %s\ndata %d\n%s\n" % (blob.mode.encode(), _quoted(path), len(blob.content), blob.content)


def _quoted(path: bytes) -> bytes:
    return path if _PLAIN.fullmatch(path) else b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'
