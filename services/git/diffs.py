"""What a reviewer sees, made once: the changes document, and a patch that applies to the base and gives the published tree.

Hunks are git's own. Caps turn what is too much into the state `too_large`; nothing is left out silently.
"""
# ruff: noqa: ASYNC240 - single calls on the local disk; whatever takes longer goes to a thread

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.git import objects, trees
from services.git.command import MIB, Caps, Git
from services.git.errors import CommandTimedOut, ResultTooLarge
from services.git.patches import Record, Section, records, sections
from services.git.protected import Protection
from services.git.takein import Taken
from services.git.together import both
from services.git.trees import GITLINK, SYMLINK
from shared.events.changes import ChangesDocument, FileChange, Hunk

_RENAMES = ("-M", "-l400")
_DIFF = ("diff-tree", "-r", "--no-color", "--no-ext-diff", "--no-textconv", "--full-index", "--ignore-submodules=none", "--submodule=short")
_STATUS: dict[str, Literal["added", "modified", "deleted", "renamed", "copied", "type_changed"]] = {
    "A": "added", "M": "modified", "D": "deleted", "R": "renamed", "C": "copied", "T": "type_changed",
}  # fmt: skip
_NEW_NAME, _ALIKE = frozenset("ARC"), "another name but for case"
_ABSENT = b"000000"
_NO_MEMORY = b"Out of memory"  # a small pack can hold a file of gigabytes, which a patch needs whole
_MAX_LINKS = 20_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of a change is shown."""

    files: int = 1_000
    file_bytes: int = 512 * 1024
    """Of one side of one file."""
    document_bytes: int = 8 * MIB
    """Of all texts and hunks together."""
    patch_bytes: int = 64 * MIB
    memory_bytes: int = 4096 * MIB
    timeout_seconds: float = 120.0

    def caps(self, output_bytes: int) -> Caps:
        """The caps of one diff command."""
        return Caps(timeout_seconds=self.timeout_seconds, output_bytes=output_bytes, memory_bytes=self.memory_bytes)


@dataclass(frozen=True, slots=True)
class Diff:
    """The document and the sums over all files, also those it does not list."""

    document: ChangesDocument
    files: int
    additions: int
    deletions: int
    protected_files: int


async def changes(git: Git, taken: Taken, protection: Protection, sizes: Sizes) -> Diff:
    """Compare the base's tree with the tree taken in. Raises ResultTooLarge when even the list of files is too much."""
    found = await _records(git, taken, sizes)
    await _follow_links(git, taken, protection, sizes)
    reasons = await asyncio.to_thread(_reasons, found, taken, protection)
    shown = _shown([reason is not None for reason in reasons], sizes.files)
    sections_of, texts = await both(_sections(git, taken, found, sizes), _texts(git, taken, [found[index] for index in shown], sizes))
    counts = [_counts(record, parts) for record, parts in zip(found, sections_of, strict=True)]
    budget, files = sizes.document_bytes, list[FileChange]()
    for index in shown:
        file, budget = _file(found[index], sections_of[index], texts, budget, counts[index], protected_by=reasons[index])
        files.append(file)
    return Diff(
        ChangesDocument(base_sha=taken.base_sha, tree_sha=taken.tree_sha, files=tuple(files), truncated=len(shown) < len(found)),
        files=len(found),
        additions=sum(additions for additions, _ in counts),
        deletions=sum(deletions for _, deletions in counts),
        protected_files=sum(reason is not None for reason in reasons),
    )


def _reasons(found: Sequence[Record], taken: Taken, protection: Protection) -> list[str | None]:
    """Why each record waits for a person, or None: it is to protected paths, or a new name is another's but for case.

    On a machine that ignores case the second overwrites the first, and what was reviewed is not what is there.
    """
    alike = trees.alike(taken.entries)
    return [
        protection.reason(record.touched) or (_ALIKE if record.status in _NEW_NAME and trees.folded(record.touched.path) in alike else None)
        for record in found
    ]


async def write_patch(git: Git, taken: Taken, path: Path, sizes: Sizes) -> None:
    """The whole change as `git apply` takes it, binary content included. Over a limit: a text that no tool takes for a patch."""
    try:
        done = await git.run(
            *_DIFF, *_RENAMES, "-p", "--binary", taken.base_sha, taken.tree_sha,
            repository=taken.repository, stdout=path,
            caps=Caps(timeout_seconds=sizes.timeout_seconds, file_bytes=sizes.patch_bytes, memory_bytes=sizes.memory_bytes),
        )  # fmt: skip
    except CommandTimedOut:
        path.write_text("The patch takes too long to make. Fetch the branch instead.\n")
        return
    if done.code != 0 and path.stat().st_size >= sizes.patch_bytes:
        path.write_text(f"The patch is larger than {sizes.patch_bytes} bytes. Fetch the branch instead.\n")
    elif done.code != 0 and _NO_MEMORY in done.complaint:
        path.write_text("The patch takes too much memory to make. Fetch the branch instead.\n")
    else:
        done.required()


async def _records(git: Git, taken: Taken, sizes: Sizes) -> list[Record]:
    done = await git.run(
        *_DIFF, *_RENAMES, "--raw", "--numstat", "-z", taken.base_sha, taken.tree_sha,
        repository=taken.repository, config=_big(sizes), caps=sizes.caps(64 * MIB), truncate=True,
    )  # fmt: skip
    if done.truncated:
        raise ResultTooLarge("the change touches too many files")
    return records(done.required().output)


def _big(sizes: Sizes) -> tuple[str, ...]:
    return (f"core.bigFileThreshold={sizes.file_bytes}",)  # git calls what is larger binary and does not read it


def _shown(guarded: Sequence[bool], limit: int) -> list[int]:
    """The files to list, in git's order; protected ones are the last to be left out."""
    first = sorted(range(len(guarded)), key=lambda index: (not guarded[index], index))
    return sorted(first[:limit])


async def _sections(git: Git, taken: Taken, found: Sequence[Record], sizes: Sizes) -> list[list[Section] | None]:
    """Per record its sections (two for a change of type); None for what did not fit."""
    done = await git.run(
        *_DIFF, *_RENAMES, "-p", taken.base_sha, taken.tree_sha,
        repository=taken.repository, config=_big(sizes), caps=sizes.caps(4 * sizes.document_bytes), truncate=True,
    )  # fmt: skip
    if not done.truncated:
        done.required()
    queue = deque(await asyncio.to_thread(lambda: list(sections(done.output, truncated=done.truncated))))
    return [_take(queue, 2 if record.status == "T" else 1) for record in found]


def _take(queue: deque[Section], count: int) -> list[Section] | None:
    if len(queue) < count:
        queue.clear()
        return None
    return [queue.popleft() for _ in range(count)]


async def _texts(git: Git, taken: Taken, shown: Sequence[Record], sizes: Sizes) -> dict[str, bytes | None]:
    """Contents by blob; None for one that is too large."""
    wanted = dict.fromkeys(
        sha
        for record in shown
        for sha, mode in ((record.old_sha, record.touched.old_mode), (record.new_sha, record.touched.new_mode))
        if mode not in {_ABSENT, GITLINK}
    )
    size = {each.sha: each.size for each in await objects.described(git, taken.repository, wanted, sizes.caps(64 * MIB))}
    budget, chosen = 2 * sizes.document_bytes, list[str]()
    for sha in wanted:
        if size[sha] <= min(sizes.file_bytes, budget):
            budget -= size[sha]
            chosen.append(sha)
    contents = await objects.contents(git, taken.repository, chosen, sizes.caps(4 * sizes.document_bytes + 16 * MIB))
    return {sha: contents.get(sha) for sha in wanted}


async def _follow_links(git: Git, taken: Taken, protection: Protection, sizes: Sizes) -> None:
    """Targets are read only where a link stands at something protected: then every link of the tree counts."""
    links = [entry for entry in taken.entries if entry.mode == SYMLINK]
    if not any(protection.guards_link(link.path) for link in links):
        return
    if len(links) > _MAX_LINKS:
        raise ResultTooLarge("the tree holds too many symbolic links to follow")
    targets = await objects.contents(git, taken.repository, {link.sha for link in links}, sizes.caps(64 * MIB))
    protection.follow({link.path: targets[link.sha] for link in links})


def _file(
    record: Record,
    parts: list[Section] | None,
    texts: dict[str, bytes | None],
    budget: int,
    counts: tuple[int, int],
    *,
    protected_by: str | None,
) -> tuple[FileChange, int]:
    touched = record.touched
    before, after = texts.get(record.old_sha), texts.get(record.new_sha)
    sides = [(record.old_sha, touched.old_mode, before), (record.new_sha, touched.new_mode, after)]
    used = sum(len(text) for text in (before, after) if text) + sum(
        len(line) for part in parts or () for hunk in part.hunks for line in hunk.lines
    )
    content = _content([text for _, mode, text in sides if mode not in {_ABSENT, GITLINK}], parts, touched.old_mode, touched.new_mode)
    if content == "text" and used > budget:
        content = "too_large"
    text = content == "text"
    change = FileChange(
        path=_shown_path(touched.path),
        old_path=_shown_path(touched.old_path) if record.status in {"R", "C"} else None,
        status=_STATUS[record.status],
        old_mode=_mode(touched.old_mode),
        new_mode=_mode(touched.new_mode),
        protected=protected_by is not None,
        protected_by=protected_by,
        content=content,
        additions=counts[0],
        deletions=counts[1],
        before=before.decode("utf-8", "replace") if text and before is not None and touched.old_mode != _ABSENT else None,
        after=after.decode("utf-8", "replace") if text and after is not None and touched.new_mode != _ABSENT else None,
        hunks=_hunks(parts or ()) if content in {"text", "submodule"} else (),
    )
    return change, budget - (used if text else 0)


def _counts(record: Record, parts: list[Section] | None) -> tuple[int, int]:
    """Added and deleted lines. For a change of type git's own counts compare the contents, while its patch replaces one by the other."""
    if record.status != "T" or parts is None:
        return record.additions or 0, record.deletions or 0
    lines = [line for part in parts for hunk in part.hunks for line in hunk.lines]
    return sum(line.startswith(b"+") for line in lines), sum(line.startswith(b"-") for line in lines)


def _content(
    present: Sequence[bytes | None], parts: list[Section] | None, old_mode: bytes, new_mode: bytes
) -> Literal["text", "binary", "too_large", "submodule"]:
    if GITLINK in {old_mode, new_mode}:
        return "submodule"
    if parts is None or None in present:
        return "too_large"
    return "binary" if any(part.binary for part in parts) or any(b"\0" in text[:8000] for text in present if text) else "text"


def _hunks(parts: Sequence[Section]) -> tuple[Hunk, ...]:
    return tuple(
        Hunk(
            old_start=hunk.old_start, old_lines=hunk.old_lines, new_start=hunk.new_start, new_lines=hunk.new_lines,
            lines=tuple(line.decode("utf-8", "replace") for line in hunk.lines),
        )
        for part in parts
        for hunk in part.hunks
    )  # fmt: skip


def _shown_path(path: bytes) -> str:
    return path.decode("utf-8", "replace")


def _mode(mode: bytes) -> str | None:
    return None if mode == _ABSENT else mode.decode()
