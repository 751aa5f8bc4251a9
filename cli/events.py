"""Server-sent events as they come over the wire (WHATWG HTML §9.2), and a watch that reconnects where it left off."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from cli.client import Client
from cli.connection import unreachable
from cli.exits import CliError, Exit

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Far above any event: an agent's longest text is 64 Ki characters."""
_LINE_END = re.compile(rb"\r\n|\n|\r(?=[^\n])")
_GONE, _TOO_MANY, _SERVER_ERROR = 410, 429, 500


@dataclass(frozen=True)
class ServerEvent:
    """One event of a stream."""

    name: str
    data: Any
    id: str | None


@dataclass(frozen=True)
class Pace:
    """How long a watch waits between two connections, and for how long it tries when none brings anything."""

    retry_seconds: float = 1.0
    patience_seconds: float = 60.0


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines. Only what the format calls a line end is one: a text may hold others (U+2028, U+0085). Raises CliError."""
    pending = b""
    for chunk in chunks:
        *whole, pending = _LINE_END.split(pending + chunk)
        for line in whole:
            yield line.decode(errors="replace")
        if len(pending) > MAX_LINE_BYTES:
            raise CliError("The server sends a line without an end.", "Is this an Async Code server?")


def parse(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Events from lines without their ends. Comments (heartbeats) are skipped; an event cut short is not given. Raises CliError."""
    name, data, last_id = "message", list[str](), None
    for line in lines:
        if line == "":
            if data:
                yield ServerEvent(name, _json("\n".join(data)), last_id)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CliError("The server sent an event that is not JSON.", "Is this an Async Code server?") from error


def follow(
    client: Client, task_id: str, pace: Pace | None = None, on_loss: Callable[[CliError], None] = lambda _failure: None
) -> Iterator[ServerEvent]:
    """Everything that happens to a task until it ends, through lost connections, without a gap or a repetition.

    Where the server does not keep what follows the last event any more, a new `snapshot` says so and what is kept follows.
    `on_loss` hears of each connection that breaks. Raises CliError when the server is gone, or refuses.
    """
    pace, seen = pace or Pace(), _Seen()
    lost_at: float | None = None
    connected = False
    while True:
        try:
            with client.stream(f"/v1/tasks/{task_id}/events", {"last-event-id": seen.id} if seen.id else {}) as answer:
                connected, lost_at = True, None
                for event in filter(seen.take, parse(lines(answer.iter_bytes()))):
                    yield event
                    if event.name == "end":
                        return
        except (httpx.RequestError, CliError) as error:
            failure = _passing(client, error)
            if failure.problem.get("status") == _GONE:
                seen.id = None
            elif lost_at is None:
                lost_at = time.monotonic()
                on_loss(failure)
            if not connected or (lost_at is not None and time.monotonic() - lost_at > pace.patience_seconds):
                raise failure from error
        time.sleep(pace.retry_seconds)


def _passing(client: Client, error: httpx.RequestError | CliError) -> CliError:
    """What may pass: no connection, a place not kept, too many streams, a server that is not well. Raises what will not."""
    if isinstance(error, httpx.RequestError):
        return unreachable(client.server, error)
    status = int(error.problem.get("status") or 0)
    if status in {_GONE, _TOO_MANY} or status >= _SERVER_ERROR or error.code == Exit.UNREACHABLE:
        return error
    raise error


class _Seen:
    """What was given already. An id is `<facts>.<output>`, how far each of the two is; both only grow."""

    def __init__(self) -> None:
        self.id: str | None = None
        self._facts = self._output = 0

    def take(self, event: ServerEvent) -> bool:
        """Whether the event is new. A fresh start after a lost place repeats what is still kept."""
        self.id = event.id or self.id
        facts, _, output = (event.id or "").partition(".")
        if not (facts.isdecimal() and output.isdecimal()):
            return True
        known = (event.name == "output" and int(output) <= self._output) or (event.name in {"state", "fact"} and int(facts) <= self._facts)
        self._facts, self._output = max(self._facts, int(facts)), max(self._output, int(output))
        return not known
