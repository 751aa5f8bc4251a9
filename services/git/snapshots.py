"""Makes the snapshot a sandbox starts from: a shallow bare repository at the base commit, as an archive.

It holds no hook, no remote, no address and no configuration of ours; the checkout happens inside the sandbox.
"""

import asyncio
from pathlib import Path

from services.git import archives, history
from services.git.command import Caps, Git
from services.git.errors import RepositoryTooLarge
from services.git.mirrors import Base, create_bare

BRANCH = "refs/heads/base"
_CONFIG = b"[core]\n\trepositoryformatversion = %d\n\tfilemode = true\n\tbare = true\n"
_SHA256 = b"[extensions]\n\tobjectformat = sha256\n"
_SHA256_LENGTH = 64
# The same objects give the same bytes whatever packs the mirror holds: nothing is reused, no search depends on threads.
_PACK = ("pack-objects", "--revs", "--stdout", "-q", "--threads=1", "--window=0", "--no-reuse-object", "--delta-base-offset")


async def make(git: Git, base: Base, directory: Path, *, depth: int, max_bytes: int, timeout_seconds: float) -> Path:
    """The archive, written into the empty `directory`. Raises RepositoryTooLarge."""
    boundary = (await history.within(git, base.mirror, base.commit_sha, depth)).boundary
    pack, repository, archive = directory / "base.pack", directory / "repo.git", directory / "workspace.tar"
    wanted = "".join(f"--shallow {commit}\n" for commit in boundary) + f"{base.commit_sha}\n"
    caps = Caps(timeout_seconds=timeout_seconds, file_bytes=max_bytes)
    packed = await git.run(*_PACK, repository=base.mirror, stdin=wanted.encode(), stdout=pack, config=("core.compression=1",), caps=caps)
    if packed.code != 0 and pack.stat().st_size >= max_bytes:
        raise RepositoryTooLarge(f"the snapshot's pack is over {max_bytes} bytes")
    packed.required()
    sha256 = len(base.commit_sha) == _SHA256_LENGTH
    await create_bare(git, repository, sha256=sha256)
    (await git.run("index-pack", "--stdin", repository=repository, stdin=pack, caps=Caps(timeout_seconds=timeout_seconds))).required()
    texts = {
        "HEAD": f"ref: {BRANCH}\n".encode(),
        "config": _CONFIG % 1 + _SHA256 if sha256 else _CONFIG % 0,
        BRANCH: f"{base.commit_sha}\n".encode(),
        **({"shallow": "".join(f"{commit}\n" for commit in boundary).encode()} if boundary else {}),
    }
    files = {f"objects/pack/{file.name}": file for file in (repository / "objects/pack").iterdir() if file.suffix in {".pack", ".idx"}}
    await asyncio.to_thread(archives.write, archive, ("objects", "objects/pack", "refs", "refs/heads"), texts, files)
    if archive.stat().st_size > max_bytes:
        raise RepositoryTooLarge(f"the snapshot is over {max_bytes} bytes")
    return archive
