"""What comes out of a sandbox and goes into the next one, poisoned by an agent that knows how it is read: it is refused, or it is data."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from services.runner.docker_factory import DockerSandboxes
from services.runner.errors import CheckoutFailed, CheckpointRefused
from services.runner.sandbox import Point, Sandbox, SessionPlace, Taken
from services.runner.sandbox import Snapshot as Wanted
from shared.events.ids import GitSha, SessionId
from tests.integration.services.runner.inside import MakeSpec, bash
from tests.integration.services.runner.snapshots import Snapshot, git

SESSION = SessionId("5f0c2a0e-9f6f-4b0c-8f2e-4a1d2f3b4c5d")
PLACE = SessionPlace("/home/agent/s", 1, ".jsonl", f"/home/agent/s/{SESSION}.jsonl")
MAX_BYTES = 1_000_000

NO_SESSIONS = {
    "a link to another's file": "ln -s /base/repo.git/config s/x.jsonl",
    "a link to the first process": "ln -s /proc/1/environ s/x.jsonl",
    "a directory that is a link": "rmdir s; ln -s /base/repo.git s; ls s/*",
    "a link to a directory of sessions": "mkdir t; echo '{}' > t/x.jsonl; ln -s ../t s/t",
    "a pipe that nobody fills": "mkfifo s/x.jsonl",
    "a socket": "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s/x.jsonl\")'",
    "a directory": "mkdir s/x.jsonl",
    "a line without end": "head -c 100000 /dev/zero > s/x.jsonl",
    "more than there is": "truncate -s 1T s/x.jsonl",
    "too deep": "mkdir -p s/a/b; echo '{}' > s/a/b/x.jsonl",
    "closed to its owner": "echo '{}' > s/x.jsonl; chmod 0 s/x.jsonl",
}
"""Each in /home/agent, where `s` is the directory of sessions."""

ROOMS = {
    "a room that is another repository": "rm -rf git && git init -q /tmp/other && ln -s /tmp/other/.git git",
    "a monitor, a filter and hooks": (
        "git --git-dir git config core.fsmonitor 'touch /tmp/ran'; git --git-dir git config core.hooksPath /tmp; "
        "git --git-dir git config filter.x.clean 'touch /tmp/ran; echo false'; "
        "echo '* filter=x' > git/info/attributes; echo '* filter=x' > /workspace/.gitattributes"
    ),
    "objects that are none": "find git/objects -type f -exec chmod u+w {} + -exec truncate -s 0 {} +",
    "an index that is none": "head -c 1000 /dev/urandom > index",
    "another's objects": "echo /etc > git/objects/info/alternates",
    "a lock": "touch git/index.lock index.lock; mkdir -p git/refs/heads/x.lock",
}
"""Each in /checkpoint, where a checkpoint was taken before."""


async def taken(sandbox: Sandbox, snapshot: Snapshot, room: Path) -> Taken:
    return await sandbox.checkpoint(Wanted(snapshot.base_sha, PLACE, MAX_BYTES), room)


async def test_a_session_that_is_no_file_of_its_own_is_none(sandbox: Sandbox, small_snapshot: Snapshot, tmp_path: Path) -> None:
    await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
    for name, script in NO_SESSIONS.items():
        await bash(sandbox, f"cd; rm -rf s t; mkdir s; {script}")
        with pytest.raises(CheckpointRefused):
            await taken(sandbox, small_snapshot, tmp_path)
        assert name
    await bash(sandbox, "cd; rm -rf s t; mkdir s; echo '{}' > s/x.jsonl; ln -s /base/repo.git/config s/y.jsonl; mkfifo s/z.jsonl")
    assert (await taken(sandbox, small_snapshot, tmp_path)).session.read_bytes() == b"{}\n", "the one that is a file is found"


async def test_what_an_agent_does_to_its_room_harms_its_own_checkpoint_alone(
    sandbox: Sandbox, small_snapshot: Snapshot, tmp_path: Path
) -> None:
    """It says what its agent has it say, and that is whole, or it is refused; nothing else is made of it."""
    await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
    await bash(sandbox, "mkdir ~/s; echo '{}' > ~/s/x.jsonl; echo work > work")
    for number, script in enumerate(ROOMS.values()):
        await taken(sandbox, small_snapshot, tmp_path)
        await bash(sandbox, f"cd /checkpoint; {script}; echo {number} > /workspace/work; rm -f /tmp/ran")
        try:
            told = await taken(sandbox, small_snapshot, tmp_path)
        except CheckpointRefused:
            await bash(sandbox, "find /checkpoint -mindepth 1 -delete; rm -f /workspace/.gitattributes")
            continue
        whole = small_snapshot.take_in(told.pack, tmp_path / f"whole-{number}")
        assert git(whole, "rev-list", "--objects", told.tree_sha), "what it names is there"
        await bash(sandbox, "find /checkpoint -mindepth 1 -delete; rm -f /workspace/.gitattributes")


async def test_a_checkpoint_whose_git_dies_is_tried_again(sandbox: Sandbox, small_snapshot: Snapshot, tmp_path: Path) -> None:
    """As it does when a file that it has mapped is cut short."""
    await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
    await bash(sandbox, "mkdir ~/s; echo '{}' > ~/s/x.jsonl; echo work > work")
    before = await taken(sandbox, small_snapshot, tmp_path)
    once = "if test -e /tmp/once; then cat; else touch /tmp/once; kill -KILL $PPID; fi"
    await bash(
        sandbox,
        f"cd /checkpoint; git --git-dir git config filter.x.clean '{once}'; echo '* filter=x' > git/info/attributes; touch /workspace/work",
    )
    after = await taken(sandbox, small_snapshot, tmp_path)
    assert after.tree_sha == before.tree_sha
    assert "once" in await bash(sandbox, "ls /tmp")


def entry(mode: str, name: str, sha: str) -> bytes:
    return f"{mode} {name}\0".encode() + bytes.fromhex(sha)


def poisoned(snapshot: Snapshot, room: Path) -> dict[str, tuple[GitSha, Path]]:
    """Trees that no work tree holds, each with a pack of it."""
    repository = snapshot.repository
    blob = git(repository, "hash-object", "-w", "--stdin", stdin=b"#!/bin/sh\ntouch /tmp/ran\n")

    def tree(*entries: bytes) -> GitSha:
        return git(repository, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=b"".join(entries))

    hooks = tree(entry("40000", "hooks", tree(entry("100755", "post-checkout", blob))))
    bombs = git(repository, "hash-object", "-w", "--stdin", stdin=b"x" * (64 << 20))
    trees = {
        "a repository's own directory": tree(entry("40000", ".git", hooks)),
        "the same in other letters": tree(entry("40000", ".GIT", hooks)),
        "the directory above": tree(entry("40000", "..", tree(entry("100644", "x", blob)))),
        "a path as a name": tree(entry("100644", "../../tmp/x", blob)),
        "two of a name, a link first": tree(
            entry("120000", "a", git(repository, "hash-object", "-w", "--stdin", stdin=b"/tmp")),
            entry("40000", "a", tree(entry("100644", "x", blob))),
        ),
        "a link to a commit": tree(entry("160000", "sub", snapshot.base_sha)),
        "more than the disk holds": tree(entry("100644", "bomb", bombs)),
    }
    packs = dict[str, tuple[GitSha, Path]]()
    for number, (name, sha) in enumerate(trees.items()):
        prefix = room / f"poison-{number}"
        packed = git(repository, "pack-objects", "--revs", "-q", str(prefix), stdin=f"{sha}\n".encode())
        packs[name] = sha, prefix.with_name(f"{prefix.name}-{packed}.pack")
    return packs


async def test_a_poisoned_checkpoint_is_not_gone_on_from(
    sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot, tmp_path: Path
) -> None:
    session = tmp_path / "session"
    session.write_bytes(b"{}\n")
    for name, (tree, pack) in poisoned(small_snapshot, tmp_path).items():
        sandbox = await sandboxes.create(replace(make_spec(), fence=1))
        await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
        with pytest.raises(CheckpointRefused):
            await sandbox.resume(small_snapshot.base_sha, Point(SESSION, session, tree, (pack,)), PLACE.path)
        told = await bash(sandbox, "ls -A /tmp /workspace/.git/hooks 2>&1 || :; ls -d /workspace/sub /workspace/a/x 2>/dev/null || :")
        assert not {"ran", "x", "post-checkout", "/workspace/sub", "/workspace/a/x"} & set(told.split()), name
        await sandbox.kill()


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


async def test_a_poisoned_snapshot_reaches_nothing_but_its_own_disk(sandbox: Sandbox, small_snapshot: Snapshot, tmp_path: Path) -> None:
    """A git service that was taken over makes the tar; what unpacks it is not the agent, and may write nowhere else."""
    poison = archive(
        tmp_path / "poison.tar",
        (member("repo.git", tarfile.SYMTYPE, "/workspace"), b""),
        (member("repo.git/objects/out", mode=0o4755), b"out"),
        (member("../tmp/above"), b"above"),
        (member("/home/agent/absolute"), b"absolute"),
        (member("passwd", tarfile.LNKTYPE, "/etc/passwd"), b""),
        (member("disk", tarfile.BLKTYPE), b""),
        (member("raised", mode=0o6777), b"#!/bin/sh\nid -u\n"),
    )
    with pytest.raises(CheckoutFailed):
        await sandbox.load(poison, small_snapshot.base_sha)
    left = await bash(
        sandbox, "find /tmp /workspace /home/agent /dev /run -mindepth 1 -writable -type f; find /base -type b; /base/raised 2>&1 || :"
    )
    assert "Permission denied" in left, "the disk runs nothing"
    assert not {"above", "absolute", "disk", "10002"} & {Path(line).name for line in left.splitlines()}
