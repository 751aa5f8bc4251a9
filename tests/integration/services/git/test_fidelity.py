import os
import random
from pathlib import Path

import pytest

from services.git import addresses, diffs, errors, pushes, resolution
from services.git.command import Caps, Git, Remote
from services.git.diffs import Diff, Sizes
from services.git.mirrors import Mirrors
from services.git.protected import Protection
from services.git.resolution import Reach
from shared.events.changes import FileChange
from tests.integration.services.git.conftest import OWNER, RemoteTo
from tests.integration.services.git.line import Line, applied, fsck, sandbox
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob

NAME = b"na\xefve \xc3\xbc.txt"  # Latin-1 and UTF-8 in one name
BASE = {
    b"README.md": Blob(b"# Demo\n\nHello.\n"),
    b".gitattributes": Blob(b"* text=auto\n*.win text eol=crlf\n"),
    b"win.win": Blob(b"one\ntwo\nthree\n"),
    b"raw-crlf.txt": Blob(b"kept\r\nas it is\r\n"),
    b"bin.dat": Blob(bytes(range(256)) * 40),
    b"run.sh": Blob(b"#!/bin/sh\necho hi\n"),
    b"tool": Blob(b"x\n", "100755"),
    b"link": Blob(b"README.md", "120000"),
    b"outside": Blob(b"../../etc/passwd", "120000"),
    b"empty": Blob(b""),
    b"gone.txt": Blob(b"bye\n"),
    b"moved.txt": Blob(b"".join(b"line %d\n" % number for number in range(40))),
    b"no-newline": Blob(b"end"),
    b"dir/sub/deep.txt": Blob(b"deep\n"),
    b"latin.txt": Blob("grüße\n".encode("latin-1")),
    b"vendor/lib": Blob(b"1" * 40, "160000"),
    NAME: Blob(b"odd\n"),
    b"tab\tand\nnewline": Blob(b"odd\n"),
    b"-rf": Blob(b"dash\n"),
}


def edit(work: Path) -> None:
    (work / "README.md").write_bytes(b"# Demo\n\nHello, world.\n")
    (work / "win.win").write_bytes(b"one\r\nTWO\r\nthree\r\n")
    (work / "raw-crlf.txt").write_bytes(b"kept\r\nas it was\r\n")
    (work / "bin.dat").write_bytes(bytes(range(255, -1, -1)) * 40)
    (work / "run.sh").chmod(0o755)
    (work / "tool").chmod(0o644)
    (work / "link").unlink()
    (work / "link").symlink_to("run.sh")
    (work / "outside").unlink()
    (work / "outside").write_bytes(b"now a file\n")
    (work / "gone.txt").unlink()
    (work / "moved.txt").rename(work / "dir/renamed.txt")
    (work / "no-newline").write_bytes(b"end\n")
    (work / "latin.txt").write_bytes("Grüße!\n".encode("latin-1"))
    (work / "new-empty").touch()
    (work / "new-link").symlink_to("/absolute/elsewhere")
    (work / "dir/sub/new file ü.txt").write_text("new\n")
    with (work / os.fsdecode(NAME)).open("ab") as file:
        file.write(b"more\n")
    (work / os.fsdecode(b"caf\xe9")).write_bytes(b"new and odd\n")
    (work / "tab\tand\nnewline").write_bytes(b"odder\n")
    (work / "-rf").write_bytes(b"dash!\n")
    (work / "minified.js").write_bytes(b"x=1;" * 300_000)


@pytest.fixture
def line(git: Git, mirrors: Mirrors, tmp_path: Path) -> Line:
    return Line(git, mirrors, tmp_path, OWNER)


def by_path(diff: Diff) -> dict[str, FileChange]:
    return {file.path: file for file in diff.document.files}


async def test_what_the_sandbox_wrote_is_what_the_branch_holds(line: Line, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    repository = server.create("demo")
    git_objects.write_commit(repository, git_objects.write_tree(repository, BASE))
    remote = remote_to(server.url("demo"))
    commit_sha, archive = await line.snapshot(remote)
    base, tree, pack = sandbox(archive, line.place(), edit)
    assert base == commit_sha

    taken = await line.take_in(remote, base, tree, pack)
    commit = await line.commit(taken)
    await pushes.push(line.git, taken.repository, remote, commit_sha=commit, branch="async-code/x", caps=Caps())
    assert server.branch("demo", "async-code/x") == commit
    assert git_objects.tree_of(repository, "async-code/x") == tree
    fsck(repository)

    patch = tmp_path / "patch"
    await diffs.write_patch(line.git, taken, patch, Sizes())
    assert applied(repository, base, patch) == tree
    _judge_document(await diffs.changes(line.git, taken, Protection(), Sizes()))


def _judge_document(diff: Diff) -> None:
    files = by_path(diff)
    assert diff.files == len(files)
    assert not diff.document.truncated
    assert files["README.md"].hunks[0].lines == (" # Demo", " ", "-Hello.", "+Hello, world.")
    assert (files["README.md"].before, files["README.md"].after) == ("# Demo\n\nHello.\n", "# Demo\n\nHello, world.\n")
    assert files["win.win"].after == "one\nTWO\nthree\n"
    assert files["bin.dat"].content == "binary"
    assert files["bin.dat"].before is None
    assert (files["run.sh"].old_mode, files["run.sh"].new_mode, files["run.sh"].hunks) == ("100644", "100755", ())
    assert (files["outside"].status, files["outside"].before, files["outside"].after) == (
        "type_changed",
        "../../etc/passwd",
        "now a file\n",
    )
    assert files["outside"].hunks[0].lines[0] == "-../../etc/passwd"
    assert (files["gone.txt"].status, files["gone.txt"].after) == ("deleted", None)
    assert (files["dir/renamed.txt"].status, files["dir/renamed.txt"].old_path) == ("renamed", "moved.txt")
    assert files["no-newline"].hunks[0].lines == ("-end", "\\ No newline at end of file", "+end")
    assert files["latin.txt"].after == "Gr\ufffd\ufffde!\n"
    assert (files["new-empty"].status, files["new-empty"].after, files["new-empty"].content) == ("added", "", "text")
    assert (files["new-link"].new_mode, files["new-link"].after) == ("120000", "/absolute/elsewhere")
    assert files["na\ufffdve ü.txt"].additions == 1
    assert files["minified.js"].content == "too_large"
    assert files["minified.js"].after is None
    assert "vendor/lib" not in files  # a submodule that nobody touched stays what it was
    assert diff.protected_files == 0
    assert diff.additions == sum(file.additions for file in files.values())


async def test_the_base_comes_from_the_workspace_when_the_mirror_is_lost(line: Line, server: GitServer, remote_to: RemoteTo) -> None:
    repository = server.create("demo")
    first = git_objects.write_commit(repository, git_objects.write_tree(repository, {b"old": Blob(b"old\n")}))
    git_objects.write_commit(repository, git_objects.write_tree(repository, BASE), first)
    remote = remote_to(server.url("demo"))
    _, archive = await line.snapshot(remote)
    base, tree, pack = sandbox(archive, line.place(), edit)
    taken = await line.take_in(remote, base, tree, pack, workspace=archive)
    from_workspace = await line.commit(taken)
    assert from_workspace == await line.commit(await line.take_in(remote, base, tree, pack))
    await pushes.push(line.git, taken.repository, remote, commit_sha=from_workspace, branch="async-code/x", caps=Caps())
    assert git_objects.tree_of(repository, "async-code/x") == tree
    fsck(repository)
    diff = await diffs.changes(line.git, taken, Protection(), Sizes())
    assert diff.files > 10


async def test_a_push_goes_through_when_the_remote_moved_on(line: Line, server: GitServer, remote_to: RemoteTo) -> None:
    repository = server.create("demo")
    first = git_objects.write_commit(repository, git_objects.write_tree(repository, BASE))
    remote = remote_to(server.url("demo"))
    _, archive = await line.snapshot(remote)
    base, tree, pack = sandbox(archive, line.place(), edit)
    git_objects.write_commit(repository, git_objects.write_tree(repository, {**BASE, b"x": Blob(b"later\n")}), first)
    for number, workspace in enumerate((None, archive)):
        taken = await line.take_in(remote, base, tree, pack, workspace=workspace)
        commit = await line.commit(taken)
        await pushes.push(line.git, taken.repository, remote, commit_sha=commit, branch=f"async-code/{number}", caps=Caps())
        assert git_objects.tree_of(repository, f"async-code/{number}") == tree


async def test_a_snapshot_is_the_same_bytes_each_time_and_holds_no_more_than_it_must(
    line: Line, server: GitServer, remote_to: RemoteTo
) -> None:
    repository = server.create("demo")
    first = git_objects.write_commit(repository, git_objects.write_tree(repository, {b"secret-history": Blob(b"old\n")}))
    git_objects.write_commit(repository, git_objects.write_tree(repository, BASE), first)
    remote = remote_to(server.url("demo"))
    _, one = await line.snapshot(remote)
    git_objects.git(repository, "gc", "--quiet")
    line.owner = type(OWNER)("0b3c3c1e-0000-4000-8000-000000000009")
    _, two = await line.snapshot(remote)
    assert one.read_bytes() == two.read_bytes()
    unpacked = line.place()
    sandbox(one, unpacked, lambda _: None)
    names = sorted(path.relative_to(unpacked / "repo.git").as_posix() for path in (unpacked / "repo.git").rglob("*") if path.is_file())
    assert [name for name in names if not name.startswith("objects/")] == ["HEAD", "config", "refs/heads/base", "shallow"]
    assert str(server.port) not in (unpacked / "repo.git/config").read_text()
    assert b"secret-history" not in git_objects.git(unpacked / "repo.git", "rev-list", "--objects", "--all")


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
async def test_a_snapshot_is_as_deep_as_a_clone_of_that_depth(
    line: Line, server: GitServer, remote_to: RemoteTo, tmp_path: Path, depth: int
) -> None:
    repository = server.create("demo")
    tree = git_objects.write_tree(repository, {b"a": Blob(b"a\n")})
    root = git_objects.write_commit(repository, tree, message="root")
    left = git_objects.write_commit(repository, tree, root, message="left")
    right = git_objects.write_commit(repository, tree, root, message="right")
    further = git_objects.write_commit(repository, tree, right, message="further")
    merged = git_objects.write_commit(repository, tree, left, further, message="merge")
    git_objects.write_commit(repository, tree, merged, message="top")
    _, archive = await line.snapshot(remote_to(server.url("demo")), depth=depth)
    unpacked = line.place()
    sandbox(archive, unpacked, lambda _: None)
    git_objects.git(tmp_path, "clone", "--quiet", "--bare", f"--depth={depth}", f"file://{repository}", "reference.git")
    log = ("log", "--format=%H %P", "--all")
    assert git_objects.git(unpacked / "repo.git", *log) == git_objects.git(tmp_path / "reference.git", *log)


async def test_caps_make_too_large_and_truncated_but_protected_files_stay(line: Line, server: GitServer, remote_to: RemoteTo) -> None:
    repository = server.create("demo")
    base = git_objects.write_commit(repository, git_objects.write_tree(repository, {b"a": Blob(b"a\n")}))
    many = {b"file-%04d" % number: Blob(b"content %d\n" % number * 50) for number in range(60)}
    changed = {**many, b"zz/Jenkinsfile": Blob(b"x\n")}
    tree = git_objects.write_tree(repository, changed)
    remote = remote_to(server.url("demo"))
    await line.snapshot(remote)
    taken = await line.take_in(remote, base, tree, git_objects.thin_pack(repository, tree, base))
    diff = await diffs.changes(line.git, taken, Protection(), Sizes(files=20, file_bytes=4096, document_bytes=4000))
    assert (diff.files, len(diff.document.files), diff.document.truncated) == (62, 20, True)
    assert diff.document.files[-1].path == "zz/Jenkinsfile"
    assert {file.content for file in diff.document.files} == {"text", "too_large"}
    assert diff.additions == 60 * 50 + 1


async def test_a_patch_over_the_limit_is_no_patch(line: Line, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    repository = server.create("demo")
    base = git_objects.write_commit(repository, git_objects.write_tree(repository, {b"a": Blob(b"a\n")}))
    tree = git_objects.write_tree(repository, {b"a": Blob(b"".join(b"%d\n" % number for number in range(5000)))})
    remote = remote_to(server.url("demo"))
    await line.snapshot(remote)
    taken = await line.take_in(remote, base, tree, git_objects.thin_pack(repository, tree, base))
    await diffs.write_patch(line.git, taken, tmp_path / "patch", Sizes(patch_bytes=4096))
    assert "larger than 4096 bytes" in (tmp_path / "patch").read_text()
    with pytest.raises(AssertionError):
        applied(repository, base, tmp_path / "patch")


async def test_a_snapshot_over_the_limit_is_refused_by_name(line: Line, server: GitServer, remote_to: RemoteTo) -> None:
    repository = server.create("demo")
    noise = random.Random(2).randbytes(200_000)  # noqa: S311 - noise does not compress
    git_objects.write_commit(repository, git_objects.write_tree(repository, {b"noise": Blob(noise)}))
    for limit in (50_000, 200_200):
        with pytest.raises(errors.RepositoryTooLarge):
            await line.snapshot(remote_to(server.url("demo")), max_bytes=limit)


async def test_objects_named_by_sha256(line: Line, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    repository = server.path("demo")
    git_objects.git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "--object-format=sha256", repository)
    git_objects.git(repository, "config", "http.receivepack", "true")
    files = {name: blob for name, blob in BASE.items() if blob.mode != "160000"}
    git_objects.write_commit(repository, git_objects.write_tree(repository, files))
    remote = remote_to(server.url("demo"))
    _, archive = await line.snapshot(remote)
    base, tree, pack = sandbox(archive, line.place(), edit)
    assert len(tree) == 64
    for number, workspace in enumerate((None, archive)):
        taken = await line.take_in(remote, base, tree, pack, workspace=workspace)
        commit = await line.commit(taken)
        await pushes.push(line.git, taken.repository, remote, commit_sha=commit, branch=f"x/{number}", caps=Caps())
        assert git_objects.tree_of(repository, f"x/{number}") == tree


async def test_a_file_repository_gets_the_branch_and_runs_nothing(line: Line, server: GitServer, tmp_path: Path) -> None:
    repository = server.create("demo")
    git_objects.write_commit(repository, git_objects.write_tree(repository, BASE))
    marker = tmp_path / "marker"
    for name in ("pre-receive", "update", "post-receive", "reference-transaction"):
        hook = repository / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
        hook.chmod(0o755)
    address = addresses.parse(f"file://{repository}", {"file"})
    remote = Remote(await resolution.resolve(address, Reach()))
    _, archive = await line.snapshot(remote)
    base, tree, pack = sandbox(archive, line.place(), edit)
    taken = await line.take_in(remote, base, tree, pack)
    await pushes.push(line.git, taken.repository, remote, commit_sha=await line.commit(taken), branch="x", caps=Caps())
    assert git_objects.tree_of(repository, "x") == tree
    assert not marker.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a repository to another user")
async def test_a_file_repository_of_another_user_needs_the_operators_word(line: Line, server: GitServer) -> None:
    repository = server.create("demo")
    commit = git_objects.write_commit(repository, git_objects.write_tree(repository, BASE))
    os.chown(repository, 65534, 65534)
    address = addresses.parse(f"file://{repository}", {"file"})
    with pytest.raises(errors.AddressRefused):
        await line.snapshot(Remote(await resolution.resolve(address, Reach())))
    trusted = Remote(await resolution.resolve(address, Reach(directories=(server.root,))))
    assert (await line.snapshot(trusted))[0] == commit
