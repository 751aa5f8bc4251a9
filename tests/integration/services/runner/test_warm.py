"""Real containers that were made before their run: what they are inside, and what becomes of them."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.runner import orphans
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.doors import NullEgress
from services.runner.errors import SandboxUnavailable
from services.runner.sandbox import Prepared, SandboxSpec
from services.runner.warm import Kind, Pool, Warm
from shared.events.ids import RunId
from tests.integration.services.runner.inside import MakeSpec, bash
from tests.integration.services.runner.snapshots import Snapshot

LOOK = r"""
printf '%s\n' "$PWD" "$(id)" "$(umask)" "$(ulimit -a)" "$(grep -E '^(SigBlk|SigIgn|SigCgt|Cap|Seccomp|NoNewPrivs)' /proc/self/status)"
env -0 | sort -z | tr '\0' '\n' | grep -vE '^(_|SHLVL|PWD|OLDPWD)='
ls /proc/self/fd; cat /proc/self/oom_score_adj /proc/self/cgroup; cut -d' ' -f2,3 /proc/self/mounts | sort
"""


async def prepared(sandboxes: DockerSandboxes, spec: SandboxSpec) -> Prepared:
    kind = Kind.of(spec, door=False)
    assert kind is not None
    return await sandboxes.prepare(kind.spec(None))


@pytest.fixture
async def pool(sandboxes: DockerSandboxes, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    monkeypatch.setattr("services.runner.warm._SETTLE_SECONDS", 0.0)
    pool = Pool(sandboxes, NullEgress(), each=1, total=2)
    async with pool.filled():
        yield pool
    assert [left for left in await sandboxes.leftovers() if not left.run_id] == []


async def taken(pool: Pool, spec: SandboxSpec) -> Warm:
    await pool.full()
    warm = pool.take(spec, door=False)
    assert warm is not None
    return warm


async def test_an_agent_finds_the_same_in_a_warm_one(sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot) -> None:
    warm, cold = make_spec(), make_spec()
    found = list[str]()
    for sandbox in (await (await prepared(sandboxes, warm)).adopt(warm), await sandboxes.create(cold)):
        await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
        found.append(await bash(sandbox, LOOK))
        assert await bash(sandbox, "git status --short; echo again; exit 3", code=3) == "again\n"  # by an exec of its own
    assert found[0] == found[1]


async def test_what_waits_is_gone_when_the_agent_is_stopped(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    spec = make_spec()
    sandbox = await (await prepared(sandboxes, spec)).adopt(spec)
    await sandbox.stop_agent()
    assert await bash(sandbox, "pgrep --uid 10001 --full stand-by || echo none") == "none\n"


async def test_an_image_that_was_built_since_is_not_taken_for_it(
    engine: DockerEngine, sandboxes: DockerSandboxes, make_spec: MakeSpec
) -> None:
    name = f"async-code/tested-{uuid.uuid4()}"
    spec = replace(make_spec(), image=f"{name}:current")
    await engine.call(lambda api: api.tag(make_spec().image, name, "current"))
    waiting = await prepared(sandboxes, spec)
    await engine.call(lambda api: api.remove_image(spec.image))
    with pytest.raises(SandboxUnavailable, match="another image"):
        await waiting.adopt(spec)
    await waiting.discard()
    assert await sandboxes.leftovers() == []


async def test_each_is_given_once_and_another_takes_its_place(
    pool: Pool, sandboxes: DockerSandboxes, make_spec: MakeSpec, small_snapshot: Snapshot
) -> None:
    assert pool.take(make_spec(), door=False) is None  # nobody had asked for one
    seen = set[str]()
    for _ in range(3):
        spec = make_spec()
        sandbox = await pool.sandbox(spec, await taken(pool, spec))
        seen |= {left.container_id for left in await sandboxes.leftovers() if left.run_id == spec.run_id and left.fence == spec.fence}
        await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
        await sandbox.kill()
    assert len(seen) == 3


async def test_one_that_has_died_is_replaced_by_one_of_its_own(pool: Pool, make_spec: MakeSpec) -> None:
    pool.take(make_spec(), door=False)
    warm = await taken(pool, make_spec())
    await warm.prepared.discard()
    assert await bash(await pool.sandbox(make_spec(), warm), "echo up") == "up\n"


async def test_another_runner_leaves_it_alone_and_its_own_clears_it_away(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    waiting = await prepared(sandboxes, make_spec())
    (left,) = await sandboxes.leftovers()
    assert (left.run_id, left.fence, left.runner_id) == ("", 0, "runner-1")
    assert await orphans.clear_sandboxes(sandboxes, "runner-2", _nobody) == 0
    assert await orphans.clear_sandboxes(sandboxes, "runner-1", _nobody) == 1
    await waiting.discard()


async def _nobody(_: RunId) -> bool:
    return False
