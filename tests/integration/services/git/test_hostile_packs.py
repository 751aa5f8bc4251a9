"""Packs and trees that no honest sandbox writes. Each is refused by name, and nothing of it reaches a branch."""

import random
import tarfile
from pathlib import Path

import pytest

from services.git import diffs, errors
from services.git.diffs import Diff, Sizes
from services.git.protected import Protection
from services.git.takein import Bounds
from tests.integration.services.git.attack import BLOB, COMMIT, REF_DELTA, TAG, TAKEN_IN, TREE, Attack, entry, head, object_sha, sealed
from tests.integration.services.git.line import MIB
from tests.servers import git_objects
from tests.servers.git_objects import Blob

GITS = "pack_refused: git refused the pack: "
LEADS_OUT = "pack_refused: the tree holds a name that leads into a .git directory or out of the tree"
TOO_LONG = "pack_refused: the tree holds an absolute path, or a name that is empty or too long"
MODE = "pack_refused: the tree holds an entry with an unknown mode"

NAMES = {
    **dict.fromkeys((b".git", b".GIT", b".Git", b".git ", b".git.", b".git. .", b"git~1", b"GIT~1 "), GITS + "hasDotgit"),
    **dict.fromkeys((b".g\xe2\x80\x8cit", b".gi\xef\xbb\xbft", b"\xe2\x80\xae.git", b".GIT\xe2\x81\xaf"), GITS + "hasDotgit"),
    **dict.fromkeys((b".git::$INDEX_ALLOCATION", b".git:x", b"x\\..\\.git\\config", b"\\\\.git"), GITS + "hasDotgit"),
    **dict.fromkeys((b"GIT~2", b"git~10", b"x\\..", b"..\\x"), LEADS_OUT),
    b"..": GITS + "hasDotdot",
    b".": GITS + "hasDot",
    b"": GITS + "badTree",
    b"a/b": GITS + "fullPathname",
    b"/etc": GITS + "fullPathname",
    b"x" * 256: TOO_LONG,
}


async def test_names_that_lead_out_or_into_git(attack: Attack) -> None:
    found = dict[bytes, set[str]]()
    for name in NAMES:
        inner = attack.tree((b"100644", b"config", attack.blob))
        directory, file = attack.tree((b"40000", name, inner)), attack.tree((b"100644", name, attack.blob))
        link, below = attack.tree((b"120000", name, attack.blob)), attack.tree((b"40000", b"sub", directory))
        pack = attack.packed(directory, file, link, below, inner, attack.blob)
        one_by_one = [(below, attack.packed(below, directory, inner, attack.blob)), *((tree, pack) for tree in (directory, file, link))]
        found[name] = {await attack.verdict(tree, pack) for tree, pack in one_by_one}
    assert found == {name: {rule} for name, rule in NAMES.items()}


MODES = {
    **dict.fromkeys((b"100664", b"100777", b"100000", b"170000", b"755", b"120777"), MODE),
    **dict.fromkeys((b"040000", b"0", b"0100644"), GITS + "zeroPaddedFilemode"),
    **dict.fromkeys((b"", b"+100644", b" 100644", b"99999999999"), GITS + "badTree"),
    b"40755": GITS + "an object is of another kind than it is called",
}


async def test_broken_modes(attack: Attack) -> None:
    found = dict[bytes, str]()
    for mode in MODES:
        tree = attack.tree((mode, b"x", attack.blob))
        found[mode] = await attack.verdict(tree, attack.packed(tree, attack.blob))
    assert found == MODES


async def test_trees_that_contradict_themselves(attack: Attack) -> None:
    inner = attack.tree((b"100644", b"x", attack.blob))
    cases = {
        "a file twice": ((b"100644", b"a", attack.blob), (b"100755", b"a", attack.blob)),
        "a file and a directory": ((b"100644", b"a", attack.blob), (b"40000", b"a", inner)),
        "apart in the order": ((b"100644", b"a", attack.blob), (b"100644", b"a.b", attack.blob), (b"40000", b"a", inner)),
        "out of order": ((b"100644", b"b", attack.blob), (b"100644", b"a", attack.blob)),
        "a blob as a tree": ((b"40000", b"a", attack.blob),),
        "a tree as a file": ((b"100644", b"a", inner),),
        "a tree as a link": ((b"120000", b"a", inner),),
        "a commit as a file": ((b"100644", b"a", attack.base),),
        "nothing as a file": ((b"100644", b"a", "0" * 40),),
        "nothing as a submodule": ((b"160000", b"a", "0" * 40),),
        "a link and a file but for case": ((b"120000", b"A", attack.blob), (b"100644", b"a", attack.blob)),
    }
    found = dict[str, str]()
    for name, entries in cases.items():
        tree = attack.tree(*entries)
        found[name] = await attack.verdict(tree, attack.packed(tree, inner, attack.blob))
    kind = GITS + "an object is of another kind than it is called"
    assert found == {
        "a file twice": GITS + "duplicateEntries",
        "a file and a directory": GITS + "duplicateEntries",
        "apart in the order": GITS + "duplicateEntries",
        "out of order": GITS + "treeNotSorted",
        "a blob as a tree": kind,
        "a tree as a file": kind,
        "a tree as a link": kind,
        "a commit as a file": kind,
        "nothing as a file": GITS + "nullSha1",
        "nothing as a submodule": GITS + "nullSha1",
        "a link and a file but for case": "pack_refused: the tree holds a link whose name differs from another entry's by case alone",
    }


async def test_files_of_git_s_own_that_attack_its_users(attack: Attack) -> None:
    def config(text: bytes) -> str:
        return git_objects.write_blob(attack.repository, b'[submodule "%b"]\n' % text)

    url, path, update = (
        config(b'x"]\n\turl = -u./payload\n[y "'),
        config(b'x"]\n\tpath = -x\n[y "'),
        config(b'x"]\n\tupdate = !touch y\n[y "'),
    )
    name, link = config(b'../../x"]\n\tpath = y\n[submodule "y'), git_objects.write_blob(attack.repository, b"../../etc")
    lines = git_objects.write_blob(attack.repository, b"x" * 3_000 + b" diff=y\n")
    cases = {
        "url": (b"100644", b".gitmodules", url),
        "path": (b"100644", b".gitmodules", path),
        "update": (b"100644", b".gitmodules", update),
        "name": (b"100644", b".gitmodules", name),
        "name by its short name": (b"100644", b"GITMOD~1", name),
        "name in invisible letters": (b"100644", b".gitmod\xe2\x80\x8cules", name),
        "gitmodules as a link": (b"120000", b".gitmodules", link),
        "a line without end": (b"100644", b".gitattributes", lines),
    }
    found = dict[str, str]()
    for case, line in cases.items():
        tree = attack.tree(line)
        found[case] = await attack.verdict(tree, attack.packed(tree, line[2]))
    assert found == {
        "url": GITS + "gitmodulesUrl",
        "path": GITS + "gitmodulesPath",
        "update": GITS + "gitmodulesUpdate",
        "name": GITS + "gitmodulesName",
        "name by its short name": GITS + "gitmodulesName",
        "name in invisible letters": GITS + "gitmodulesName",
        "gitmodules as a link": GITS + "gitmodulesSymlink",
        "a line without end": GITS + "gitattributesLineLength",
    }


async def test_packs_with_a_hole(attack: Attack) -> None:
    tree, nothing = attack.tree((b"100644", b"x", attack.blob)), attack.tree((b"100644", b"x", "d" * 40))
    deep = attack.tree((b"40000", b"sub", tree))
    found = [await attack.verdict(wanted, attack.packed(wanted)) for wanted in (tree, nothing, deep)]
    assert set(found) <= {GITS + "an object is missing", "pack_refused: the work uses objects that the sandbox was never given"}


async def test_another_tree_than_announced(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    announced = ("e" * 40, attack.blob, attack.base)
    found = {await attack.verdict(sha, attack.packed(tree, attack.blob)) for sha in announced}
    assert found == {"tree_mismatch: the pack does not bring the tree that was announced"}


async def test_packs_that_are_none(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    good = attack.packed(tree, attack.blob)
    content = git_objects.git(attack.repository, "cat-file", "tree", tree)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    entries = [entry(BLOB, b"payload\n"), entry(TREE, content)]
    packs = {
        "nothing": b"",
        "rubbish": b"rubbish, and enough of it",
        "magic alone": b"PACK",
        "another version": b"PACK\0\0\0\x09" + good[8:],
        "more objects than come": sealed(entries, count=3),
        "fewer objects than come": sealed(entries, count=1),
        "something behind its end": good + b"trailing",
        "another pack behind its end": good + good,
        "a wrong checksum": good[:-1] + bytes((good[-1] ^ 1,)),
        "a flipped bit": bytes(flipped),
        "cut off": good[: len(good) // 2],
        "a size that lies": sealed([entry(BLOB, b"payload\n", size=9), entry(TREE, content)]),
        "an unknown kind": sealed([head(5, 8) + entry(BLOB, b"payload\n")[1:], entry(TREE, content)]),
        "no object at all": sealed([]),
    }
    found = {name: await attack.verdict(tree, pack) for name, pack in packs.items()}
    assert found == {
        **dict.fromkeys(("nothing", "rubbish", "magic alone", "another version"), "pack_refused: the pack does not begin as one"),
        "more objects than come": GITS + "it breaks off",
        "fewer objects than come": GITS + "its checksum is wrong",
        "something behind its end": GITS + "something follows its end",
        "another pack behind its end": GITS + "something follows its end",
        "a wrong checksum": GITS + "its checksum is wrong",
        "a flipped bit": GITS + "an object does not unfold",
        "cut off": GITS + "it breaks off",
        "a size that lies": GITS + "an object does not unfold",
        "an unknown kind": GITS + "it is malformed",
        "no object at all": "tree_mismatch: the pack does not bring the tree that was announced",
    }


async def test_deltas_that_lie(attack: Attack) -> None:
    """A delta names its base by a digest: one nobody has, itself, or a base of another size."""
    tree = attack.tree((b"100644", b"x", object_sha("blob", b"made")))
    content = git_objects.git(attack.repository, "cat-file", "tree", tree)
    insert = b"\x08\x04\x04made"  # of a base of 8 bytes make 4, which are given
    packs = {
        "nobody's base": sealed([entry(REF_DELTA, insert, base="d" * 40), entry(TREE, content)]),
        "its own base": sealed([entry(REF_DELTA, insert, base=object_sha("blob", b"made")), entry(TREE, content)]),
        "a base of another size": sealed(
            [entry(BLOB, b"pay"), entry(REF_DELTA, insert, base=object_sha("blob", b"pay")), entry(TREE, content)]
        ),
        "a base of another kind": sealed([entry(REF_DELTA, insert, base=attack.base), entry(TREE, content)]),
        "a copy from behind the base": sealed(
            [entry(BLOB, b"payload\n"), entry(REF_DELTA, b"\x08\x04\x91\x07\x04", base=attack.blob), entry(TREE, content)]
        ),
    }
    found = {name: await attack.verdict(tree, pack) for name, pack in packs.items()}
    assert all(verdict.startswith(GITS) for verdict in found.values()), found
    honest = sealed([entry(BLOB, b"payload\n"), entry(REF_DELTA, insert, base=attack.blob), entry(TREE, content)])
    assert await attack.verdict(tree, honest) == TAKEN_IN


async def test_commits_and_tags_in_a_pack_are_judged_too(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    content = git_objects.git(attack.repository, "cat-file", "tree", tree)
    entries = [entry(BLOB, b"payload\n"), entry(TREE, content)]
    broken_commit = sealed([*entries, entry(COMMIT, b"tree " + tree.encode() + b"\nauthor nobody\n\n")])
    broken_tag = sealed([*entries, entry(TAG, b"object " + tree.encode() + b"\n")])
    assert [(await attack.verdict(tree, pack)).startswith(GITS) for pack in (broken_commit, broken_tag)] == [True, True]


@pytest.mark.parametrize("known", [True, False])
async def test_a_delta_needs_a_base_that_is_known(attack: Attack, known: bool) -> None:
    content = random.Random(1).randbytes(60_000)  # noqa: S311 - noise does not compress
    before = git_objects.write_tree(attack.repository, {b"x": Blob(content)})
    base = git_objects.write_commit(attack.repository, before, attack.base, branch="main" if known else None, message="next")
    tree = git_objects.write_tree(attack.repository, {b"x": Blob(content + b"more")})
    commit = git_objects.write_commit(attack.repository, tree, base, branch=None)
    pack = git_objects.thin_pack(attack.repository, commit, base)
    assert len(pack) < 10_000
    attack.base = base if known else attack.base
    await attack.line.snapshot(attack.remote)
    assert await attack.verdict(tree, pack) == (TAKEN_IN if known else GITS + "a delta lacks its base")


async def test_too_large_a_pack(attack: Attack) -> None:
    tree = attack.tree((b"100644", b"x", attack.blob))
    verdict = await attack.verdict(tree, attack.packed(tree, attack.blob), Bounds(pack_bytes=64, workspace_bytes=MIB))
    assert verdict == "result_too_large: the pack is over the limit"


async def _shown(attack: Attack, tree: str) -> Diff:
    taken = await attack.hand_in(tree, git_objects.thin_pack(attack.repository, tree, attack.base))
    return await diffs.changes(attack.line.git, taken, Protection(), Sizes())


async def test_names_that_differ_by_case_alone_wait_for_a_person(attack: Attack) -> None:
    base = {b"a": Blob(b"a\n"), b"d/b": Blob(b"b\n")}
    made = base | {b"A": Blob(b"A\n"), b"D/B": Blob(b"B\n"), b"e": Blob(b"e\n"), b"d/\xc3\xa9": Blob(b"x"), b"d/\xc3\x89": Blob(b"y")}
    diff = await _shown(attack, git_objects.write_tree(attack.repository, made))
    case = "another name but for case"
    assert {file.path: file.protected_by for file in diff.document.files} == {"A": case, "D/B": case, "d/É": case, "d/é": case, "e": None}


async def test_a_submodule_may_name_anything_and_waits_for_a_person(attack: Attack) -> None:
    """Git asks nobody for the commit that a submodule names, so nothing comes of it but the name."""
    entries = ((b"100644", b"a", git_objects.write_blob(attack.repository, b"a\n")), (b"160000", b"sub", attack.blob))
    tree = attack.tree(*entries)
    taken = await attack.hand_in(tree, attack.packed(tree))
    diff = await diffs.changes(attack.line.git, taken, Protection(), Sizes())
    assert {file.path: file.protected for file in diff.document.files} == {"d/b": False, "sub": True}


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
