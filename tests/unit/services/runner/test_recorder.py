import asyncio
from pathlib import Path

import pytest

from services.runner.recorder import Recorded, Recorder, joined
from shared.events import ids
from shared.events.ids import RunId
from shared.events.output import AgentEvent, OutputLine

RUN = RunId(ids.fresh())


class Out:
    """Stores what is published, when it is let."""

    def __init__(self) -> None:
        self.stored: list[tuple[bytes, str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False

    async def publish(self, payload: bytes, message_id: str) -> int:
        await self.open.wait()
        if self.fails:
            raise ConnectionError
        self.stored.append((payload, message_id))
        return 100 + len(self.stored)

    @property
    def lines(self) -> list[OutputLine]:
        return [OutputLine.model_validate_json(payload) for payload, _ in self.stored]


def message(text: str) -> AgentEvent:
    return AgentEvent(kind="message", text=text)


async def test_lines_are_numbered_and_the_transcript_holds_the_same_bytes(tmp_path: Path) -> None:
    out = Out()
    async with Recorder(RUN, 5, tmp_path / "t", out.publish, 10_000) as recorder:
        await recorder.tell("up")
        for text in "abc":
            await recorder.add([message(text)])
        assert await recorder.close() == Recorded(101, 104)
    assert [(line.number, line.fence, line.event.kind, line.event.text) for line in out.lines] == [
        (1, 5, "status", "up"),
        (2, 5, "message", "a"),
        (3, 5, "message", "b"),
        (4, 5, "message", "c"),
    ]
    assert (tmp_path / "t").read_bytes() == b"".join(payload + b"\n" for payload, _ in out.stored)
    assert [message_id for _, message_id in out.stored] == [ids.derive(RUN, f"out.5.{number}") for number in (1, 2, 3, 4)]


async def test_what_is_over_the_limit_is_left_out_and_said(tmp_path: Path) -> None:
    out = Out()
    async with Recorder(RUN, 1, tmp_path / "t", out.publish, 1_000) as recorder:
        for _ in range(50):
            await recorder.add([message("x" * 100)])
        await recorder.tell("ended")
    *kept, ended, said = out.lines
    assert all(line.event.kind == "message" for line in kept)
    assert len(kept) < 10
    assert ended.event.text == "ended"
    assert said.event.text.startswith("The agent said more than is kept: ")
    assert [line.number for line in out.lines] == list(range(1, len(out.lines) + 1))


async def test_a_slow_bus_holds_the_agent_back(tmp_path: Path) -> None:
    out = Out()
    out.open.clear()
    async with Recorder(RUN, 1, tmp_path / "t", out.publish, 10**9) as recorder:

        async def speak() -> None:
            for number in range(2_000):
                await recorder.add([message(str(number))])

        speaking = asyncio.create_task(speak())
        done, _ = await asyncio.wait({speaking}, timeout=0.2)
        assert not done
        out.open.set()
        await speaking
    assert [line.event.text for line in out.lines] == [str(number) for number in range(2_000)]


async def test_a_bus_that_refuses_is_heard_by_the_speaker(tmp_path: Path) -> None:
    out = Out()
    out.fails = True

    async def speak() -> None:
        async with Recorder(RUN, 1, tmp_path / "t", out.publish, 10_000) as recorder:
            for _ in range(1_000):
                await recorder.add([message("x")])

    with pytest.raises(ConnectionError):
        await speak()


def test_neighbouring_log_lines_of_one_stream_travel_together() -> None:
    log, other, said = (AgentEvent(kind="log", text=text, name=name) for text, name in (("a", ""), ("e", "stderr"), ("b", "")))
    events = [log, said, other, other, message("m"), message("m")]
    assert [(event.kind, event.name, event.text) for event in joined(events)] == [
        ("log", "", "a\nb"),
        ("log", "stderr", "e\ne"),
        ("message", "", "m"),
        ("message", "", "m"),
    ]


def test_joined_lines_stay_bounded() -> None:
    long = AgentEvent(kind="log", text="x" * 10_000)
    assert joined([long] * 10) == [long] * 10
    assert [len(event.text) for event in joined([AgentEvent(kind="log", text="x" * 5_000)] * 4)] == [15_002, 5_000]
