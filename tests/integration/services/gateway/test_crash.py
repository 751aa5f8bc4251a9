"""kill -9 of the gateway: what was answered is not lost, and nothing is done twice."""

import asyncio

import httpx

from shared.events import catalogue
from shared.events.commands import SchedulerSubmit

from .stack import Gateway, Person


async def _submitted(gateway: Gateway, count: int) -> list[str]:
    """The tasks of every submit command in CMD, once there are that many."""
    async with gateway.service("scheduler") as scheduler, asyncio.timeout(30):
        while True:
            kept = [catalogue.parse(message.data) for message in await scheduler.bus.read("CMD", "cmd.scheduler.submit.>", 0)]
            if len(kept) >= count:
                assert all(isinstance(command.data, SchedulerSubmit) for command in kept)
                return [command.task for command in kept]


async def test_a_task_committed_and_not_relayed_is_submitted_once(gateway: Gateway, somebody: Person) -> None:
    project = await somebody.project()
    await gateway.nats.kill()
    task = await somebody.task(project)
    await gateway.kill()
    await gateway.nats.restart()
    await gateway.start()
    assert await _submitted(gateway, 1) == [task.id]
    assert (await somebody.get(f"/v1/tasks/{task.id}"))["state"] == "submitted"


async def test_a_message_that_can_never_be_published_makes_it_not_ready(gateway: Gateway) -> None:
    """The bus denies the gateway what only the runner may say."""
    admin = await gateway.database.connect()
    await admin.execute(
        "insert into gateway.outbox (stream, subject, message_id, payload, created_at) "
        "values ('EVT', 'evt.run.finished.-.-', 'x', '', now() - interval '61 seconds')"
    )
    await admin.close()
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{gateway.health_port}/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"bus": "ok", "database": "ok", "auth": "ok", "outbox": answer.json()["checks"]["outbox"]}
    assert answer.json()["checks"]["outbox"].startswith("OutboxStands: the first message has waited 6")


async def test_kills_under_load_lose_and_double_nothing(gateway: Gateway, somebody: Person) -> None:
    body = {"project_id": await somebody.project(), "agent": "shell", "prompt": "x"}
    answered: set[str] = set()
    done = asyncio.Event()

    async def hand_in(client: int) -> None:
        for number in range(15):
            while True:
                try:
                    answer = await somebody.http.post("/v1/tasks", json=body, headers={"idempotency-key": f"{client}.{number}"})
                except httpx.TransportError:
                    continue
                if answer.status_code == 201:
                    answered.add(answer.json()["id"])
                    break

    async def kill() -> None:
        seen = 0
        while not done.is_set() and seen < 24:
            if len(answered) >= seen + 8:
                seen = len(answered)
                await gateway.kill()
                await gateway.start()
            await asyncio.sleep(0)

    killing = asyncio.create_task(kill())
    await asyncio.gather(*(hand_in(client) for client in range(4)))
    done.set()
    await killing
    assert len(answered) == 60
    kept = await _submitted(gateway, 60)
    assert sorted(kept) == sorted(answered)
