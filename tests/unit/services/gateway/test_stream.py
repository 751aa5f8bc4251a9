"""The promise of the event stream: whoever loses the connection anywhere and comes back has every event once, in order."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.errors import GatewayError
from services.gateway.tasks import position
from services.gateway.tasks.position import Position
from services.gateway.tasks.queries import task_of
from services.gateway.tasks.schemas import Task
from services.gateway.tasks.stream import Event, Pace, TaskStream
from services.gateway.tasks.view import Progress, fold
from shared.events import catalogue, facts, ids
from shared.events.ids import ProjectId, RepositoryId, TaskId
from shared.events.values import Limits, Outcome, TaskState

from .logs import AT, LIFE, OWNER, RUN, TASK, Log, Message

WHERE = position.subjects(OWNER, TASK)
QUIET = Pace(heartbeat_seconds=0.001)


@dataclass
class Watch:
    """Wakes when the log says so."""

    log: Log
    closing: bool = False
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float) -> bool:
        self.waiting.set()
        try:
            async with asyncio.timeout(seconds):
                await self.log.arrived.wait()
        except TimeoutError:
            return False
        self.log.arrived.clear()
        self.waiting.clear()
        return True


def task(progress: Progress) -> Task:
    nothing = dict.fromkeys(
        (
            "outcome",
            "failure",
            "base_sha",
            "tree_sha",
            "commit_sha",
            "usage",
            "change",
            "pull_request_number",
            "started_at",
            "ended_at",
            "budget",
            "kept",
        )
    )
    blank = Task(
        id=TaskId(TASK),
        project_id=ProjectId(ids.fresh()),
        repository_id=RepositoryId(ids.fresh()),
        title="t",
        agent="shell",
        model=None,
        base_ref=None,
        branch="b",
        limits=Limits(),
        state=progress.state,
        run_ids=[],
        created_at=AT,
        updated_at=AT + timedelta(0),
        begins_anew=False,
        **nothing,
    )
    return task_of(blank, progress, AT)


def projected(log: Log, count: int) -> Progress:
    """What the read model knows after the first `count` facts."""
    progress = Progress()
    for message in log.kept["EVT"][:count]:
        progress = fold(progress, message.sequence, catalogue.parse(message.data))
    return progress


def stream(log: Log, progress: Progress, place: Position | None) -> TaskStream:
    return TaskStream(log.read, Watch(log), WHERE, task=task(progress), progress=progress, position=place)


async def taken(log: Log, progress: Progress, place: Position | None, limit: int) -> list[Event]:
    """Up to `limit` events, then the client is gone."""
    events: list[Event] = []
    async for event in stream(log, progress, place).events(QUIET):
        if event.name is not None:
            events.append(event)
        if len(events) >= limit or event.name == "end":
            break
    return events


steps = st.lists(st.one_of(st.tuples(st.just("line"), st.integers(0, 3)), st.tuples(st.just("egress"), st.integers(0, 3))), max_size=30)


def lived(plan: list[list[tuple[str, int]]]) -> Log:
    """A whole life, with output and other facts between the states, and other tasks' messages as gaps."""
    log = Log()
    number = 0
    for state, between in zip(LIFE, plan, strict=True):
        for kind, gap in between:
            if kind == "line":
                number += 1
                log.line(number, gap=gap)
            else:
                log.fact(facts.EgressRefused(run_id=RUN, fence=7, reason="host", request_digest="0" * 64), gap=gap)
        log.fact(state, gap=len(between) % 3)
    return log


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=len(LIFE), max_size=len(LIFE)), st.lists(st.integers(1, 8), max_size=40), st.integers(0, 80))
def test_random_disconnects_lose_and_double_nothing(plan: list[list[tuple[str, int]]], cuts: list[int], lag: int) -> None:
    log = lived(plan)

    async def read_all() -> list[Event]:
        # The client begins before the first fact; the read model is anywhere between then and the end, and never goes back.
        got = await taken(log, Progress(), None, 1)
        assert got[0].name == "snapshot"
        place, seen = position.parse(got[0].id), list[Event]()
        pieces = iter([*cuts, 10_000])
        known = min(lag, len(log.kept["EVT"]))
        while not seen or seen[-1].name != "end":
            progress = projected(log, known)
            await position.check(log.read, WHERE, place, progress)
            seen += await taken(log, progress, place, next(pieces))
            place = position.parse(seen[-1].id)
        return seen

    seen = asyncio.run(read_all())
    assert [int(event.id.split(".")[1]) for event in seen if event.name == "output"] == [m.sequence for m in log.kept["OUT"]]
    assert [int(event.id.split(".")[0]) for event in seen if event.name in {"state", "fact"}] == [m.sequence for m in log.kept["EVT"]]
    assert json.loads(seen[-1].data)["state"] == "failed"
    assert json.loads(seen[-1].data)["failure"]["code"] == "internal"
    # Nothing of the output comes after the end it belongs before.
    assert [event.name for event in seen].index("end") == len(seen) - 1


async def test_a_fresh_client_of_an_ended_task_gets_it_all_and_the_end() -> None:
    log = lived([[("line", 0)] * 100, [], [], []])
    progress = projected(log, 4)
    events = await taken(log, progress, None, 1000)
    assert [event.name for event in events] == ["snapshot", *["output"] * 100, "end"]
    assert json.loads(events[0].data)["state"] == "failed"


async def test_whoever_has_seen_the_end_goes_on_behind_it_when_the_task_is_published_by_hand() -> None:
    log = lived([[], [], [("line", 0)], []])
    end = (await taken(log, Progress(), None, 100))[-1]
    assert end.name == "end"
    place = position.parse(end.id)
    assert [event.name for event in await taken(log, projected(log, 4), place, 100)] == ["end"]
    log.fact(facts.TaskPublishing(run_id=RUN))
    log.fact(facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha="0" * 40))
    for known in (4, 5, 6):  # however far the read model is
        again = await taken(log, projected(log, known), place, 100)
        assert [(event.name, json.loads(event.data)["state"]) for event in again] == [
            ("state", "publishing"),
            ("state", "succeeded"),
            ("end", "succeeded"),
        ]
    assert [event.name for event in await taken(log, Progress(), None, 100)].count("end") == 1


async def test_what_happens_later_wakes_the_stream() -> None:
    log = Log()
    arrived: list[str | None] = []
    began = asyncio.Event()

    async def read() -> None:
        async for event in stream(log, Progress(), None).events(Pace(heartbeat_seconds=60)):
            arrived.append(event.name)
            began.set()

    reading = asyncio.create_task(read())
    await began.wait()
    log.fact(facts.TaskQueued())
    log.line(1)
    log.fact(facts.TaskCancelled())
    await asyncio.wait_for(reading, 5)
    assert arrived == ["snapshot", "output", "state", "state", "end"]


async def test_a_wake_up_before_its_message_is_stored_is_not_lost() -> None:
    log = Log()
    watch = Watch(log)
    arrived: list[str | None] = []
    looked = asyncio.Event()

    async def read(stream_name: str, subject: str, after: int, limit: int) -> list[Message]:
        found = await log.read(stream_name, subject, after, limit)
        looked.set()
        return found

    async def follow() -> None:
        events = TaskStream(read, watch, WHERE, task=task(Progress()), progress=Progress(), position=None)
        arrived.extend([event.name async for event in events.events(Pace(heartbeat_seconds=60))])

    following = asyncio.create_task(follow())
    await watch.waiting.wait()
    looked.clear()
    log.arrived.set()  # the wake-up alone
    await looked.wait()
    await watch.waiting.wait()
    log.fact(facts.TaskCancelled())
    log.arrived = asyncio.Event()  # stored without another one
    await asyncio.wait_for(following, 5)
    assert arrived == ["snapshot", "state", "end"]


async def test_a_fact_on_the_subject_of_another_tells_nothing() -> None:
    """Who may say `run.started` could otherwise say that a task succeeded, or show a reviewer another diff."""
    log = lived([[] for _ in LIFE])
    forged = facts.TaskSucceeded(outcome=Outcome.PUBLISHED, commit_sha="0" * 40)
    log.fact(forged, subject=f"evt.run.started.{OWNER}.{TASK}")
    events = await taken(log, Progress(), None, 100)
    assert events[-1].name == "end"
    assert json.loads(events[-1].data)["state"] == "failed"
    assert not [event for event in events if "succeeded" in event.data]


async def test_bytes_that_are_no_message_are_passed_over() -> None:
    log = Log()
    log.line(1)
    log.add("OUT", b"not json")
    log.line(2)
    log.add("EVT", b'{"type": "task.unknown.v1"}')
    log.fact(facts.TaskCancelled())
    assert [event.name for event in await taken(log, Progress(), None, 100)] == ["snapshot", "output", "output", "state", "end"]


@pytest.mark.parametrize("place", [Position(2, 0), Position(4, 1), Position(4, 9), Position(99, 3), Position(0, 0)])
async def test_a_place_behind_which_something_is_gone_is_refused(place: Position) -> None:
    log = lived([[], [("line", 0)] * 3, [], []])
    progress = projected(log, 4)
    log.kept["EVT"] = log.kept["EVT"][2:]
    log.kept["OUT"] = log.kept["OUT"][1:]
    with pytest.raises(GatewayError) as refused:
        await position.check(log.read, WHERE, place, progress)
    assert refused.value.status == 410


async def test_a_place_that_is_there_is_accepted() -> None:
    log = lived([[], [("line", 0)] * 3, [], []])
    for place in (Position(0, 0), Position(1, 0), Position(4, 3), Position(2, 2)):
        await position.check(log.read, WHERE, place, projected(log, 4))


@pytest.mark.parametrize("text", ["x", "1", "1.", ".1", "1.2.3", "-1.2", "1.2 ", "9" * 30 + ".1"])
def test_what_is_no_event_id_is_refused(text: str) -> None:
    with pytest.raises(GatewayError) as refused:
        position.parse(text)
    assert refused.value.errors[0].field == "header.last-event-id"


def test_an_event_is_one_block_whatever_the_agent_said() -> None:
    event = Event("output", "1.2", json.dumps({"text": "a\nevent: end\n\ndata: {}\r\n"}))
    assert event.encode().count(b"\n") == 4
    assert event.encode().endswith(b"\n\n")
    assert Event().encode() == b": alive\n\n"
    assert TaskState.FAILED in json.loads('{"state": "failed"}').values()
