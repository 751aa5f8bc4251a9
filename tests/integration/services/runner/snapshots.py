"""Real repositories and their snapshots, as the git service makes them: a tar of a shallow bare clone with one directory repo.git/."""

import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from shared.events.ids import GitSha

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(directory: Path, *arguments: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(["/usr/bin/git", *arguments], cwd=directory, env=ENVIRONMENT, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.decode(errors="surrogateescape").strip()


@dataclass(frozen=True)
class Snapshot:
    tar: Path
    base_sha: GitSha
    repository: Path

    def take_in(self, pack: Path, room: Path) -> Path:
        """A bare repository that holds the pack's objects on top of the base's, taken in as a server takes a push."""
        room.mkdir()
        git(room, "init", "--quiet", "--bare", ".")
        (room / "objects/info/alternates").write_text(f"{self.repository / '.git/objects'}\n")
        git(room, "index-pack", "--stdin", "--fix-thin", "--strict", stdin=pack.read_bytes())
        return room


def repository(directory: Path, files: dict[str, bytes]) -> Path:
    """A repository with a first commit that is older than its head."""
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=main", ".")
    git(directory, "config", "core.protectNTFS", "false")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", "first")
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    commit(directory)
    return directory


def commit(directory: Path) -> None:
    git(directory, "add", "--all", ".")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", "change")


def snapshot(source: Path, into: Path, depth: int = 1) -> Snapshot:
    into.mkdir(exist_ok=True)
    git(into, "clone", "--quiet", "--bare", f"--depth={depth}", "--no-tags", f"file://{source}", "repo.git")
    tar = into / "workspace.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(into / "repo.git", "repo.git")
    return Snapshot(tar, git(source, "rev-parse", "HEAD"), source)
