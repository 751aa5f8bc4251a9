"""The changes document: per file what a reviewer sees, written once by git as a blob and served as it is by the gateway."""

from typing import Literal

from shared.events.ids import GitSha
from shared.events.payload import Value


class Hunk(Value):
    r"""One hunk of git's own diff. Line numbers count from 1; `lines` keep their leading ` `, `+`, `-` or `\`."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[str, ...]


class FileChange(Value):
    """One changed file. `before` and `after` are None for binary or too large content and where the file is absent."""

    path: str
    """UTF-8 where it is; other bytes are shown with surrogates replaced."""
    old_path: str | None = None
    status: Literal["added", "modified", "deleted", "renamed", "copied", "type_changed"]
    old_mode: str | None = None
    new_mode: str | None = None
    protected: bool = False
    protected_by: str | None = None
    """The pattern it meets, `submodule`, `symbolic link` (it leads to something protected, or something protected leads here), or
    `another name but for case`."""
    content: Literal["text", "binary", "too_large", "submodule"] = "text"
    additions: int = 0
    deletions: int = 0
    before: str | None = None
    after: str | None = None
    hunks: tuple[Hunk, ...] = ()


class ChangesDocument(Value):
    """What a task changed: from the base commit's tree to the published tree."""

    base_sha: GitSha
    tree_sha: GitSha
    files: tuple[FileChange, ...]
    truncated: bool = False
    """More files changed than the document lists."""
