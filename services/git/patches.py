r"""Reads what git's diff commands print: raw records, counts, and patch text cut into files and hunks. Pure.

Lines are bytes and end with `\n` alone: a carriage return belongs to the line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.git.protected import Touched

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_HEADER = b"diff --git "


@dataclass(frozen=True, slots=True)
class Record:
    """One changed file of `git diff-tree --raw --numstat -z`. Counts are None where git calls the content binary."""

    touched: Touched
    old_sha: str
    new_sha: str
    status: str
    additions: int | None = None
    deletions: int | None = None


@dataclass(slots=True)
class TextHunk:
    """One hunk; `lines` keep their first character and have lost their line feed."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: list[bytes] = field(default_factory=list[bytes])


@dataclass(slots=True)
class Section:
    """What the patch says about one side of one file: hunks, or that it is binary."""

    binary: bool = False
    hunks: list[TextHunk] = field(default_factory=list[TextHunk])


def records(output: bytes) -> list[Record]:
    """The records of `--raw --numstat -z`, in git's order, which is also the order of the patch."""
    tokens = iter(output.split(b"\0"))
    found: list[Record] = []
    counts: dict[bytes, tuple[int | None, int | None]] = {}
    for token in tokens:
        if token.startswith(b":"):
            found.append(_raw(token, tokens))
        elif token:
            path, counted = _counted(token, tokens)
            counts[path] = counted
    return [_with_counts(record, counts) for record in found]


def _raw(token: bytes, tokens: Iterator[bytes]) -> Record:
    old_mode, new_mode, old_sha, new_sha, status = token[1:].split(b" ")
    first = next(tokens)
    second = next(tokens) if status[:1] in {b"R", b"C"} else first
    return Record(Touched(first, second, old_mode, new_mode), old_sha.decode(), new_sha.decode(), status[:1].decode())


def _counted(token: bytes, tokens: Iterator[bytes]) -> tuple[bytes, tuple[int | None, int | None]]:
    added, deleted, path = token.split(b"\t", 2)
    if not path:  # a rename: the names follow
        next(tokens)
        path = next(tokens)
    return path, (None, None) if added == b"-" else (int(added), int(deleted))


def _with_counts(record: Record, counts: dict[bytes, tuple[int | None, int | None]]) -> Record:
    additions, deletions = counts.get(record.touched.path, (None, None))
    return Record(record.touched, record.old_sha, record.new_sha, record.status, additions, deletions)


def sections(patch: bytes, *, truncated: bool = False) -> Iterator[Section]:
    """One section per `diff --git` of a patch without binary data. Of a truncated patch the last, broken section is left out."""
    lines = patch.split(b"\n")
    if not truncated and lines and not lines[-1]:
        lines.pop()
    current: Section | None = None
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith(_HEADER):
            if current is not None:
                yield current
            current = Section()
        elif current is not None and line.startswith(b"Binary files "):
            current.binary = True
        elif current is not None and (match := _HUNK.match(line)):
            hunk, position = _hunk(match, lines, position)
            current.hunks.append(hunk)
    if current is not None and not truncated:
        yield current


def _hunk(match: re.Match[bytes], lines: list[bytes], position: int) -> tuple[TextHunk, int]:
    """Lines are counted, not recognised: content may look like a header."""
    old_start, old_lines, new_start, new_lines = (1 if number is None else int(number) for number in match.groups())
    hunk = TextHunk(old_start, old_lines, new_start, new_lines)
    old_left, new_left = old_lines, new_lines
    while position < len(lines) and (old_left > 0 or new_left > 0 or lines[position].startswith(b"\\")):
        line = lines[position]
        kind = line[:1]
        old_left -= kind in {b" ", b"-", b""}
        new_left -= kind in {b" ", b"+", b""}
        hunk.lines.append(line)
        position += 1
    return hunk, position
