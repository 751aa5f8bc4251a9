"""Answers of megabytes: pages that cost what they show, and few of one person at a time."""

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

import pytest

from services.gateway.tasks import position
from services.gateway.tasks.large import PER_OWNER, LargeResponse, Turns
from services.gateway.tasks.messages import PAGE_BYTES, Place, from_stream, from_transcript, parse
from shared.events.output import AgentEvent, OutputLine

from .logs import AT, OWNER, RUN, TASK, Log

WHERE = position.subjects(OWNER, TASK)


def line(number: int, text: str = "x", fence: int = 7) -> bytes:
    event = AgentEvent(kind="log", text=text)
    return OutputLine(run_id=RUN, fence=fence, number=number, at=AT, event=event).model_dump_json().encode()


def transcript(count: int, text: str = "x") -> bytes:
    return b"".join(line(number, text) + b"\n" for number in range(1, count + 1))


@pytest.mark.parametrize("limit", [1, 3, 10, 11, 500])
def test_pages_of_a_transcript_are_all_of_it_once(limit: int) -> None:
    numbers, cursor = list[int](), Place()
    while True:
        page = from_transcript(transcript(10), cursor, limit)
        numbers += [one.number for one in page.messages]
        if page.next_cursor is None:
            break
        cursor = parse(page.next_cursor)
    assert numbers == list(range(1, 11))


def test_a_place_of_another_attempt_is_before_or_behind_all_of_it() -> None:
    assert [one.number for one in from_transcript(transcript(3), Place(fence=6, number=2), 9).messages] == [1, 2, 3]
    assert from_transcript(transcript(3), Place(fence=8), 9).messages == []
    assert from_transcript(transcript(3), Place(fence=7, number=10**17), 9).messages == []
    assert from_transcript(b"", Place(), 9).messages == []


def test_a_page_costs_what_it_shows_however_much_the_agent_said() -> None:
    """Reading all of it for each page took 5 s for 300,000 lines, and nobody else was served meanwhile."""
    whole = line(1) + b"\n" + b"\n".join([line(2)] * 100_000)
    began = time.process_time()
    assert len(from_transcript(whole, Place(7, 50_000), 200).messages) == 200
    assert time.process_time() - began < 0.5


async def test_large_lines_make_short_pages() -> None:
    log, text = Log(), "y" * 60_000
    for number in range(1, 201):
        log.add("OUT", line(number, text))
    numbers, cursor = list[int](), Place()
    for _ in range(50):
        page = await from_stream(log.read, WHERE, cursor, 500, ended=True)
        assert sum(len(one.event.text) for one in page.messages) < 2 * PAGE_BYTES
        numbers += [one.number for one in page.messages]
        if page.next_cursor is None:
            break
        cursor = parse(page.next_cursor)
    assert numbers == list(range(1, 201))
    assert len(from_transcript(transcript(200, text), Place(), 500).messages) < 100


async def test_a_few_of_one_owner_at_a_time_and_nobody_waits_for_another() -> None:
    turns, holding, let_go = Turns(), list[str](), asyncio.Event()

    async def hold(owner: str) -> None:
        async with turns.of(owner):
            holding.append(owner)
            await let_go.wait()

    tasks = [asyncio.create_task(hold("greedy")) for _ in range(3 * PER_OWNER)] + [asyncio.create_task(hold("other"))]
    for _ in range(50):
        await asyncio.sleep(0)
    assert sorted(holding) == ["greedy"] * PER_OWNER + ["other"]
    tasks[-2].cancel()
    let_go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(holding) == 3 * PER_OWNER
    async with turns.of("greedy"):
        pass


async def _sent(content: bytes, *, stuck_after: int | None = None) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if stuck_after is not None and len(sent) > stuck_after:
            await asyncio.Event().wait()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def fetch() -> bytes:
        return content

    turns = Turns()
    response = LargeResponse(fetch, turns.of("o"), headers={"content-type": "text/x-diff"}, write_seconds=0.01)
    await response({"type": "http"}, receive, send)
    return sent


async def test_an_answer_is_sent_whole_in_pieces_and_a_client_that_takes_nothing_is_dropped() -> None:
    content = bytes(range(256)) * 4_000
    begin, *pieces = await _sent(content)
    assert dict(begin["headers"])[b"content-length"] == b"1024000"
    assert b"".join(piece["body"] for piece in pieces) == content
    assert [piece["more_body"] for piece in pieces[-2:]] == [True, False]
    assert len(await _sent(content, stuck_after=2)) == 3
