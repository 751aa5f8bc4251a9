"""Reads what the daemon says while it starts and shows it to a person, until it is ready, gives up or takes too long."""

import json
import os
import select
import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a start ended."""

    READY = "ready"
    ENDED = "the supervisor ended"
    LATE = "it takes too long; it keeps trying"
    MISCONFIGURED = "a process refuses its settings"


def follow(descriptor: int, patience_seconds: float) -> Outcome:
    """Show progress until the stack is ready."""
    deadline = time.monotonic() + patience_seconds
    pending = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        received = os.read(descriptor, 65_536)
        if not received:
            return Outcome.ENDED
        *lines, pending = (pending + received).split(b"\n")
        for message in map(json.loads, lines):
            if message.get("ready"):
                return Outcome.READY
            show(message)
            if message.get("state") == "misconfigured":
                return Outcome.MISCONFIGURED
    return Outcome.LATE


def show(message: Mapping[str, Any]) -> None:
    """One line for what matters to a person."""
    text = message.get("say") or message.get("failed") or _process(message)
    if text:
        print(f"  {text}", file=sys.stderr)


def _process(message: Mapping[str, Any]) -> str | None:
    name, state = message.get("process"), message.get("state")
    if state in {"ready", "done"}:
        return f"{name} {state}"
    if state == "misconfigured":
        return f"{name} stays down: {message['reason']}"
    if state == "pausing":
        return f"{name} ended with {message['exit_code']} at start {message['starts']}; it is tried again"
    return None
