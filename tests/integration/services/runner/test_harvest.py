"""The tree that leaves the sandbox is the tree git would make of the same work outside, by SHA."""

import random
import subprocess
from pathlib import Path

import pytest

from services.runner.docker_factory import DockerSandboxes
from services.runner.errors import CheckoutFailed, ResultTooLarge, WorkRefused
from services.runner.sandbox import Elsewhere, Harvest, Sandbox
from tests.integration.services.runner.inside import MakeSpec, bash
from tests.integration.services.runner.snapshots import Snapshot, commit, git, repository, snapshot

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
ODD_NAMES = ("with space", "täst-é", "quote'\"", "dollar$(x)`y`", "-dash", "back\\slash", "new\nline", "tab\t", "*", "{a,b}", "dot.", "con")
FILES = {
    "readme.md": b"hello\n",
    "src/a.txt": b"a\n",
    "text": b"text\n",
    "dir/inside": b"i\n",
    "run.sh": b"#!/bin/sh\n",
    "crlf.bin": b"a\r\n",
    "kept.crlf": b"k\n",
    "always.log": b"tracked though ignored\n",
    ".gitattributes": b"*.txt text=auto\n*.crlf text eol=crlf\n*.bin -text\n",
}

# Work as a script; where a second is given, it is what the same work means without the agent's own .git and permissions.
OWN_GIT = """
git config filter.x.clean 'echo evil'; mkdir -p .git/info; echo '* filter=x' > .git/info/attributes; echo '*' > .git/info/exclude
git config core.fsmonitor /bin/true; git update-index --assume-unchanged readme.md; git config core.autocrlf true; echo y >> readme.md
"""
UNREADABLE = "echo s > locked; chmod 000 locked; mkdir shut; echo s > shut/s; chmod 000 shut; chmod 111 src"
COMMITS = "echo y >> readme.md; git add -A; git commit -qm mine; echo z >> readme.md"
WORK: dict[str, tuple[str, str | None]] = {
    "edit and add": ("echo more >> readme.md; mkdir -p new/deep; echo x > new/deep/file", None),
    "modes": ("chmod +x readme.md; chmod -x run.sh", None),
    "symlinks": ("ln -s /etc/passwd out; ln -s readme.md in; ln -sfn missing link; rm text; ln -s . text", None),
    "binaries": (r"printf '\0\1\377\r\n' > binary; head -c 300000 /dev/zero > zeroes; : > empty", None),
    "deletions": ("rm -r src; rm readme.md", None),
    "line endings": (r"printf 'a\r\nb\r\n' > new.txt; printf 'c\r\n' >> crlf.bin; printf 'x\r\n' > other.crlf", None),
    "types change": ("mv src moved; rm text; mkdir text; echo f > text/file; rm -r dir; echo f > dir", None),
    "ignored": ("echo no > debug.log; mkdir out; echo o > out/o; echo yes >> always.log", None),
    "ignored, forced in the agent's index": ("echo x >> readme.md; echo f > debug.log; git add -f debug.log", "echo x >> readme.md"),
    "many files": ("for n in {1..400}; do echo $n > file-$n; done", None),
    "unreadable": (UNREADABLE, "echo s > locked; mkdir shut; echo s > shut/s"),
    "the agent's git configuration": (OWN_GIT, "echo y >> readme.md"),
    "the agent's git is gone": ("rm -rf .git; echo y >> readme.md", "echo y >> readme.md"),
    "the agent commits": (COMMITS, "echo y >> readme.md; echo z >> readme.md"),
    "everything is deleted": ("git rm -rqf .; rm -rf -- * .gitattributes .gitignore", None),
}


def full_repository(directory: Path) -> Path:
    source = repository(directory, FILES)
    (source / "run.sh").chmod(0o755)
    (source / "link").symlink_to("readme.md")
    (source / ".gitignore").write_bytes(b"*.log\nout/\n")
    git(source, "add", "--force", "always.log")
    commit(source)
    return source


async def harvest_of(sandbox: Sandbox, source: Snapshot, script: str, room: Path) -> Harvest:
    await sandbox.load(source.tar, source.base_sha)
    await bash(sandbox, script)
    await sandbox.stop_agent()
    return await sandbox.harvest(source.base_sha, room / "result.pack")


def worked_outside(source: Path, script: str, room: Path) -> Path:
    outside = room / "outside"
    git(room, "clone", "--quiet", str(source), str(outside))
    subprocess.run(["/bin/bash", "-euo", "pipefail", "-c", script], cwd=outside, check=True)
    commit(outside)
    return outside


@pytest.mark.parametrize("work", WORK)
async def test_the_tree_is_the_one_git_makes_outside(sandbox: Sandbox, tmp_path: Path, work: str) -> None:
    inside, outside = WORK[work]
    source = full_repository(tmp_path / "source")
    taken = snapshot(source, tmp_path / "snapshot")
    harvest = await harvest_of(sandbox, taken, inside, tmp_path)
    expected = worked_outside(source, outside or inside, tmp_path)
    assert harvest.tree_sha == git(expected, "rev-parse", "HEAD^{tree}")
    assert harvest.pack is not None
    whole = taken.take_in(harvest.pack, tmp_path / "taken-in")
    assert git(whole, "ls-tree", "-r", "-z", harvest.tree_sha) == git(expected, "ls-tree", "-r", "-z", "HEAD")


async def test_odd_names_survive(sandbox: Sandbox, tmp_path: Path) -> None:
    source = repository(tmp_path / "source", {f"old/{name}": name.encode() for name in ODD_NAMES})
    taken = snapshot(source, tmp_path / "snapshot")
    harvest = await harvest_of(sandbox, taken, r"cp -r old new; printf x > $'bytes-\xff\xfe'", tmp_path)
    assert harvest.pack is not None
    whole = taken.take_in(harvest.pack, tmp_path / "taken-in")
    listed = git(whole, "ls-tree", "-r", "-z", "--name-only", harvest.tree_sha).split("\0")
    both = {f"{place}/{name}" for place in ("old", "new") for name in ODD_NAMES}
    assert {name.encode("utf-8", "surrogateescape") for name in listed if name} == {name.encode() for name in both} | {b"bytes-\xff\xfe"}


@pytest.mark.parametrize(
    "script", ["true", "touch readme.md; cat kept.crlf > copy; rm copy", "echo x > debug.log; git commit -q --allow-empty -m nothing"]
)
async def test_untouched_work_is_the_bases_tree_and_no_pack(sandbox: Sandbox, tmp_path: Path, script: str) -> None:
    source = full_repository(tmp_path / "source")
    # A file whose stored line endings its attributes would change: it only counts when it is touched.
    git(source, "config", "core.autocrlf", "false")
    blob = git(source, "hash-object", "-w", "--stdin", "--no-filters", stdin=b"stored\r\nas\r\nis\r\n")
    git(source, "update-index", "--add", "--cacheinfo", f"100644,{blob},odd.crlf")
    git(source, "commit", "--quiet", "--message", "odd")
    harvest = await harvest_of(sandbox, snapshot(source, tmp_path / "snapshot"), script, tmp_path)
    assert (harvest.tree_sha, harvest.pack) == (git(source, "rev-parse", "HEAD^{tree}"), None)


async def test_a_deeper_snapshot_works_too(sandbox: Sandbox, tmp_path: Path) -> None:
    taken = snapshot(full_repository(tmp_path / "source"), tmp_path / "snapshot", depth=50)
    harvest = await harvest_of(sandbox, taken, "rm -rf -- * .git*; echo one > file", tmp_path)
    assert harvest.pack is not None
    assert git(taken.take_in(harvest.pack, tmp_path / "in"), "ls-tree", "--name-only", harvest.tree_sha) == "file"


async def test_the_empty_tree_can_be_harvested(sandbox: Sandbox, tmp_path: Path, small_snapshot: Snapshot) -> None:
    harvest = await harvest_of(sandbox, small_snapshot, "rm -rf -- * .git", tmp_path)
    assert harvest.tree_sha == EMPTY_TREE
    assert harvest.pack is not None


async def test_sockets_and_pipes_are_counted(sandbox: Sandbox, tmp_path: Path, small_snapshot: Snapshot) -> None:
    make_socket = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'"
    harvest = await harvest_of(sandbox, small_snapshot, f"mkfifo p src/p; {make_socket}; echo x > file", tmp_path)
    assert harvest.special_files == 3


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("git init -q inner; cd inner; echo x > f; git add f; git commit -qm x", id="repository with a commit"),
        pytest.param("git init -q inner; echo x > inner/f", id="repository without a commit"),
        pytest.param("git clone -q . inner; git -C inner config core.fsmonitor 'touch /tmp/ran; true'", id="clone"),
        pytest.param("p=.; for n in {1..60}; do d=$(printf 'd%.0s' {1..100}); mkdir $d; cd $d; done; echo x > f", id="too deep to open"),
    ],
)
async def test_work_that_would_lose_files_is_refused(sandbox: Sandbox, tmp_path: Path, small_snapshot: Snapshot, script: str) -> None:
    with pytest.raises(WorkRefused):
        await harvest_of(sandbox, small_snapshot, script, tmp_path)


async def test_a_submodule_of_the_base_stays_and_files_in_it_are_refused(
    sandboxes: DockerSandboxes, make_spec: MakeSpec, tmp_path: Path
) -> None:
    source = repository(tmp_path / "source", {"a": b"a\n"})
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{git(source, 'rev-parse', 'HEAD')},sub")
    git(source, "commit", "--quiet", "--message", "submodule")
    taken = snapshot(source, tmp_path / "snapshot")
    first, second = await sandboxes.create(make_spec()), await sandboxes.create(make_spec())
    harvest = await harvest_of(first, taken, "echo b >> a", tmp_path)
    assert harvest.pack is not None
    assert "160000 commit" in git(taken.take_in(harvest.pack, tmp_path / "in"), "ls-tree", harvest.tree_sha)
    with pytest.raises(WorkRefused):
        await harvest_of(second, taken, "mkdir -p sub; echo lost > sub/file", tmp_path)


async def test_a_changed_file_travels_as_its_difference(sandbox: Sandbox, tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(4 << 20)  # noqa: S311 - a test's content
    taken = snapshot(repository(tmp_path / "source", {"d/noise": noise, "other": noise[:5000]}), tmp_path / "snapshot")
    harvest = await harvest_of(sandbox, taken, "printf more >> d/noise; printf more | cat other - > new", tmp_path)
    assert harvest.pack is not None
    assert harvest.pack.stat().st_size < 8_000
    whole = taken.take_in(harvest.pack, tmp_path / "in")
    assert git(whole, "cat-file", "-s", f"{harvest.tree_sha}:d/noise") == str((4 << 20) + 4)


async def test_ignored_things_that_appeared_are_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    """A directory of nothing else is one; what the base tracks is no such thing, and the agent's own index and excludes change nothing."""
    taken = snapshot(full_repository(tmp_path / "source"), tmp_path / "snapshot")
    script = r"mkdir -p out/deep empty; echo o | tee out/a out/deep/b; echo x > src/x.log; echo y > $'odd\n\377.log'; echo z >> always.log"
    forced = "echo f > forced.log; git add --force forced.log; echo '*' > .git/info/exclude; echo seen > seen"
    harvest = await harvest_of(sandbox, taken, f"{script}; {forced}", tmp_path)
    assert harvest.ignored == 4
    assert harvest.pack is not None
    whole = taken.take_in(harvest.pack, tmp_path / "in")
    assert "seen" in git(whole, "ls-tree", "--name-only", harvest.tree_sha).split()


async def test_what_lies_elsewhere_is_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
    # A complaint of git's that looks like our line, a link out, content and emptiness in the place of pointers.
    attributes = b"*.psd filter=lfs -text\n*.x !lfs 7 submodules 7\n*.y bad/name lfs 8\n"
    files = {".gitattributes": attributes, "a.psd": pointer, "d/b\n.psd": pointer, "c.psd": b"real\0content", "no": pointer, "e.psd": b""}
    source = repository(tmp_path / "source", files)
    (source / "zero.psd").symlink_to("/dev/zero")
    for name in ("sub", "vendor/new\nline"):
        git(source, "update-index", "--add", "--cacheinfo", f"160000,{git(source, 'rev-parse', 'HEAD')},{name}")
    git(source, "add", "zero.psd")
    git(source, "commit", "--quiet", "--message", "elsewhere")
    taken = snapshot(source, tmp_path / "snapshot")
    assert await sandbox.load(taken.tar, taken.base_sha) == Elsewhere(lfs_pointers=2, submodules=2)


async def test_a_pack_over_the_limit_is_refused(
    sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot, tmp_path: Path
) -> None:
    sandbox = await sandboxes.create(make_spec(max_result_bytes=100_000))
    with pytest.raises(ResultTooLarge):
        await harvest_of(sandbox, small_snapshot, "head -c 1000000 /dev/urandom > noise", tmp_path)
    assert (tmp_path / "result.pack").stat().st_size <= 100_000


async def test_a_snapshot_without_the_base_is_refused(sandbox: Sandbox, small_snapshot: Snapshot) -> None:
    with pytest.raises(CheckoutFailed):
        await sandbox.load(small_snapshot.tar, "0123456789" * 4)


async def test_a_tar_that_is_none_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "workspace.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(CheckoutFailed):
        await sandbox.load(tmp_path / "workspace.tar", "0123456789" * 4)
