"""What should be published, worked out again from what the work tree holds: the rule, without the index, the checks of times and the packs.

The rule (decision 0011), path by path over the work tree the agent left:

1. Nothing named `.git` is part of it, nor is what the agent's own git says (index, configuration, excludes, attributes, commits).
2. A path the base does not hold is part of it unless the work tree's `.gitignore` files ignore it. What the base holds is never
   ignored.
3. A symbolic link is its target; a file is executable when its owner may execute it; directories are not recorded.
4. A file whose bytes are the ones that were checked out is stored as the base stores it, whatever its times, attributes or inode.
5. Any other file is stored as git cleans its bytes by the `.gitattributes` of the work tree as it was left. (Under `text=auto` a file
   that the base stores with CRLF keeps them: gitattributes(5).)
6. A submodule of the base is what it was while its directory is empty. Files in it, a repository inside the work, what git cannot store,
   and content in the place of an LFS pointer are refused, by a code of their own.

Which patterns match which paths is asked of git (`check-attr`, `check-ignore`) in a directory that holds the same files and no history;
bytes and trees are this module's own.
"""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.integration.fidelity.clean import ATTRIBUTES, CannotStore, cleaned
from tests.integration.fidelity.worktree import WorkTree
from tests.servers import git_objects
from tests.servers.git_objects import Blob

GITLINK, SYMLINK = "160000", "120000"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:"


@dataclass(frozen=True)
class Expected:
    """The files of the tree to be published, or why there is none."""

    files: Mapping[bytes, Blob]
    codes: frozenset[str] = frozenset()
    """Not empty: it must be refused, by one of these."""


class Oracle:
    """Judges work on a base of these files, in an empty directory."""

    def __init__(self, base: Mapping[bytes, Blob], pristine: WorkTree, work: WorkTree, directory: Path) -> None:
        self._base, self._pristine, self._work = base, pristine, work
        self._directory = directory
        git_objects.git(directory, "init", "--quiet", "--template=")
        _lay_out(directory, work)

    def expected(self) -> Expected:
        """The files, or the codes."""
        codes = set[str]()
        if any(self._base[path].mode == GITLINK and self._work.below(path) for path in self._base):
            codes.add("submodule_content")
        if any(not self._base_below(place) and not self._ignored([place]) for place in self._work.nested):
            codes.add("nested_repository")
        found = self._submodules()
        taking_part = self._taking_part()
        attributes = self._attributes(taking_part)
        for path in taking_part:
            try:
                found[path] = self._stored(path, attributes[path])
            except CannotStore:
                codes.add("pack_refused")
        if any(_lost_to_lfs(self._base.get(path), found[path], attributes[path]) for path in taking_part if path in found):
            codes.add("lfs_content")
        if _hidden_link(self._base, found):
            codes.add("pack_refused")
        return Expected(found, frozenset(codes))

    def _submodules(self) -> dict[bytes, Blob]:
        return {path: blob for path, blob in self._base.items() if blob.mode == GITLINK and path in self._work.directories}

    def _base_below(self, place: bytes) -> bool:
        return any(path.startswith(place + b"/") for path in self._base)

    def _taking_part(self) -> list[bytes]:
        ignored = self._ignored(path for path in self._work.files if path not in self._base)
        return [path for path in self._work.files if path not in ignored]

    def _stored(self, path: bytes, attributes: Mapping[bytes, bytes]) -> Blob:
        now, then, known = self._work.files[path], self._pristine.files.get(path), self._base.get(path)
        if SYMLINK in {now.mode, known.mode if known else None}:
            return now if now.mode == SYMLINK else Blob(cleaned(now.content, attributes, None), now.mode)
        if then is not None and known is not None and then.content == now.content:
            return Blob(known.content, now.mode)
        stored = known.content if known is not None and known.mode != GITLINK else None
        return Blob(cleaned(now.content, attributes, stored), now.mode)

    def _ignored(self, paths: Iterable[bytes]) -> set[bytes]:
        asked = b"".join(b"./" + path + b"\0" for path in paths)
        command = ("-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--stdin", "-z")
        done = subprocess.run(["git", "-C", self._directory, *command], input=asked, capture_output=True, check=False)  # noqa: S607
        assert done.returncode in {0, 1}, done.stderr  # 1: none is
        return {path.removeprefix(b"./") for path in done.stdout.split(b"\0") if path}

    def _attributes(self, paths: Iterable[bytes]) -> dict[bytes, dict[bytes, bytes]]:
        asked = b"".join(path + b"\0" for path in paths)
        wanted = (*ATTRIBUTES, b"filter")
        said = git_objects.git(self._directory, "-c", "core.attributesFile=/dev/null", "check-attr", "--stdin", "-z", *wanted, stdin=asked)
        parts = iter(said.split(b"\0")[:-1])
        found: dict[bytes, dict[bytes, bytes]] = {}
        for path, name, value in zip(parts, parts, parts, strict=True):
            found.setdefault(path, {})[name] = value
        return found


def _lay_out(directory: Path, work: WorkTree) -> None:
    top = bytes(directory)
    for name in sorted(work.directories):
        Path((top + b"/" + name).decode("utf-8", "surrogateescape")).mkdir(parents=True, exist_ok=True)
    for name, blob in work.files.items():
        path = Path((top + b"/" + name).decode("utf-8", "surrogateescape"))
        if blob.mode == SYMLINK:
            path.symlink_to(blob.content.decode("utf-8", "surrogateescape"))
        else:
            path.write_bytes(blob.content)


def _lost_to_lfs(known: Blob | None, blob: Blob, attributes: Mapping[bytes, bytes]) -> bool:
    if blob.mode == SYMLINK or attributes[b"filter"] != b"lfs" or (known is not None and known.content == blob.content):
        return False
    return bool(blob.content) and not blob.content.startswith(POINTER)


def _hidden_link(base: Mapping[bytes, Blob], found: Mapping[bytes, Blob]) -> bool:
    """A new link whose name another entry, or a directory above one, has but for case."""
    names = {b"/".join(path.split(b"/")[:length]) for path in found for length in range(1, path.count(b"/") + 2)}
    folded = [name.decode("utf-8", "surrogateescape").casefold() for name in names]
    fresh = [path for path, blob in found.items() if blob.mode == SYMLINK and base.get(path) != blob]
    return any(folded.count(path.decode("utf-8", "surrogateescape").casefold()) > 1 for path in fresh)
