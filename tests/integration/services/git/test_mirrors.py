import asyncio
import os
import random
import socket
from pathlib import Path

import pytest

from services.git import addresses, errors, resolution
from services.git.command import Caps, Git, Remote
from services.git.locks import locked
from services.git.mirrors import Mirrors
from tests.integration.services.git.conftest import LOOPBACK, OTHER, OWNER, RemoteTo
from tests.servers import git_objects
from tests.servers.authority import Authority
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob

SECRET = b"s3cret-token"


def seeded(server: GitServer, name: str = "demo", content: bytes = b"one\n") -> str:
    repository = server.create(name)
    return git_objects.write_commit(repository, git_objects.write_tree(repository, {b"a.txt": Blob(content)}))


async def fetch(mirrors: Mirrors, remote: Remote, base_ref: str | None = None) -> str:
    async with mirrors.fetched(OWNER, remote, base_ref) as base:
        return base.commit_sha


async def test_the_default_branch_a_branch_and_a_tag(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    repository = server.path("demo")
    second = git_objects.write_commit(repository, git_objects.tree_of(repository, commit), commit, message="two", branch="feature/x")
    git_objects.git(repository, "tag", "-a", "-m", "v1", "v1", commit)
    remote = remote_to(server.url("demo"))
    assert await fetch(mirrors, remote) == commit
    assert await fetch(mirrors, remote, "main") == commit
    assert await fetch(mirrors, remote, "feature/x") == second
    assert await fetch(mirrors, remote, "v1") == commit
    assert await fetch(mirrors, remote, "refs/heads/main") == commit


async def test_a_mirror_follows_the_remote_also_when_history_is_rewritten(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    repository, remote = server.path("demo"), remote_to(server.url("demo"))
    assert await fetch(mirrors, remote) == commit
    other = git_objects.write_commit(repository, git_objects.tree_of(repository, commit), message="rewritten")
    assert await fetch(mirrors, remote) == other


async def test_a_branch_may_become_a_directory_of_branches(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    repository, remote = server.path("demo"), remote_to(server.url("demo"))
    git_objects.git(repository, "update-ref", "refs/heads/x", commit)
    assert await fetch(mirrors, remote, "x") == commit
    git_objects.git(repository, "update-ref", "-d", "refs/heads/x")
    git_objects.git(repository, "update-ref", "refs/heads/x/y", commit)
    assert await fetch(mirrors, remote, "x/y") == commit


async def test_what_the_remote_lacks_is_named(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    seeded(server)
    server.create("empty")
    with pytest.raises(errors.RefNotFound):
        await fetch(mirrors, remote_to(server.url("demo")), "nope")
    with pytest.raises(errors.RepositoryNotFound):
        await fetch(mirrors, remote_to(server.url("absent")))
    with pytest.raises(errors.RepositoryEmpty):
        await fetch(mirrors, remote_to(server.url("empty")))
    with pytest.raises(errors.RefNotFound):
        await fetch(mirrors, remote_to(server.url("empty")), "main")


async def test_a_token_is_needed_and_used_at_each_fetch(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    server.require_token("demo", "s3cret-token")
    url = server.url("demo")
    assert await fetch(mirrors, remote_to(url, b"s3cret-token")) == commit
    for secret in (None, b"wrong-token", b"user:s3cret-token"):
        with pytest.raises(errors.RepositoryAuth):
            await fetch(mirrors, remote_to(url, secret))
    server.require_token("demo", "other-pass", user="user")
    assert await fetch(mirrors, remote_to(url, b"user:other-pass")) == commit
    server.answer_with("demo", 403)
    with pytest.raises(errors.RepositoryAuth):
        await fetch(mirrors, remote_to(url, b"user:other-pass"))


async def test_redirects_are_refused(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    with GitServer(tmp_path / "inner") as inner:
        seeded(inner)
        server.redirect("demo", f"http://127.0.0.1:{inner.port}")
        with pytest.raises(errors.RepositoryMoved):
            await fetch(mirrors, remote_to(server.url("demo")))
        assert inner.seen == []


async def test_a_remote_that_is_away_is_worth_another_try(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    remote = remote_to(server.url("demo"))
    server.stop()
    with pytest.raises(errors.Unreachable):
        await fetch(mirrors, remote)
    server.start()
    assert await fetch(mirrors, remote) == commit
    server.answer_with("demo", 502)
    with pytest.raises(errors.Unreachable):
        await fetch(mirrors, remote)


async def test_tls_needs_the_operators_authority_and_goes_to_the_pinned_address(tmp_path: Path, remote_to: RemoteTo) -> None:
    authority = Authority(tmp_path)
    with GitServer(tmp_path / "tls", tls=authority.server_context("git.invalid")) as server:
        commit = seeded(server)
        url = server.url("demo", host="git.invalid")
        pinned = remote_to(url, pin=f"git.invalid:{server.port}:127.0.0.1")
        caps = Caps(timeout_seconds=60)
        trusting = Mirrors(Git(tmp_path / "home", ca_bundle=authority.bundle), tmp_path / "one", caps=caps, max_bytes=1024**3)
        assert await fetch(trusting, pinned) == commit
        with pytest.raises(errors.Unreachable):
            await fetch(trusting, remote_to(url))
        plain = Mirrors(Git(tmp_path / "home"), tmp_path / "two", caps=caps, max_bytes=1024**3)
        with pytest.raises(errors.CertificateRefused):
            await fetch(plain, pinned)


async def test_a_host_that_takes_connections_and_never_speaks_is_not_waited_for(tmp_path: Path, remote_to: RemoteTo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        mirrors = Mirrors(Git(tmp_path / "home", stall_seconds=0), tmp_path / "cache", caps=Caps(timeout_seconds=60), max_bytes=1024**3)
        hosts = (("127.0.0.1", None), ("git.invalid", f"git.invalid:{port}:127.0.0.1"))
        fetches = [fetch(mirrors, remote_to(f"https://{host}:{port}/a.git", SECRET, pin=pin)) for host, pin in hosts]
        for ended in await asyncio.gather(*fetches, return_exceptions=True):
            assert isinstance(ended, errors.Unreachable)
            assert "too long" in str(ended)


async def test_a_host_that_is_only_slow_is_waited_for(tmp_path: Path, remote_to: RemoteTo) -> None:
    authority = Authority(tmp_path)
    with GitServer(tmp_path / "tls", tls=authority.server_context("git.invalid")) as server:
        commit = seeded(server)
        git = Git(tmp_path / "home", ca_bundle=authority.bundle, stall_seconds=0)
        mirrors = Mirrors(git, tmp_path / "cache", caps=Caps(timeout_seconds=60), max_bytes=1024**3)
        server.hold()
        fetching = asyncio.create_task(
            fetch(mirrors, remote_to(server.url("demo", host="git.invalid"), pin=f"git.invalid:{server.port}:127.0.0.1"))
        )
        assert await asyncio.to_thread(server.arrived.wait, 60)
        server.release()
        assert await fetching == commit


@pytest.mark.parametrize(("name", "expired"), [("git.invalid", True), ("another.invalid", False)])
async def test_a_certificate_that_is_not_valid_here_and_now(tmp_path: Path, remote_to: RemoteTo, name: str, expired: bool) -> None:
    authority = Authority(tmp_path)
    with GitServer(tmp_path / "tls", tls=authority.server_context(name, expired=expired)) as server:
        seeded(server)
        remote = remote_to(server.url("demo", host="git.invalid"), SECRET, pin=f"git.invalid:{server.port}:127.0.0.1")
        trusting = Mirrors(
            Git(tmp_path / "home", ca_bundle=authority.bundle), tmp_path / "one", caps=Caps(timeout_seconds=60), max_bytes=1024**3
        )
        with pytest.raises(errors.CertificateRefused):
            await fetch(trusting, remote)
        assert server.seen == []


async def test_file_repositories_are_read_where_allowed(mirrors: Mirrors, server: GitServer) -> None:
    commit = seeded(server)
    address = addresses.parse(f"file://{server.path('demo')}", {"file"})
    remote = Remote(await resolution.resolve(address, LOOPBACK))
    assert await fetch(mirrors, remote) == commit


async def test_owners_share_nothing(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo, git: Git) -> None:
    commit = seeded(server)
    server.require_token("demo", "s3cret-token")
    remote = remote_to(server.url("demo"), b"s3cret-token")
    assert await fetch(mirrors, remote) == commit
    async with mirrors.existing(OTHER, remote.destination.address) as nothing:
        assert nothing is None
    with pytest.raises(errors.RepositoryAuth):
        async with mirrors.fetched(OTHER, remote_to(server.url("demo")), None):
            pass
    mirror = mirrors.path(OTHER, remote.destination.address)
    assert (await git.run("cat-file", "-e", commit, repository=mirror)).code != 0
    assert mirrors.path(OWNER, remote.destination.address) != mirror


async def test_a_broken_mirror_is_fetched_anew(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    remote = remote_to(server.url("demo"))
    await fetch(mirrors, remote)
    mirror = mirrors.path(OWNER, remote.destination.address)
    for file in (mirror / "objects/pack").iterdir():
        file.chmod(0o600)
        file.write_bytes(b"rubbish")
    (mirror / "packed-refs.lock").touch()
    assert await fetch(mirrors, remote) == commit


async def test_many_at_once_fetch_one_after_another(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    remote = remote_to(server.url("demo"))
    assert await asyncio.gather(*(fetch(mirrors, remote) for _ in range(6))) == [commit] * 6


async def test_many_packs_become_few(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    commit = seeded(server)
    repository, remote = server.path("demo"), remote_to(server.url("demo"))
    for number in range(24):
        tree = git_objects.write_tree(repository, {b"a.txt": Blob(b"%d\n" % number)})
        commit = git_objects.write_commit(repository, tree, commit)
        assert await fetch(mirrors, remote) == commit
    assert len(list((mirrors.path(OWNER, remote.destination.address) / "objects/pack").glob("*.pack"))) < 20


async def test_a_repository_over_the_limit_is_refused_by_name(git: Git, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    repository = server.create("big")
    noise = random.Random(1).randbytes(400_000)  # noqa: S311 - noise does not compress
    git_objects.write_commit(repository, git_objects.write_tree(repository, {b"big": Blob(noise)}))
    small = Mirrors(git, tmp_path / "small", caps=Caps(timeout_seconds=60, file_bytes=8_192), max_bytes=1024**3)
    with pytest.raises(errors.RepositoryTooLarge):
        await fetch(small, remote_to(server.url("big")))


async def test_the_cache_shrinks_but_not_below_what_is_used(git: Git, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    tight = Mirrors(git, tmp_path / "tight", caps=Caps(timeout_seconds=60), max_bytes=0)
    for name in ("one", "two"):
        seeded(server, name)
        await fetch(tight, remote_to(server.url(name)))
    async with tight.existing(OWNER, remote_to(server.url("one")).destination.address) as used:
        assert await tight.shrink() == 1
        assert used is not None
        assert used.is_dir()
    assert not tight.path(OWNER, remote_to(server.url("two")).destination.address).exists()


async def test_a_lock_is_held_as_long_as_a_command_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    async with locked(path) as descriptor:
        child = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, pass_fds=(descriptor,))
    with pytest.raises(errors.LockTimedOut):
        async with locked(path, wait_seconds=0):
            pass
    child.kill()
    await child.wait()
    async with locked(path, wait_seconds=0):
        pass


async def test_what_was_used_last_stays_also_where_nothing_new_was_fetched(
    git: Git, server: GitServer, remote_to: RemoteTo, tmp_path: Path
) -> None:
    mirrors = Mirrors(git, tmp_path / "cache", caps=Caps(timeout_seconds=60), max_bytes=1)
    paths: dict[str, Path] = {}
    for name in ("one", "two", "three"):
        seeded(server, name)
        await fetch(mirrors, remote_to(server.url(name)))
        paths[name] = mirrors.path(OWNER, remote_to(server.url(name)).destination.address)
    for age, name in enumerate(("two", "three", "one")):
        os.utime(paths[name].with_suffix(".use"), (age, age))
    size = sum(path.lstat().st_blocks * 512 for path in (paths["one"], *paths["one"].rglob("*")))
    roomy = Mirrors(git, tmp_path / "cache", caps=Caps(timeout_seconds=60), max_bytes=int(1.5 * size))
    await fetch(roomy, remote_to(server.url("two")))
    assert await roomy.shrink() == 2
    assert [name for name, path in paths.items() if path.is_dir()] == ["two"]
    assert sorted(path.suffix for path in paths["two"].parent.iterdir()) == [".fetch", ".git", ".use"]


async def test_the_bound_holds_while_many_fetch(git: Git, server: GitServer, remote_to: RemoteTo, tmp_path: Path) -> None:
    mirrors = Mirrors(git, tmp_path / "busy", caps=Caps(timeout_seconds=60), max_bytes=0)
    commits = {name: seeded(server, name, name.encode()) for name in ("a", "b", "c", "d")}

    async def use(name: str) -> None:
        for _ in range(3):
            async with mirrors.fetched(OWNER, remote_to(server.url(name)), None) as base:
                assert base.commit_sha == commits[name]
                assert (await git.run("cat-file", "-e", base.commit_sha, repository=base.mirror)).code == 0

    async def shrink() -> None:
        while True:
            await mirrors.grown.wait()
            await mirrors.shrink()

    shrinking = asyncio.create_task(shrink())
    await asyncio.gather(*(use(name) for name in commits for _ in range(2)))
    shrinking.cancel()
    await asyncio.wait({shrinking})
    await mirrors.shrink()
    await mirrors.forget_locks()  # of the one that was just going when its shrinking was stopped
    assert list((tmp_path / "busy/mirrors").iterdir()) == []


async def test_locks_of_fetches_that_failed_at_once_are_forgotten(mirrors: Mirrors, server: GitServer, remote_to: RemoteTo) -> None:
    seeded(server)
    await fetch(mirrors, remote_to(server.url("demo")))
    mirror = mirrors.path(OWNER, remote_to(server.url("demo")).destination.address)
    absent = mirrors.path(OWNER, remote_to(server.url("never-fetched")).destination.address)
    for lock in (absent.with_suffix(".use"), absent.with_suffix(".fetch")):
        lock.touch()
    async with locked(absent.with_suffix(".use"), shared=True):
        assert await mirrors.forget_locks() == 0
    assert await mirrors.forget_locks() == 1
    assert sorted(path.name for path in mirror.parent.iterdir()) == sorted(
        mirror.with_suffix(suffix).name for suffix in (".git", ".use", ".fetch")
    )


async def test_who_waited_for_a_lock_file_that_went_takes_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    entered = asyncio.Event()

    async def wait() -> None:
        async with locked(path):
            entered.set()
            with pytest.raises(errors.LockTimedOut):
                async with locked(path, wait_seconds=0):
                    pass

    async with locked(path):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        path.unlink()
    await waiting
    assert entered.is_set()
