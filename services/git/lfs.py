"""Git LFS, which this service does not speak: pointers travel as the text they are, content in the place of one is refused by name.

A repository that names `filter=lfs` for a path wants a pointer there; plain content would be taken by everybody who clones it for a pointer
that is broken, or grow the history that LFS is there to keep small (decision 0011).
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from services.git import objects
from services.git.command import Caps, Git
from services.git.errors import LfsContent
from services.git.trees import EXECUTABLE, FILE, Entry

_NAME = b".gitattributes"
_FILES = frozenset({FILE, EXECUTABLE})
_MAX_POINTER_BYTES = 1_024  # as git-lfs reads them (docs/spec.md)
_POINTER = re.compile(rb"version https?://[!-~]+\n(ext-\d-[^\n]+\n)*oid [a-z0-9]+:[0-9a-f]+\nsize \d+\n")
_ANY_NAME = ("core.protectHFS=false", "core.protectNTFS=false")  # `trees` has judged names; what the base has always held may be odd


async def judge(git: Git, repository: Path, tree_sha: str, entries: tuple[Collection[Entry], Iterable[Entry]], caps: Caps) -> None:
    """Raise LfsContent when the tree holds, where its attributes say LFS, a file that the base does not hold and that is no pointer.

    `entries` are the tree's and the base's.
    """
    made, based = entries
    attributes = {entry.sha for entry in made if entry.mode in _FILES and entry.path.rpartition(b"/")[2] == _NAME}
    texts = await objects.contents(git, repository, attributes, caps)
    if not any(b"lfs" in text for text in texts.values()):
        return
    known = {(entry.path, entry.sha) for entry in based}
    fresh = [entry for entry in made if entry.mode in _FILES and (entry.path, entry.sha) not in known]
    kept = await _under_lfs(git, repository, tree_sha, [entry.path for entry in fresh], caps)
    wanted = {entry.sha for entry in fresh if entry.path in kept}
    if any(blob.size > _MAX_POINTER_BYTES for blob in await objects.described(git, repository, wanted, caps)):
        raise LfsContent("a file under an LFS attribute is larger than a pointer")
    for content in (await objects.contents(git, repository, wanted, caps)).values():
        if content and _POINTER.fullmatch(content) is None:  # git-lfs keeps an empty file as an empty file
            raise LfsContent("a file under an LFS attribute is no pointer")


async def _under_lfs(git: Git, repository: Path, tree_sha: str, paths: Collection[bytes], caps: Caps) -> set[bytes]:
    """Which of the paths the tree's own attributes give to LFS: read from an index, for nothing is ever checked out here."""
    index = repository / "attributes-index"
    beside = {"GIT_INDEX_FILE": str(index)}
    (await git.run("read-tree", tree_sha, repository=repository, environment=beside, config=_ANY_NAME, caps=caps)).required()
    said = await git.run(
        "check-attr", "--cached", "--stdin", "-z", "filter",
        repository=repository, environment=beside, stdin=b"".join(path + b"\0" for path in paths), caps=caps,
    )  # fmt: skip
    index.unlink()
    parts = iter(said.required().output.split(b"\0")[:-1])
    return {path for path, _, value in zip(parts, parts, parts, strict=True) if value == b"lfs"}
