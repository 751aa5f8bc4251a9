"""What a work tree holds, as the sandbox tells it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.servers.git_objects import Blob

EXECUTABLE = 0o100


@dataclass(frozen=True)
class WorkTree:
    """Files and links by path, with the modes git has for them, and directories."""

    files: Mapping[bytes, Blob]
    directories: frozenset[bytes]
    nested: frozenset[bytes] = field(default_factory=frozenset[bytes])
    """Directories below the top that are repositories."""

    def below(self, directory: bytes) -> bool:
        """Whether anything lies in the directory."""
        return any(path.startswith(directory + b"/") for path in (*self.files, *self.directories))


def read(told: bytes) -> tuple[WorkTree, WorkTree]:
    """The work tree before and after the edits."""
    before, rest = _tree(told, 0)
    after, end = _tree(told, rest)
    assert end == len(told)
    return before, after


def _tree(told: bytes, position: int) -> tuple[WorkTree, int]:
    files, directories, nested = dict[bytes, Blob](), set[bytes](), set[bytes]()
    for kind, mode, path, content, end in _entries(told, position):
        position = end
        if kind == b"f":
            files[path] = Blob(content, "100755" if mode & EXECUTABLE else "100644")
        elif kind == b"l":
            files[path] = Blob(content, "120000")
        else:
            directories.add(path)
            if kind == b"n":
                nested.add(path)
    return WorkTree(files, frozenset(directories), frozenset(nested)), position + len(b"end\n")


def _entries(told: bytes, position: int) -> Iterator[tuple[bytes, int, bytes, bytes, int]]:
    while (end := told.index(b"\n", position)) and told[position:end] != b"end":
        kind, mode, path_length, length = told[position:end].split(b" ")
        begin = end + 1 + int(path_length)
        position = begin + int(length)
        yield kind, int(mode, 8), told[end + 1 : begin], told[begin:position], position
