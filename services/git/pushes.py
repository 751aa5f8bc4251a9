"""Pushes one commit to one branch, as often as it takes, with one effect: the branch holds this commit or what it held before."""

from pathlib import Path

import structlog

from services.git import complaints, refs
from services.git.command import Caps, Completed, Git, Remote
from services.git.errors import CommandFailed, CommandTimedOut, PushUnreachable

log = structlog.get_logger(__name__)

_PUSH = (
    "push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no", "--no-progress",
)  # fmt: skip
# What a sandbox made is packed once more: without these git holds a window of ten whole files in memory on each core.
_FRUGAL = ("pack.threads=1", "pack.windowMemory=64m", "pack.deltaCacheSize=64m", "core.bigFileThreshold=8m")
_RACE = (b"cannot lock ref", b"failed to update ref", b"reference already exists", b"incorrect old value")
# A local receive-pack would run the repository's own hooks as this service.
_NO_HOOKS = "--receive-pack=git -c core.hooksPath=/dev/null receive-pack"


async def push(git: Git, repository: Path, remote: Remote, *, commit_sha: str, branch: str, caps: Caps, expected: str = "") -> None:
    """Let `branch` hold `commit_sha`, if it now holds `expected` (empty: does not exist) or already this commit.

    Raises BranchTaken, PushAuth, PushRefused or PushUnreachable.
    """
    ref = refs.branch(branch)
    update = (f"--force-with-lease={ref}:{expected}", "--end-of-options", remote.url, f"{commit_sha}:{ref}")
    done = await _push(git, repository, remote, update, caps)
    if done.code != 0 and any(words in done.output for words in _RACE):
        # Another push of ours may have won in between: the second answer tells whether it was the same commit.
        done = await _push(git, repository, remote, update, caps)
    if done.code == 0:
        return
    error = complaints.of_push(done.complaint, done.output)
    log.info("push_failed", code=error.__name__ if error else None, complaint=done.complaint[-2000:].decode("utf-8", "replace"))
    if error is None:
        raise CommandFailed(f"push ended with {done.code}")
    raise error("the remote refused the push")


async def _push(git: Git, repository: Path, remote: Remote, update: tuple[str, ...], caps: Caps) -> Completed:
    hooks = (_NO_HOOKS,) if remote.destination.address.protocol == "file" else ()
    try:
        return await git.run(
            *_PUSH, *hooks, *update,
            repository=repository, remote=remote, caps=caps, config=("push.negotiate=true", *_FRUGAL),
        )  # fmt: skip
    except CommandTimedOut as error:
        raise PushUnreachable("the push took too long") from error
