"""Records what an attempt says: numbered without gaps, into the transcript file and onto OUT, in the same order and the same bytes.

It holds an agent back that speaks faster than the bus stores, and keeps no more than it was told to; what is left out is counted and said.
"""

import asyncio
import itertools
import operator
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self

from shared.events import ids
from shared.events.ids import RunId
from shared.events.output import AgentEvent, OutputLine

Publish = Callable[[bytes, str], Awaitable[int]]
"""Stores a payload under a message id; its sequence in OUT."""

_WAITING = 256
_CANCEL_AGAIN_SECONDS = 0.1
_JOINED_CHARACTERS = 16 * 1024
"""Log lines that wait together travel together, up to this length."""


@dataclass(frozen=True)
class Recorded:
    """Where the output went: the first and the last sequence in OUT (0 where there was none)."""

    out_first: int
    out_last: int


class Recorder:
    """One attempt's output; an async context that must be left for everything to be written."""

    def __init__(self, run_id: RunId, fence: int, transcript: Path, publish: Publish, max_bytes: int) -> None:
        self._run_id = run_id
        self._fence = fence
        self._path = transcript
        self._publish = publish
        self._left_bytes = max_bytes
        self._queue: asyncio.Queue[tuple[AgentEvent, bool] | None] = asyncio.Queue(_WAITING)
        self._number = 0
        self._dropped = 0
        self._first = self._last = 0

    async def __aenter__(self) -> Self:
        self._file: BinaryIO = await asyncio.to_thread(self._path.open, "wb")
        self._writing = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *about: object) -> None:
        try:
            if about[0] is None:
                await self.close()
            while not self._writing.done():  # a cancel can be lost where an answer arrives in the same moment
                self._writing.cancel()
                await asyncio.wait({self._writing}, timeout=_CANCEL_AGAIN_SECONDS)
        finally:  # also where this is cancelled a second time
            self._file.close()

    async def add(self, events: Iterable[AgentEvent]) -> None:
        """What the agent said, in order; dropped when there was too much already."""
        for event in joined(events):
            await self._enqueue((event, False))

    async def tell(self, text: str) -> None:
        """Something we say."""
        await self._enqueue((AgentEvent(kind="status", text=text), True))

    async def close(self) -> Recorded:
        """Returns when everything is stored. A second time does nothing."""
        if not self._writing.done():
            await self._enqueue(None)
        await self._writing
        self._file.flush()
        return Recorded(self._first, self._last)

    async def _enqueue(self, item: tuple[AgentEvent, bool] | None) -> None:
        if not self._queue.full() and not self._writing.done():
            self._queue.put_nowait(item)
            return
        putting = asyncio.ensure_future(self._queue.put(item))
        await asyncio.wait({putting, self._writing}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
            await self._writing  # it ended before its time: this raises why
            raise RuntimeError("output after its end")

    async def _write(self) -> None:
        while True:
            waiting = [await self._queue.get()]
            while waiting[-1] is not None and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            said = [item for item in waiting if item is not None]
            for ours, together in itertools.groupby(said, key=operator.itemgetter(1)):
                for event in joined(event for event, _ in together):
                    await self._store(event, ours=ours)
            if waiting[-1] is None:
                break
        if self._dropped:
            text = f"The agent said more than is kept: {self._dropped} bytes were left out."
            await self._store(AgentEvent(kind="status", text=text), ours=True)

    async def _store(self, event: AgentEvent, *, ours: bool) -> None:
        line = OutputLine(run_id=self._run_id, fence=self._fence, number=self._number + 1, at=datetime.now(UTC), event=event)
        payload = line.model_dump_json().encode()
        if not ours:
            if len(payload) > self._left_bytes:
                self._dropped += len(payload)
                return
            self._left_bytes -= len(payload)
        self._number += 1
        self._file.write(payload + b"\n")
        self._last = await self._publish(payload, ids.derive(self._run_id, f"out.{self._fence}.{self._number}"))
        self._first = self._first or self._last


def joined(events: Iterable[AgentEvent]) -> list[AgentEvent]:
    """The same events, neighbouring log lines of one stream as one event each, of bounded length."""
    result: list[AgentEvent] = []
    lines: list[AgentEvent] = []
    length = 0
    for event in events:
        fits = bool(lines) and event.kind == "log" and event.name == lines[0].name and length + len(event.text) < _JOINED_CHARACTERS
        if lines and not fits:
            result.append(_one(lines))
            lines, length = [], 0
        if event.kind == "log":
            lines.append(event)
            length += len(event.text) + 1
        else:
            result.append(event)
    return [*result, _one(lines)] if lines else result


def _one(lines: list[AgentEvent]) -> AgentEvent:
    if len(lines) == 1:
        return lines[0]
    text = "\n".join(line.text for line in lines)
    return lines[0].model_copy(update={"text": text, "truncated": any(line.truncated for line in lines)})
