import os
import select
from contextlib import suppress
from pathlib import Path

import pytest

from services.git import errors
from services.git.command import Caps, Git
from services.git.mirrors import Mirrors
from tests.integration.services.git.conftest import OWNER, RemoteTo
from tests.servers import git_objects
from tests.servers.git import GitServer


async def test_nothing_configures_git_but_us(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = git_objects.init(tmp_path / "a.git")
    evil = tmp_path / "evil"
    evil.write_text("[core]\n\tsshCommand = evil\n")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG"):
        monkeypatch.setenv(name, str(evil))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "evil")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://evil")
    (git._home / ".gitconfig").write_bytes(evil.read_bytes())  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    listed = (await git.run("config", "--list", "--show-origin", repository=repository)).required().output.decode()
    assert "evil" not in listed
    assert {line.split("\t", 1)[0] for line in listed.splitlines()} == {"command line:", f"file:{repository}/config"}


async def test_a_command_that_takes_too_long_is_killed_with_its_children(
    git: Git, server: GitServer, remote_to: RemoteTo, tmp_path: Path
) -> None:
    server.create("demo")
    server.hold()
    short = Mirrors(git, tmp_path / "cache", caps=Caps(timeout_seconds=1), max_bytes=1024**3)
    with pytest.raises(errors.Unreachable):
        async with short.fetched(OWNER, remote_to(server.url("demo")), None):
            pass
    for process in _processes_that_name(str(server.port)):
        assert select.select([process], [], [], 5)[0], "it still runs"
        os.close(process)


def _processes_that_name(text: str) -> list[int]:
    """Descriptors that become readable when the process has ended."""
    found: list[int] = []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and int(place.name) != os.getpid() and text in (place / "cmdline").read_text():
                found.append(os.pidfd_open(int(place.name)))
    return found


async def test_output_has_a_cap(git: Git, tmp_path: Path) -> None:
    repository = git_objects.init(tmp_path / "a.git")
    blob = git_objects.write_blob(repository, b"x" * 100_000)
    with pytest.raises(errors.OutputTooLarge):
        await git.run("cat-file", "blob", blob, repository=repository, caps=Caps(output_bytes=1000))
    cut = await git.run("cat-file", "blob", blob, repository=repository, caps=Caps(output_bytes=1000), truncate=True)
    assert cut.truncated
    assert cut.output == b"x" * 1000


async def test_a_failure_of_our_own_says_what_git_said(git: Git, tmp_path: Path) -> None:
    with pytest.raises(errors.CommandFailed, match="not a git repository"):
        (await git.run("rev-parse", "HEAD", repository=tmp_path)).required()


async def test_input_that_is_not_read_does_no_harm(git: Git, tmp_path: Path) -> None:
    repository = git_objects.init(tmp_path / "a.git")
    for _ in range(20):
        assert (await git.run("rev-parse", "--git-dir", repository=repository, stdin=b"x" * 1_000_000)).code == 0
