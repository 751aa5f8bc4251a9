"""Judges the names and modes in a tree a sandbox wrote. Pure. Beside git's own fsck, because a rule of git's may be a mere warning.

Only entries the base does not hold are judged: what a repository has always carried is not the agent's doing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.git.errors import PackRefused

TREE, FILE, EXECUTABLE, SYMLINK, GITLINK = b"040000", b"100644", b"100755", b"120000", b"160000"
_MODES = frozenset({TREE, FILE, EXECUTABLE, SYMLINK, GITLINK})
_STORED_MODES = _MODES - {TREE} | {b"40000"}
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 4_096  # NAME_MAX and PATH_MAX of Linux: longer ones cannot come from a working tree

# What HFS+ ignores in names: next_hfs_char() in git's utf8.c (CVE-2014-9390).
_IGNORABLE = dict.fromkeys([0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `git ls-tree -r -t -z`."""

    mode: bytes
    sha: str
    path: bytes


def parse(listing: bytes) -> Iterator[Entry]:
    """The entries of a listing."""
    for line in listing.split(b"\0"):
        if line:
            described, _, path = line.partition(b"\t")
            mode, _kind, sha = described.split(b" ")
            yield Entry(mode, sha.decode("ascii"), path)


def judge(entries: Iterable[Entry], known: Iterable[Entry]) -> None:
    """Raise PackRefused when an entry that is not among `known` breaks a rule."""
    everything = list(entries)
    fresh = set(everything).difference(known)
    for entry in fresh:
        _judge_entry(entry)
    _judge_collisions(everything, fresh)


def judge_stored(content: bytes, sha_bytes: int) -> None:
    """Raise PackRefused when a tree object, as it is stored, holds a mode git would not write.

    git reads 100777 as 100755 and an unknown type as a submodule, in its fsck and in `ls-tree` too: only the stored bytes tell.
    """
    position = 0
    while position < len(content):
        mode, _, rest = content[position : position + 4096 + 8].partition(b" ")
        name, zero, _ = rest.partition(b"\0")
        if mode not in _STORED_MODES or not zero:
            raise PackRefused("the tree holds an entry with an unknown mode")
        position += len(mode) + 1 + len(name) + 1 + sha_bytes


def folded(path: bytes) -> str:
    """The path as a file system that ignores case and invisible characters would read it."""
    return path.decode("utf-8", "surrogateescape").translate(_IGNORABLE).casefold()


def alike(entries: Iterable[Entry]) -> frozenset[str]:
    """The folded paths that several entries share: where case is ignored, one of them is written over the other."""
    counted = Counter(folded(entry.path) for entry in entries)
    return frozenset(path for path, count in counted.items() if count > 1)


def is_git_directory(name: str) -> bool:
    """Whether some file system takes this name for `.git`: by case, ignorable characters, NTFS streams, short names or trailing dots."""
    plain = name.translate(_IGNORABLE).casefold().partition(":")[0].rstrip(" .")
    return plain == ".git" or (plain.startswith("git~") and plain[4:].isdigit())


def _judge_entry(entry: Entry) -> None:
    if entry.mode not in _MODES:
        raise PackRefused("the tree holds an entry with an unknown mode")
    if len(entry.path) > _MAX_PATH_BYTES:
        raise PackRefused("the tree holds a path longer than a path can be")
    for name in entry.path.split(b"/"):
        if not name or len(name) > _MAX_NAME_BYTES:
            raise PackRefused("the tree holds an absolute path, or a name that is empty or too long")
        for part in name.decode("utf-8", "surrogateescape").split("\\"):  # on Windows a backslash separates
            if part in {".", ".."} or is_git_directory(part):
                raise PackRefused("the tree holds a name that leads into a .git directory or out of the tree")


def _judge_collisions(everything: list[Entry], fresh: set[Entry]) -> None:
    exact = Counter(entry.path for entry in everything)
    if any(exact[entry.path] > 1 for entry in fresh):
        raise PackRefused("the tree holds a name twice")
    links = [entry for entry in fresh if entry.mode in {SYMLINK, GITLINK}]
    if not links:
        return
    alike = Counter(folded(entry.path) for entry in everything)
    if any(alike[folded(entry.path)] > 1 for entry in links):
        # CVE-2024-32002: where case is ignored, files are written through such a link.
        raise PackRefused("the tree holds a link whose name differs from another entry's by case alone")
