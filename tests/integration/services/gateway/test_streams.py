"""Event streams over HTTP: nothing lost or doubled over random disconnects, and none outlives its reason."""

import asyncio
import random
from datetime import UTC, datetime

from joserfc import jwt

from deploy.embedded.auth import keys
from shared.events import facts
from shared.events.failures import failure
from shared.events.ids import RunId, fresh
from shared.events.output import AgentEvent, OutputLine, subject

from .stack import Event, Gateway, Person, Service, Task

LINES = 120


async def _life(scheduler: Service, runner: Service, task: Task, run_id: RunId) -> None:
    """A task's life at full speed."""
    await scheduler.says(task, facts.TaskQueued())
    await scheduler.says(task, facts.TaskPreparing())
    await scheduler.says(task, facts.TaskRunning(run_id=run_id))
    for number in range(1, LINES + 1):
        event = AgentEvent(kind="message", text=f"{number}\n\nevent: end\ndata: {{}}")
        line = OutputLine(run_id=run_id, fence=1, number=number, at=datetime.now(UTC), event=event)
        await runner.bus.publish_output(subject(task.owner, task.id, run_id), line.model_dump_json().encode(), f"{run_id}.{number}")
        if number % 40 == 0:
            refused = facts.EgressRefused(run_id=run_id, fence=1, reason="host", request_digest="0" * 64)
            await runner.says(task, refused)
    await scheduler.says(task, facts.TaskFailed(failure=failure("agent_exit")))


async def _followed(person: Person, task: Task, dice: random.Random) -> list[Event]:
    """A client whose connection breaks all the time."""
    seen: list[Event] = []
    while not seen or seen[-1].name != "end":
        patience = dice.randint(1, 25)
        async with person.events(task, seen[-1].id if seen else None) as events:
            async for event in events:
                seen.append(event)
                patience -= 1
                if not patience or event.name == "end":
                    break
    return seen


async def test_random_disconnects_lose_and_double_nothing(gateway: Gateway, somebody: Person) -> None:
    task, run_id = await somebody.task(), RunId(fresh())
    async with gateway.service("scheduler") as scheduler, gateway.service("runner") as runner:
        clients = [asyncio.create_task(_followed(somebody, task, random.Random(seed))) for seed in range(4)]  # noqa: S311
        await asyncio.gather(_life(scheduler, runner, task, run_id))
        for seen in await asyncio.gather(*clients):
            assert [event.data["number"] for event in seen if event.name == "output"] == list(range(1, LINES + 1))
            told = [event.data.get("state") or event.data["type"] for event in seen if event.name in {"state", "fact"}]
            whole = ["queued", "preparing", "running", *["egress.refused.v1"] * 3, "failed"]
            # A snapshot may already know the first states; what it does not know comes once, in order.
            assert told == whole[len(whole) - len(told) :]
            assert [event.name for event in seen].count("snapshot") == 1
            assert (seen[-1].name, seen[-1].data["failure"]["code"]) == ("end", "agent_exit")
        late = await _followed(somebody, task, random.Random(9))  # noqa: S311
        assert [event.data["number"] for event in late if event.name == "output"] == list(range(1, LINES + 1))
        answer = await somebody.http.get(f"/v1/tasks/{task.id}/events", headers={"last-event-id": "999999.0"})
        assert (answer.status_code, answer.json()["type"]) == (410, "urn:async-code:problem:gone")


async def test_a_stream_ends_with_its_token(gateway: Gateway, somebody: Person) -> None:
    task = await somebody.task()
    key = keys.load(gateway.directory / "signing-key.json")
    now = datetime.now(UTC).timestamp()
    short = {"iss": f"{gateway.auth.url}/auth/v1", "aud": "authenticated", "iat": now, "exp": now + 2, "sub": somebody.id}
    short |= {"role": "authenticated", "session_id": fresh()}
    token = jwt.encode({"alg": "ES256", "kid": key.kid}, short, key, algorithms=["ES256"])
    somebody.http.headers["authorization"] = f"Bearer {token}"
    async with asyncio.timeout(20), somebody.events(task) as events:
        assert [event.name async for event in events] == ["snapshot"]


async def test_a_stream_ends_with_the_service_which_stops_cleanly(gateway: Gateway, somebody: Person) -> None:
    task = await somebody.task()
    async with asyncio.timeout(30), somebody.events(task) as events:
        assert (await anext(events)).name == "snapshot"
        stopping = asyncio.create_task(gateway.stop())
        assert [event.name async for event in events] == []
        assert await stopping == 0
    await gateway.start()
    assert (await somebody.get(f"/v1/tasks/{task.id}"))["id"] == task.id
