"""A run whose runner is killed goes on with another (other process, id, disk and egress process), with the real agent's session."""

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.embedded.scripted.server import ScriptedModel
from deploy.images.build import ensure_images
from services.runner.agents.registry import AGENTS
from shared.events.envelope import AnyEnvelope
from shared.events.facts import RunCheckpointed, RunFinished, RunStarted
from shared.events.ids import CredentialId, OwnerId
from shared.events.values import CredentialRef, Limits, Purpose
from shared.secrets import Context, Keyring, seal
from tests.integration.services.runner.snapshots import Snapshot, git
from tests.integration.services.runner.stage import RunnerProcess, Stage
from tests.servers import remembering
from tests.servers.egress import EgressProcess
from tests.unit.services.runner.sandbox_conformance import moved

LIMITS = Limits(memory_mib=1_024, disk_mib=256, pids=256, cpus=2, wall_seconds=300, idle_seconds=120)
ENOUGH_SECONDS = 200
CREDENTIAL = CredentialId("c0000000-0000-4000-8000-00000000000c")


@pytest.fixture
async def model() -> AsyncIterator[tuple[ScriptedModel, str]]:
    model = ScriptedModel(remembering.steps)
    yield model, await model.start()
    await model.stop()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose sockets fit into an address."""
    with tempfile.TemporaryDirectory(prefix="ac-") as path:
        Path(path).chmod(0o755)  # the sandbox's user reaches its door in it
        yield Path(path)


async def _seen(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(ENOUGH_SECONDS):
        while not what():  # noqa: ASYNC110 - the model tells nobody
            await asyncio.sleep(0.05)


async def _told(stage: Stage, command: AnyEnvelope, kind: type) -> list[AnyEnvelope]:
    return [fact for fact in await stage.facts(command) if isinstance(fact.data, kind)]


async def _asked(stage: Stage, snapshot: Snapshot, agent: str, keyring: Keyring) -> AnyEnvelope:
    """A run of this agent is asked for, whose key the gateway hands out sealed for the egress processes."""
    unsent = await stage.unsent(snapshot, remembering.PROMPT, LIMITS, agent)
    vendor = AGENTS[agent].vendor
    assert vendor is not None
    ref = CredentialRef(credential_id=CREDENTIAL, version=1, purpose=Purpose.MODEL_KEY)
    command = unsent.model_copy(update={"data": unsent.data.model_copy(update={"credential": ref})})
    context = Context(Purpose.MODEL_KEY, OwnerId(command.owner), CREDENTIAL, 1, vendor)
    stage.sealed[CREDENTIAL] = bytes(seal(keyring.primary, b"sk-planted", context))
    await stage.scheduler.publish(command)
    return command


class Host:
    """A runner with its own egress process, id and disk, as on a machine of its own."""

    def __init__(self, stage: Stage, directory: Path, agent: str, model_url: str, keyring: Keyring) -> None:
        self._stage, self._directory = stage, directory
        self._egress = EgressProcess(directory / "egress", model_url, keyring=keyring)
        image = ensure_images(lambda _: None, [agent])[agent]
        self._variables = {
            "RUNNER_IMAGES": json.dumps({agent: image}),
            "RUNNER_EGRESS_SOCKET": str(self._egress.control),
            "RUNNER_CHECKPOINT_TURN_SECONDS": "0.5",
            "RUNNER_WARM": "0",
        }

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[RunnerProcess]:
        await self._egress.start()
        try:
            runner = RunnerProcess(self._stage, self._directory, "", more=self._variables)
            await runner.start()
            try:
                yield runner
            finally:
                await runner.end(signal.SIGTERM)
        finally:
            self._egress.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("agent", ["claude-code", "codex"])
async def test_another_runner_goes_on_with_the_agents_session(
    agent: str, stage: Stage, small_snapshot: Snapshot, short_path: Path, tmp_path: Path, model: tuple[ScriptedModel, str]
) -> None:
    (scripted, url), keyring = model, Keyring.generate()
    await stage.shorten_ack_wait(4)
    async with Host(stage, moved(short_path, "one"), agent, url, keyring).at_work() as runner:
        command = await _asked(stage, small_snapshot, agent, keyring)
        await _seen(lambda: remembering.waits(scripted.requests))
        known = len(await _told(stage, command, RunCheckpointed))
        await stage.seen(lambda: _told(stage, command, RunCheckpointed), lambda found: len(found) >= known + 2, ENOUGH_SECONDS)
        await runner.end(signal.SIGKILL)
    async with Host(stage, moved(short_path, "other"), agent, url, keyring).at_work():
        ended = await stage.ending(command, ENOUGH_SECONDS)
        await stage.no_sandboxes()

    assert isinstance(ended, RunFinished), ended
    first, second = [fact.data for fact in await _told(stage, command, RunStarted)]
    assert first.runner_id != second.runner_id
    assert first.fence < second.fence == ended.fence
    after = remembering.went_on(scripted.requests)
    assert ended.result is not None
    pack = tmp_path / "result.pack"
    pack.write_bytes(await stage.blob(ended.result))
    whole = small_snapshot.take_in(pack, tmp_path / "whole")
    assert git(whole, "cat-file", "blob", f"{ended.tree_sha}:{remembering.FILE}") == remembering.WRITTEN.strip()
    assert git(whole, "ls-tree", "-r", "--name-only", ended.tree_sha).split() == ["readme.md", "src/a.txt", remembering.FILE]
    # What each attempt tells is its own: the first up to its last checkpoint, the second to the end. They are counted together.
    assert ended.usage.requests == len(after)
    told = [fact.data for fact in await _told(stage, command, RunCheckpointed) if fact.data.fence == first.fence][-1].usage
    assert 3 <= told.requests <= len(scripted.requests) - len(after)
    assert min(told.cost_usd, ended.usage.cost_usd) > 0
