"""Server-sent events as they come over the wire (WHATWG HTML §9.2), and a watch that reconnects where it left off."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from cli.client import Client, unreachable

RETRY_SECONDS = 1.0
MAX_RETRIES = 60
"""Reconnections in a row that brought nothing, before the server counts as gone."""


@dataclass(frozen=True)
class ServerEvent:
    """One event of a stream."""

    name: str
    data: Any
    id: str | None


def parse(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Events from lines without their ends. Comments (heartbeats) are skipped; an event cut short is not given."""
    name, data, last_id = "message", list[str](), None
    for line in lines:
        if line == "":
            if data:
                yield ServerEvent(name, json.loads("\n".join(data)), last_id)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value


def follow(client: Client, task_id: str) -> Iterator[ServerEvent]:
    """Everything that happens to a task until it ends, through lost connections, without a gap or a repetition."""
    last_id: str | None = None
    failures = 0
    while True:
        try:
            with client.stream(f"/v1/tasks/{task_id}/events", {"last-event-id": last_id} if last_id else {}) as answer:
                for event in parse(answer.iter_lines()):
                    failures, last_id = 0, event.id or last_id
                    yield event
                    if event.name == "end":
                        return
        except httpx.TransportError as error:
            failures += 1
            if failures > MAX_RETRIES:
                raise unreachable(client.server) from error
        time.sleep(RETRY_SECONDS)
