"""The mirror holds more than a sandbox was given. Whoever knows the digest of something in it must not get at its content."""

from dataclasses import replace

import pytest

from services.git import pushes
from services.git.command import Caps
from shared.events.ids import OwnerId
from tests.integration.services.git.attack import BLOB, REF_DELTA, TAKEN_IN, TREE, Attack, entry, object_sha, sealed
from tests.integration.services.git.conftest import OTHER, OWNER, RemoteTo
from tests.integration.services.git.line import BOUNDS, Line
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob

NEVER_GIVEN = "pack_refused: the work uses objects that the sandbox was never given"
SECRET = b"the key of another branch\n"


def tree_of(*entries: tuple[bytes, bytes, str]) -> tuple[str, bytes]:
    """A tree as the sandbox makes it, without having what it names: its name and itself as an object of a pack."""
    content = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
    return object_sha("tree", content), entry(TREE, content)


@pytest.fixture
async def other(attack: Attack) -> str:
    """The commit of a branch the sandbox was not given; the mirror holds it, because another task began there."""
    repository = attack.repository
    tree = git_objects.write_tree(repository, {b"secret": Blob(SECRET), b"keys/one": Blob(b"k"), b"keys/two": Blob(b"l")})
    commit = git_objects.write_commit(repository, tree, message="other", branch="other")
    await attack.line.snapshot(attack.remote, "other")
    mirror = attack.line.mirrors.path(OWNER, attack.remote.destination.address)
    assert git_objects.git(mirror, "cat-file", "blob", object_sha("blob", SECRET)) == SECRET
    return commit


async def test_by_a_name_in_a_tree(attack: Attack, other: str) -> None:
    keys = git_objects.git(attack.repository, "rev-parse", f"{other}:keys").decode().strip()
    for mode, sha in ((b"100644", object_sha("blob", SECRET)), (b"120000", object_sha("blob", SECRET)), (b"40000", keys)):
        tree, made = tree_of((mode, b"got", sha))
        assert await attack.verdict(tree, sealed([made])) == NEVER_GIVEN
        outer, outside = tree_of((b"40000", b"sub", tree))
        assert await attack.verdict(outer, sealed([made, outside])) == NEVER_GIVEN


async def test_by_announcing_the_tree_of_another_branch(attack: Attack, other: str) -> None:
    tree = git_objects.tree_of(attack.repository, other)
    assert await attack.verdict(tree, sealed([])) == NEVER_GIVEN
    assert await attack.verdict(tree, sealed([entry(BLOB, b"x")])) == NEVER_GIVEN


@pytest.mark.usefixtures("other")
async def test_by_a_delta_that_copies_it(attack: Attack) -> None:
    """Also there and back again, which makes the pack bring the very object it borrowed."""
    secret, more = object_sha("blob", SECRET), object_sha("blob", SECRET + b"!")
    longer = entry(REF_DELTA, bytes((len(SECRET), len(SECRET) + 1, 0x90, len(SECRET), 1)) + b"!", base=secret)
    shorter = entry(REF_DELTA, bytes((len(SECRET) + 1, len(SECRET), 0x90, len(SECRET))), base=more)
    same = entry(REF_DELTA, bytes((len(SECRET), len(SECRET), 0x90, len(SECRET))), base=secret)
    (got, tree), (got_more, tree_of_more) = (tree_of((b"100644", b"got", sha)) for sha in (secret, more))
    twice = "pack_refused: git refused the pack: a delta makes an object that is there already"
    assert await attack.verdict(got_more, sealed([longer, tree_of_more])) == NEVER_GIVEN
    assert await attack.verdict(got, sealed([longer, shorter, tree])) in {NEVER_GIVEN, twice}
    assert await attack.verdict(got, sealed([same, tree])) in {NEVER_GIVEN, twice}


@pytest.mark.usefixtures("other")
async def test_by_a_delta_that_nothing_names(attack: Attack) -> None:
    """Nothing of it would be published, yet it tells whether the mirror holds the object."""
    longer = bytes((len(SECRET), len(SECRET) + 1, 0x90, len(SECRET), 1)) + b"!"
    tree, made = tree_of((b"100644", b"x", object_sha("blob", b"x")))
    pack = sealed([entry(BLOB, b"x"), made, entry(REF_DELTA, longer, base=object_sha("blob", SECRET))])
    assert await attack.verdict(tree, pack) == NEVER_GIVEN


@pytest.mark.parametrize("owner", [OWNER, OTHER], ids=["of the same owner", "of another owner"])
async def test_by_a_delta_against_another_project(attack: Attack, server: GitServer, remote_to: RemoteTo, owner: OwnerId) -> None:
    """Its mirror lies in the same cache and holds the object; no mirror reads another's."""
    theirs, remote = server.create("theirs"), remote_to(server.url("theirs"))
    git_objects.write_commit(theirs, git_objects.write_tree(theirs, {b"secret": Blob(SECRET)}))
    mirrors = attack.line.mirrors
    (place := attack.line.directory / "theirs").mkdir()
    await Line(attack.line.git, mirrors, place, owner).snapshot(remote)
    secret, longer = object_sha("blob", SECRET), object_sha("blob", SECRET + b"!")
    assert git_objects.git(mirrors.path(owner, remote.destination.address), "cat-file", "blob", secret) == SECRET
    delta = bytes((len(SECRET), len(SECRET) + 1, 0x90, len(SECRET), 1)) + b"!"
    (by_name, named), (by_delta, made) = (tree_of((b"100644", b"got", sha)) for sha in (secret, longer))
    git_s = "pack_refused: git refused the pack: "
    assert await attack.verdict(by_name, sealed([named])) == git_s + "an object is missing"
    assert await attack.verdict(by_delta, sealed([entry(REF_DELTA, delta, base=secret), made])) == git_s + "a delta lacks its base"


async def test_what_the_branch_itself_once_held(attack: Attack) -> None:
    """A secret that was committed and taken out again lies in the mirror's history, and in a rewritten one's remains."""
    leaked = git_objects.write_commit(
        attack.repository, git_objects.write_tree(attack.repository, {b"secret": Blob(SECRET)}), attack.base, message="leak"
    )
    await attack.line.snapshot(attack.remote)
    tree, made = tree_of((b"100644", b"got", object_sha("blob", SECRET)))
    removed = git_objects.write_tree(attack.repository, {b"a": Blob(b"a\n")})
    for parent in (leaked, attack.base):  # removed by a commit; removed by a rewritten history
        attack.base = git_objects.write_commit(attack.repository, removed, parent, message="removed")
        await attack.line.snapshot(attack.remote)
        assert await attack.verdict(tree, sealed([made])) == NEVER_GIVEN


async def test_history_that_was_given_may_be_used(attack: Attack) -> None:
    """At a depth of two the sandbox has the base's parent, so git leaves its objects out of the pack."""
    parent = git_objects.write_commit(
        attack.repository, git_objects.write_tree(attack.repository, {b"former": Blob(SECRET), b"sub/x": Blob(b"x")}), attack.base
    )
    attack.base = git_objects.write_commit(attack.repository, git_objects.write_tree(attack.repository, {b"a": Blob(b"a\n")}), parent)
    archive = (await attack.line.snapshot(attack.remote, depth=2))[1]
    tree, made = tree_of((b"100644", b"former", object_sha("blob", SECRET)))
    restored = git_objects.tree_of(attack.repository, parent)
    for workspace in (None, archive):
        attack.workspace = workspace
        for wanted, pack in ((tree, sealed([made])), (restored, sealed([]))):
            assert await attack.verdict(wanted, pack, replace(BOUNDS, depth=2)) == TAKEN_IN
    attack.workspace = None
    assert await attack.verdict(tree, sealed([made])) == NEVER_GIVEN


async def test_what_the_base_holds_may_be_anywhere(attack: Attack) -> None:
    """A rename, a copy, a directory moved, everything taken out: the pack brings trees alone, or nothing."""
    directory = git_objects.git(attack.repository, "rev-parse", f"{attack.base}:d").decode().strip()
    renamed, made = tree_of((b"100644", b"renamed", object_sha("blob", b"a\n")), (b"100755", b"twice", object_sha("blob", b"a\n")))
    moved, moving = tree_of((b"40000", b"new", directory))
    for tree, pack in (
        (renamed, sealed([made])),
        (moved, sealed([moving])),
        (directory, sealed([])),
        (object_sha("tree", b""), sealed([])),
        (object_sha("tree", b""), sealed([entry(TREE, b"")])),
    ):
        assert await attack.verdict(tree, pack) == TAKEN_IN


@pytest.mark.usefixtures("other")
async def test_a_mirror_that_is_lost_gives_nothing_either(attack: Attack) -> None:
    attack.workspace = (await attack.line.snapshot(attack.remote))[1]
    tree, made = tree_of((b"100644", b"got", object_sha("blob", SECRET)))
    assert (await attack.verdict(tree, sealed([made]))).startswith("pack_refused: git refused the pack: an object is missing")


async def test_what_no_tree_names_is_not_published(attack: Attack) -> None:
    tree, made = tree_of((b"100644", b"x", object_sha("blob", b"x")))
    taken = await attack.hand_in(tree, sealed([entry(BLOB, b"x"), made, entry(BLOB, b"stowaway")]))
    commit = await attack.line.commit(taken)
    await pushes.push(attack.line.git, taken.repository, attack.remote, commit_sha=commit, branch="b", caps=Caps())
    there = git_objects.git(attack.repository, "cat-file", "--batch-all-objects", "--batch-check").decode()
    assert object_sha("blob", b"x") in there
    assert object_sha("blob", b"stowaway") not in there
