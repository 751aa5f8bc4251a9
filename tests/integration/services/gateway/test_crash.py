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


async def test_while_nothing_goes_out_no_more_is_taken_than_may_wait(gateway: Gateway, somebody: Person) -> None:
    project = await somebody.project()
    await gateway.stop()
    gateway.variables["GATEWAY_OUTBOX_MAX_ROWS"] = "4"
    await gateway.start()
    await gateway.nats.kill()
    body = {"project_id": project, "agent": "shell", "prompt": "x"}
    answers = [await somebody.http.post("/v1/tasks", json=body) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [201] * 4 + [503] * 2
    problem = answers[-1].json()
    assert problem["type"].endswith(":unavailable")
    assert "waits to be passed on" in problem["detail"]
    assert answers[-1].headers["retry-after"] == "5"
    assert len((await somebody.get("/v1/tasks"))["items"]) == 4  # nothing of what was refused is there
    await gateway.nats.restart()
    taken = [answer.json()["id"] for answer in answers[:4]]
    assert await _submitted(gateway, 4) == taken
    async with asyncio.timeout(30):
        while (answer := await somebody.http.post("/v1/tasks", json=body)).status_code == 503:
            pass
    assert await _submitted(gateway, 5) == [*taken, answer.json()["id"]]


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
