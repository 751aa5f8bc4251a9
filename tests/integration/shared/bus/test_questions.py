"""Questions on a real server, within the application's account and across to AUDIT."""

import asyncio

import pytest

from shared.bus.errors import NoAnswer, NotPermitted, Refused
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.questions import AskCheckpoint, AskRunInput, Checkpoint, RunInput
from shared.events.values import Fate
from tests.integration.shared.bus.conftest import Connect


def question() -> AskRunInput:
    return AskRunInput(owner=OwnerId(ids.fresh()), task_id=TaskId(ids.fresh()), run_id=RunId(ids.fresh()))


async def test_an_answer(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")

    async def prompt(asked: AskRunInput) -> RunInput:
        return RunInput(prompt=f"for {asked.run_id}")

    gateway.answer(AskRunInput, prompt)
    await gateway.start()
    asked = question()
    assert await runner.ask(asked) == RunInput(prompt=f"for {asked.run_id}")


async def test_a_refusal_says_why_and_no_more(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")

    async def refuse(_asked: AskRunInput) -> RunInput:
        raise Refused("not_found")

    gateway.answer(AskRunInput, refuse)
    await gateway.start()
    with pytest.raises(Refused, match="not_found"):
        await runner.ask(question())


async def test_an_answerer_that_fails_has_not_said_no_and_goes_on(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")

    async def fail(_asked: AskRunInput) -> RunInput:
        raise RuntimeError("with a secret")

    gateway.answer(AskRunInput, fail)
    await gateway.start()
    for _ in range(2):
        with pytest.raises(NoAnswer, match="failed where it was to be answered") as failure:
            await runner.ask(question())
        assert "secret" not in str(failure.value)


async def test_a_malformed_question_is_refused(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")

    async def never(_asked: AskRunInput) -> RunInput:
        pytest.fail("a malformed question was handed over")

    gateway.answer(AskRunInput, never)
    await gateway.start()
    reply = await runner.nats.request(AskRunInput.METHOD, b'{"owner": "me"}', timeout=5)
    assert reply.data == b'{"refused":"invalid"}'


async def test_nobody_there_is_said_at_once(connect: Connect) -> None:
    runner = await connect("runner")
    with pytest.raises(NoAnswer, match="NoResponders"):
        await asyncio.wait_for(runner.ask(question(), timeout_seconds=60), 5)


async def test_too_late_is_no_answer(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    enough = asyncio.Event()

    async def slow(_asked: AskRunInput) -> RunInput:
        await enough.wait()
        return RunInput(prompt="late")

    gateway.answer(AskRunInput, slow)
    await gateway.start()
    with pytest.raises(NoAnswer):
        await runner.ask(question(), timeout_seconds=0.2)
    enough.set()


async def test_slow_answers_do_not_hold_up_others(connect: Connect) -> None:
    runner, gateway = await connect("runner"), await connect("gateway")
    everyone = asyncio.Barrier(10)

    async def meet(_asked: AskRunInput) -> RunInput:
        await everyone.wait()
        return RunInput(prompt="met")

    gateway.answer(AskRunInput, meet)
    await gateway.start()
    answers = await asyncio.gather(*(runner.ask(question()) for _ in range(10)))
    assert answers == [RunInput(prompt="met")] * 10


async def test_each_question_has_one_answerer_among_replicas(connect: Connect) -> None:
    runner, replicas = await connect("runner"), [await connect("gateway"), await connect("gateway")]
    heard: list[str] = []

    async def prompt(asked: AskRunInput) -> RunInput:
        heard.append(asked.run_id)
        return RunInput(prompt=Fate.FINISHED)

    for replica in replicas:
        replica.answer(AskRunInput, prompt)
        await replica.start()
    questions = [question() for _ in range(20)]
    for asked in questions:
        await runner.ask(asked)
    assert heard == [asked.run_id for asked in questions]


async def test_the_gateway_asks_audit_across_accounts(connect: Connect) -> None:
    gateway, audit = await connect("gateway"), await connect("audit")

    async def newest(_asked: AskCheckpoint) -> Checkpoint:
        return Checkpoint(note="a note")

    with pytest.raises(NoAnswer):
        await gateway.ask(AskCheckpoint(), timeout_seconds=1)
    audit.answer(AskCheckpoint, newest)
    await audit.start()
    assert await gateway.ask(AskCheckpoint()) == Checkpoint(note="a note")


async def test_others_may_not_ask(connect: Connect) -> None:
    git = await connect("git")
    with pytest.raises(NotPermitted):
        await git.ask(question(), timeout_seconds=0.5)
