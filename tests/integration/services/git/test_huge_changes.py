"""Changes that are too much to show: what is left out is said, what is counted is everything, and memory stays within what is allowed.

Address space is capped by the system (`prlimit`), so a command that needs more fails here and is not measured.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from services.git import diffs
from services.git.command import MIB, Git
from services.git.diffs import Diff, Sizes
from services.git.mirrors import Mirrors
from services.git.protected import Protection
from services.git.takein import Taken
from tests.integration.services.git.conftest import OWNER, RemoteTo
from tests.integration.services.git.line import Line, applied
from tests.servers import git_import, git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob

LIMITED = Sizes(memory_bytes=640 * MIB)
Files = Mapping[bytes, Blob | None]


@pytest.fixture
def line(git: Git, mirrors: Mirrors, tmp_path: Path) -> Line:
    return Line(git, mirrors, tmp_path, OWNER)


async def taken(line: Line, server: GitServer, remote_to: RemoteTo, before: Files, after: Files) -> Taken:
    """The change from `before` to `after`, taken in."""
    repository = server.create("demo")
    git_import.commits(repository, [before, after])
    base, tree = (git_objects.git(repository, "rev-parse", revision).decode().strip() for revision in ("main~1", "main^{tree}"))
    git_objects.git(repository, "update-ref", "refs/heads/main", base)
    remote = remote_to(server.url("demo"))
    await line.snapshot(remote)
    return await line.take_in(remote, base, tree, git_objects.thin_pack(repository, tree, base))


async def shown(line: Line, change: Taken, patch: Path) -> Diff:
    """The document; the patch must give the tree."""
    await diffs.write_patch(line.git, change, patch, LIMITED)
    assert applied(change.repository, change.base_sha, patch) == change.tree_sha
    return await diffs.changes(line.git, change, Protection(), LIMITED)


async def test_five_thousand_files(line: Line, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    names = [b"src/%02d/%04d.py" % (number % 50, number) for number in range(5_000)]
    before = {name: Blob(b"one\ntwo\n%s\n" % name) for name in names}
    after = {name: Blob(b"one\nTWO\nthree\n%s\n" % name) for name in names} | {b"zz/Jenkinsfile": Blob(b"x\n")}
    diff = await shown(line, await taken(line, server, remote_to, before, after), tmp_path / "patch")
    assert (diff.files, diff.additions, diff.deletions, diff.protected_files) == (5_001, 10_001, 5_000, 1)
    assert (len(diff.document.files), diff.document.truncated) == (1_000, True)
    assert diff.document.files[-1].path == "zz/Jenkinsfile"
    assert {file.content for file in diff.document.files} == {"text"}
    assert all((file.additions, file.deletions) == (2, 1) for file in diff.document.files[:-1])


async def test_huge_files(line: Line, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    lines = [b"%07d is a line of a log file that somebody committed\n" % number for number in range(900_000)]
    log = b"".join(lines)
    assert len(log) > 45 * MIB
    lines[450_000] = b"and this one changed\n"
    before = {b"big.log": Blob(log), b"minified.js": Blob(b"x=1;" * (5 * MIB // 2)), b"small.txt": Blob(b"one\n")}
    after = {b"big.log": Blob(b"".join(lines)), b"minified.js": Blob(b"x=2;" * (5 * MIB // 2)), b"small.txt": Blob(b"two\n")}
    change = await taken(line, server, remote_to, before, after)
    diff = await shown(line, change, tmp_path / "patch")
    files = {file.path: file for file in diff.document.files}
    for path in ("big.log", "minified.js"):
        assert (files[path].status, files[path].content) == ("modified", "too_large")
        assert (files[path].before, files[path].after, files[path].hunks) == (None, None, ())
    assert (files["small.txt"].content, files["small.txt"].after) == ("text", "two\n")
    assert (diff.files, diff.document.truncated) == (3, False)
    assert len(diff.document.model_dump_json()) < 4_096


async def test_a_document_with_much_text_leaves_out_the_texts_and_no_file(
    line: Line, server: GitServer, remote_to: RemoteTo, tmp_path: Path
) -> None:
    after = {b"%03d.txt" % number: Blob(b"%d words\n" % number * 40_000) for number in range(60)}
    diff = await shown(line, await taken(line, server, remote_to, {b"a": Blob(b"a\n")}, after), tmp_path / "patch")
    assert (diff.files, len(diff.document.files), diff.additions) == (60, 60, 60 * 40_000)
    kinds = [file.content for file in diff.document.files]
    assert set(kinds) == {"text", "too_large"}
    assert all(file.additions == 40_000 for file in diff.document.files)
    assert len(diff.document.model_dump_json()) < 2 * LIMITED.document_bytes
