"""A project's environment on real sandboxes: made once by its script, put before the agent, and no part of what the agent made."""

import asyncio
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.errors import EnvironmentRefused
from services.runner.surroundings import Wanted
from shared.events.environments import Environment
from shared.events.facts import EnvironmentPrepared, EnvironmentStarted, RunFailed, RunFinished
from shared.events.values import Fate
from tests.integration.services.runner.inside import SMALL, MakeSpec, bash
from tests.integration.services.runner.snapshots import Snapshot, commit, git, repository, snapshot
from tests.integration.services.runner.stage import Stage, in_process

LIBRARY = """
echo "setting up with $(cat lock.txt)"; ls -A /workspace
test -z "$(ls -A /run/egress)"; test ! -e .git; ! env | grep -i -e key -e token
mkdir -p lib/deep "$HOME/.tools/bin" "lib/a b"; cp lock.txt lib/version
echo 'echo tool' > "$HOME/.tools/bin/tool"; chmod 755 "$HOME/.tools/bin/tool"
ln -s /etc/passwd lib/link; ln lib/version lib/deep/hard; git init --quiet lib/nested; echo x > 'lib/a b/*'
mkdir lib/closed; echo closed > lib/closed/file; chmod 555 lib/closed; mkfifo lib/pipe
"""
ENVIRONMENT = Environment(setup_script=LIBRARY, directories=("/workspace/lib", "/home/agent/.tools"), lock_files=("lock.txt", "none/**"))
USED = """
cat lib/version lib/deep/hard lib/closed/file "lib/a b/*"; "$HOME/.tools/bin/tool"; readlink lib/link; test ! -e lib/pipe
git status --porcelain; echo changed > lib/version; echo '!lib/' > .gitignore; echo made > made.txt
"""


@pytest.fixture
def locked(tmp_path: Path) -> Snapshot:
    source = repository(tmp_path / "locked", {"lock.txt": b"one\n", "src/a.txt": b"a\n", "vendor/kept.txt": b"k\n"})
    return snapshot(source, tmp_path / "locked-snapshot")


@pytest.fixture
def changed(locked: Snapshot, tmp_path: Path) -> Callable[[dict[str, bytes]], Snapshot]:
    def change(files: dict[str, bytes]) -> Snapshot:
        for name, content in files.items():
            (locked.repository / name).write_bytes(content)
        commit(locked.repository)
        return snapshot(locked.repository, tmp_path / "-".join(("changed", *files)).replace("/", "-"))

    return change


async def _said(stage: Stage, command: Any, name: str | None = None) -> str:
    return "\n".join(line.event.text for line in await stage.output(command) if name is None or line.event.name == name)


async def _prepared(stage: Stage, command: Any) -> EnvironmentPrepared:
    (found,) = [fact.data for fact in await stage.facts(command) if isinstance(fact.data, EnvironmentPrepared)]
    return found


async def _code(stage: Stage, snapshot: Snapshot, environment: Environment, prompt: str = "true") -> str:
    command = await stage.in_environment(snapshot, prompt, environment)
    ended = await stage.ending(command)
    assert isinstance(ended, RunFailed), await _said(stage, command)
    assert ended.failure.failure_class == "setup_failed"
    return ended.failure.code


async def test_it_is_made_once_and_is_no_part_of_the_change(
    working: Stage, locked: Snapshot, changed: Callable[[dict[str, bytes]], Snapshot], tmp_path: Path
) -> None:
    command = await working.in_environment(locked, USED, ENVIRONMENT)
    ended = await working.ending(command)
    assert isinstance(ended, RunFinished), await _said(working, command)
    log = await _said(working, command, "setup")
    assert log.splitlines() == ["setting up with one", "lock.txt"], "no other file of the repository is there"
    for line in ("one\none\nclosed\nx\ntool\n/etc/passwd", "set-up script starts"):
        assert line in await _said(working, command)
    first = await _prepared(working, command)
    assert (first.cached, first.size_bytes > 0) == (False, True)
    kinds = [type(fact.data).__name__ for fact in await working.facts(command)]
    assert kinds == ["EnvironmentStarted", "EnvironmentPrepared", "RunStarted", "RunFinished"]
    assert ended.result is not None
    pack = tmp_path / "pack"
    pack.write_bytes(await working.blob(ended.result))
    taken = locked.take_in(pack, tmp_path / "taken")
    assert git(taken, "diff-tree", "-r", "--name-only", locked.base_sha, ended.tree_sha).split() == [".gitignore", "made.txt"]

    # Another file of the repository changes nothing, a lock file does; another owner has one of their own.
    for later, cached in ((changed({"src/a.txt": b"b\n"}), True), (changed({"lock.txt": b"two\n"}), False)):
        command = await working.in_environment(later, "cat lib/version", ENVIRONMENT)
        assert isinstance(await working.ending(command), RunFinished)
        assert (await _prepared(working, command)).cached is cached
    assert "two" in await _said(working, command)
    command = await working.in_environment(locked, "cat lib/version", ENVIRONMENT, owner="00000000-0000-4000-8000-000000000002")
    await working.ending(command)
    other = await _prepared(working, command)
    assert (other.cached, other.key == first.key) == (False, False)


async def test_runs_beside_each_other_make_it_once(working: Stage, locked: Snapshot) -> None:
    environment = Environment(setup_script="mkdir lib; date +%N > lib/when", directories=("/workspace/lib",))
    commands = [await working.in_environment(locked, "cat lib/when", environment) for _ in range(2)]
    ends = await asyncio.gather(*(working.ending(command) for command in commands))
    assert [type(end) for end in ends] == [RunFinished, RunFinished]
    assert sorted([(await _prepared(working, command)).cached for command in commands]) == [False, True]


@pytest.mark.parametrize(
    ("script", "directories", "code"),
    [
        ("echo broken; exit 3", ("/workspace/lib",), "setup_exit"),
        ("mkdir lib; sleep 60 & sleep 60", ("/workspace/lib",), "setup_timeout"),
        ("mkdir lib; head -c 3000000 /dev/urandom > lib/big", ("/workspace/lib",), "setup_too_large"),
        ("mkdir other", ("/workspace/lib",), "setup_directory_missing"),
        ("ln -s /etc lib", ("/workspace/lib",), "setup_directory_missing"),
        ("mkdir vendor", ("/workspace/vendor",), "setup_directory_tracked"),
        ("mkdir -p lock.txt/lib", ("/workspace/lock.txt/lib",), "setup_directory_tracked"),
        ("mkdir lib; mkdir out; echo x > out/x; ln out/x lib/x", ("/workspace/lib", "/home/agent/none"), "setup_directory_missing"),
    ],
)
async def test_what_goes_wrong_has_a_name(
    stage: Stage, locked: Snapshot, tmp_path: Path, shell_image: str, script: str, directories: tuple[str, ...], code: str
) -> None:
    environment = Environment(setup_script=script, directories=directories, timeout_seconds=5)
    async with in_process(stage, tmp_path / "runner", shell_image, max_environment_mib=2):
        assert await _code(stage, locked, environment) == code
        assert not await stage.sandboxes()
        assert not list((tmp_path / "runner" / "environments").iterdir())
        assert not list((tmp_path / "runner" / "work").iterdir())


async def test_an_image_is_the_operators_to_allow(
    stage: Stage, engine: DockerEngine, locked: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    name, tag = f"environment-test-{tmp_path.name.lower()}".replace("_", "-"), "own"

    def build(api: Any) -> None:
        container = api.create_container(shell_image, command=["true"])["Id"]
        api.commit(container, name, tag, changes="ENV OWN=1")
        api.remove_container(container)

    await engine.call(build)
    try:
        own = Environment(image=f"{name}:{tag}")
        async with in_process(stage, tmp_path / "runner", shell_image, environment_images=("environment-*", "async-code/debian:*")):
            command = await stage.in_environment(locked, "echo in its own image", own)
            assert isinstance(await stage.ending(command), RunFinished), await _said(stage, command)
            assert not [fact for fact in await stage.facts(command) if isinstance(fact.data, EnvironmentPrepared | EnvironmentStarted)]
            assert await _code(stage, locked, Environment(image="alpine:latest")) == "image_not_allowed"
            assert await _code(stage, locked, Environment(image="environment-nowhere")) == "image_missing"
            debian = await engine.call(lambda api: api.images(filters={"reference": "async-code/debian:*"})[0]["RepoTags"][0])
            assert await _code(stage, locked, Environment(image=debian)) == "image_unfit"
    finally:
        await engine.remove_image(f"{name}:{tag}")


async def test_a_script_without_end_is_cancelled_with_its_task(working: Stage, locked: Snapshot) -> None:
    environment = Environment(setup_script="echo begun; sleep 600", directories=("/workspace/lib",))
    command = await working.in_environment(locked, "true", environment, limits=SMALL)
    await working.says(command, "begun")
    await working.decide(command, Fate.CANCELLED)
    assert (await working.ending(command, 20)).failure.code == "cancelled"
    await working.no_sandboxes()


def _tar(path: Path, *members: tuple[str, bytes, str]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, kind, said in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, said if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else "", 0o6777
            content = said.encode() if kind == tarfile.REGTYPE else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


REG, SYM, LNK, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
POISON: list[list[tuple[str, bytes, str]]] = [
    [("workspace/readme.md", REG, "poison")],
    [("workspace/lib/../readme.md", REG, "poison")],
    [("/workspace/readme.md", REG, "poison")],
    [("workspace/lib", REG, "poison")],
    [("workspace/lib", SYM, "/workspace/src")],
    [("workspace/library/x", REG, "poison")],
    [("home/agent/.bashrc", REG, "poison")],
    [("workspace/lib/up", SYM, ".."), ("workspace/lib/up/readme.md", REG, "poison")],
    [("workspace/lib/src", SYM, "/workspace/src"), ("workspace/lib/src", DIR, ""), ("workspace/lib/src/a.txt", REG, "poison")],
    [("workspace/lib/hard", LNK, "workspace/readme.md"), ("workspace/lib/hard", REG, "poison")],
    [("workspace/lib/l", SYM, "/workspace/readme.md"), ("workspace/lib/h", LNK, "workspace/lib/l"), ("workspace/lib/h", REG, "poison")],
    [("workspace/lib/l", SYM, "/workspace/readme.md"), ("workspace/lib/l", REG, "poison")],
    [("workspace/.git/hooks/post-checkout", REG, "poison")],
    [("workspace/lib//x", REG, "poison")],
]


async def test_a_poisoned_tar_reaches_nothing_else(
    sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot, tmp_path: Path
) -> None:
    """Each in a sandbox that has seen the ones before it, in which the checkout and the home stay what they were."""
    sandbox = await sandboxes.create(make_spec())
    rules = tmp_path / "rules"
    wanted = Wanted("d" * 64, Environment(setup_script="true", directories=("/workspace/lib", "/home/agent/.tools")))
    rules.write_bytes(wanted.rules)
    await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
    await sandbox.surroundings.keep_apart(rules)
    for number, members in enumerate(POISON):
        with pytest.raises(EnvironmentRefused):
            await sandbox.surroundings.unpack(rules, _tar(tmp_path / f"poison-{number}", *members))
        left = "rm -rf lib ~/.tools; cat readme.md src/a.txt; git status --porcelain; ls -A ~; ls -A .git/hooks 2>/dev/null || true"
        assert await bash(sandbox, left) == "hello\na\n", members
    for broken in (b"no tar at all" * 100, b""):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(EnvironmentRefused):
            await sandbox.surroundings.unpack(rules, tmp_path / "broken")
    good = _tar(tmp_path / "good", ("workspace/lib/x", REG, "good"), ("workspace/lib/pipe", tarfile.FIFOTYPE, ""))
    await sandbox.surroundings.unpack(rules, good)
    assert await bash(sandbox, "stat -c %a lib/x; cat lib/x; ls lib; git status --porcelain") == "777\ngoodx\n"
    await sandbox.kill()
