"""What a sandbox may try to hand in. Each is refused by name, and nothing of it reaches a branch."""

import hashlib
import random
import tarfile
import zlib
from pathlib import Path

import pytest

from services.git import diffs, errors
from services.git.command import Git, Remote
from services.git.diffs import Sizes
from services.git.mirrors import Mirrors
from services.git.protected import Protection
from services.git.takein import Bounds
from tests.integration.services.git.conftest import OWNER, RemoteTo
from tests.integration.services.git.line import BOUNDS, MIB, Line
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob


class Attack:
    """A repository with a base, a sandbox's own object store, and a line to hand packs in on."""

    def __init__(self, line: Line, remote: Remote, repository: Path, base: str) -> None:
        self.line, self.remote, self.repository, self.base = line, remote, repository, base
        self.blob = git_objects.write_blob(repository, b"payload\n")

    def packed(self, *objects: str) -> bytes:
        """A pack of exactly these objects, whatever they refer to."""
        return git_objects.git(self.repository, "pack-objects", "--stdout", "-q", stdin="".join(f"{sha}\n" for sha in objects).encode())

    def tree(self, *entries: tuple[bytes, bytes, str]) -> str:
        return git_objects.raw_tree(self.repository, *entries)

    async def hand_in(self, tree: str, pack: bytes, bounds: Bounds = BOUNDS) -> None:
        await self.line.take_in(self.remote, self.base, tree, pack, bounds=bounds)


@pytest.fixture
async def attack(git: Git, mirrors: Mirrors, tmp_path: Path, server: GitServer, remote_to: RemoteTo) -> Attack:
    repository = server.create("demo")
    base = git_objects.write_commit(repository, git_objects.write_tree(repository, {b"a": Blob(b"a\n"), b"d/b": Blob(b"b\n")}))
    line, remote = Line(git, mirrors, tmp_path, OWNER), remote_to(server.url("demo"))
    await line.snapshot(remote)
    return Attack(line, remote, repository, base)


@pytest.mark.parametrize(
    "name",
    [
        b".git",
        b".GIT",
        b".git ",
        b".git.",
        b"git~1",
        b".g\xe2\x80\x8cit",
        b".git::$INDEX_ALLOCATION",
        b"..",
        b".",
        b"",
        b"a/b",
        b"x\\..\\.git\\config",
    ],
)
async def test_names_that_lead_out_or_into_git(attack: Attack, name: bytes) -> None:
    inner = attack.tree((b"100644", b"config", attack.blob))
    for tree in (attack.tree((b"40000", name, inner)), attack.tree((b"100644", name, attack.blob))):
        with pytest.raises(errors.PackRefused):
            await attack.hand_in(tree, attack.packed(tree, inner, attack.blob))
    deep = attack.tree((b"40000", name, inner))
    outer = attack.tree((b"40000", b"sub", deep))
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(outer, attack.packed(outer, deep, inner, attack.blob))


@pytest.mark.parametrize("mode", [b"100664", b"100777", b"040000", b"0", b"170000"])
async def test_broken_modes(attack: Attack, mode: bytes) -> None:
    tree = attack.tree((mode, b"x", attack.blob))
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(tree, attack.packed(tree, attack.blob))


async def test_a_name_twice_and_names_out_of_order(attack: Attack) -> None:
    inner = attack.tree((b"100644", b"x", attack.blob))
    for entries in (
        ((b"100644", b"a", attack.blob), (b"100755", b"a", attack.blob)),
        ((b"100644", b"a", attack.blob), (b"40000", b"a", inner)),
        ((b"100644", b"b", attack.blob), (b"100644", b"a", attack.blob)),
    ):
        tree = attack.tree(*entries)
        with pytest.raises(errors.PackRefused):
            await attack.hand_in(tree, attack.packed(tree, inner, attack.blob))


async def test_a_hostile_gitmodules(attack: Attack) -> None:
    evil = git_objects.write_blob(attack.repository, b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n')
    tree = attack.tree((b"100644", b".gitmodules", evil))
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(tree, attack.packed(tree, evil))


async def test_a_tree_with_objects_missing(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(tree, attack.packed(tree))
    nothing = attack.tree((b"100644", b"x", "d" * 40))
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(nothing, attack.packed(nothing))


async def test_another_tree_than_announced(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    for announced in ("e" * 40, attack.blob):
        with pytest.raises(errors.TreeMismatch):
            await attack.hand_in(announced, attack.packed(tree, attack.blob))


@pytest.mark.parametrize("pack", [b"", b"rubbish", b"PACK", b"PACK\0\0\0\2\xff\xff\xff\xff", b"PACK\0\0\0\2\0\0\0\1" + b"\x9d" * 200])
async def test_rubbish(attack: Attack, pack: bytes) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(tree, pack)


async def test_a_flipped_byte(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    pack = bytearray(attack.packed(tree, attack.blob))
    pack[len(pack) // 2] ^= 1
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(tree, bytes(pack))


@pytest.mark.parametrize("known", [True, False])
async def test_a_delta_needs_a_base_that_is_known(attack: Attack, known: bool) -> None:
    content = random.Random(1).randbytes(60_000)  # noqa: S311 - noise does not compress
    before = git_objects.write_tree(attack.repository, {b"x": Blob(content)})
    base = git_objects.write_commit(attack.repository, before, attack.base, branch="main" if known else None, message="next")
    tree = git_objects.write_tree(attack.repository, {b"x": Blob(content + b"more")})
    commit = git_objects.write_commit(attack.repository, tree, base, branch=None)
    pack = git_objects.thin_pack(attack.repository, commit, base)
    assert len(pack) < 10_000
    if known:
        await attack.line.snapshot(attack.remote)
        await attack.hand_in(tree, pack)
        return
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(tree, pack)


async def test_too_large_a_pack(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    with pytest.raises(errors.ResultTooLarge):
        await attack.hand_in(tree, attack.packed(tree, attack.blob), bounds=Bounds(pack_bytes=64, workspace_bytes=MIB))


async def test_a_small_pack_that_unfolds_ends_within_its_memory(attack: Attack) -> None:
    size = 400 * MIB
    compressed = zlib.compressobj(9)
    zeros = b"".join(compressed.compress(b"\0" * MIB) for _ in range(400)) + compressed.flush()
    kind, rest, head = 3, size, bytearray()
    byte, rest = (kind << 4) | (rest & 15), rest >> 4
    while rest:
        head.append(byte | 0x80)
        byte, rest = rest & 0x7F, rest >> 7
    head.append(byte)
    body = b"PACK\0\0\0\2\0\0\0\1" + bytes(head) + zeros
    pack = body + hashlib.sha1(body).digest()  # noqa: S324 - git's own trailer
    with pytest.raises(errors.PackRefused):
        await attack.hand_in(
            "e" * 40, pack, bounds=Bounds(pack_bytes=8 * MIB, workspace_bytes=MIB, memory_bytes=256 * MIB, timeout_seconds=60)
        )


async def test_submodules_and_links_wait_for_a_person(attack: Attack) -> None:
    tree = git_objects.write_tree(
        attack.repository,
        {
            b"a": Blob(b"a\n"),
            b"d/b": Blob(b"b\n"),
            b"sub": Blob(b"1" * 40, "160000"),
            b".github": Blob(b"d", "120000"),
            b"d/ci": Blob(b"x"),
        },
    )
    taken = await attack.line.take_in(attack.remote, attack.base, tree, git_objects.thin_pack(attack.repository, tree, attack.base))
    diff = await diffs.changes(attack.line.git, taken, Protection(), Sizes())
    assert {file.path: file.protected for file in diff.document.files} == {".github": True, "d/ci": True, "sub": True}
    assert next(file for file in diff.document.files if file.path == "sub").content == "submodule"


async def test_a_workspace_that_is_not_ours(attack: Attack, tmp_path: Path) -> None:
    tree = git_objects.write_tree(attack.repository, {b"x": Blob(b"x\n")})
    pack = git_objects.thin_pack(attack.repository, tree, attack.base)
    evil, target = tmp_path / "evil.tar", tmp_path / "escaped"
    (tmp_path / "file").write_bytes(b"x")
    with tarfile.open(evil, "w") as tar:
        for name in ("../escaped", str(target), "repo.git/objects/pack/pack-" + "a" * 40 + ".pack"):
            tar.add(tmp_path / "file", arcname=name)
        link = tarfile.TarInfo("repo.git/objects/pack/pack-" + "b" * 40 + ".pack")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (tmp_path / "rubbish.tar").write_bytes(b"rubbish" * 1000)
    for archive in (evil, tmp_path / "rubbish.tar"):
        with pytest.raises(errors.WorkMissing):
            await attack.line.take_in(attack.remote, attack.base, tree, pack, workspace=archive)
    assert not target.exists()
