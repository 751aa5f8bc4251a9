"""Makes git objects exactly as a test wants them, with plumbing alone: no working tree normalises anything."""

import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{
        f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Test"), ("EMAIL", "test@example.org"))
    },
    "GIT_AUTHOR_DATE": "@1700000000 +0000",
    "GIT_COMMITTER_DATE": "@1700000000 +0000",
}


@dataclass(frozen=True)
class Blob:
    """A file as a tree holds it."""

    content: bytes
    mode: str = "100644"


def git(directory: Path, *arguments: str | bytes | Path, stdin: bytes = b"", **environment: str) -> bytes:
    """Run plain git in a directory and give what it says; raises when it fails."""
    done = subprocess.run(
        ["git", "-C", directory, *arguments],  # noqa: S607 - the machine's git
        input=stdin,
        env=_ENVIRONMENT | environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout


def init(path: Path) -> Path:
    """An empty bare repository whose default branch is main."""
    path.mkdir(parents=True, exist_ok=True)
    git(path, "init", "--quiet", "--bare", "--initial-branch=main")
    return path


def write_blob(repository: Path, content: bytes) -> str:
    """A blob."""
    return git(repository, "hash-object", "-w", "--stdin", "-t", "blob", stdin=content).decode().strip()


def write_tree(repository: Path, files: Mapping[bytes, Blob]) -> str:
    """The tree of these files."""
    lines = b"".join(f"{blob.mode} {_object(repository, blob)}\t".encode() + path + b"\0" for path, blob in sorted(files.items()))
    index = repository / f"index-{uuid.uuid4().hex}"
    git(repository, "update-index", "-z", "--index-info", stdin=lines, GIT_INDEX_FILE=str(index))
    tree = git(repository, "write-tree", "--missing-ok", GIT_INDEX_FILE=str(index)).decode().strip()
    index.unlink(missing_ok=True)
    return tree


def raw_tree(repository: Path, *entries: tuple[bytes, bytes, str]) -> str:
    """A tree of (mode, name, sha) that no check has seen: also one that git would refuse."""
    content = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
    return git(repository, "hash-object", "-w", "--stdin", "--literally", "-t", "tree", stdin=content).decode().strip()


def write_commit(repository: Path, tree: str, *parents: str, message: str = "base", branch: str | None = "main") -> str:
    """A commit, and a branch that holds it."""
    given = [part for parent in parents for part in ("-p", parent)]
    commit = git(repository, "commit-tree", tree, *given, "-m", message).decode().strip()
    if branch is not None:
        git(repository, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def thin_pack(repository: Path, tree: str, base: str | None) -> bytes:
    """What the sandbox hands out: a thin pack of what the tree adds to the base."""
    wanted = f"{tree}\n^{base}\n" if base else f"{tree}\n"
    return git(repository, "pack-objects", "--thin", "--revs", "--stdout", "--delta-base-offset", "-q", stdin=wanted.encode())


def branches(repository: Path) -> dict[str, str]:
    """The commits the branches hold."""
    listed = git(repository, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads").decode()
    return {name: commit for name, _, commit in (line.partition(" ") for line in listed.splitlines())}


def tree_of(repository: Path, revision: str) -> str:
    """The tree of a commit."""
    return git(repository, "rev-parse", "--verify", f"{revision}^{{tree}}").decode().strip()


def _object(repository: Path, blob: Blob) -> str:
    return blob.content.decode() if blob.mode == "160000" else write_blob(repository, blob.content)
