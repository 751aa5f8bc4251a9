"""A local model for trying the system without a key: it speaks the Anthropic Messages API and plays a script.

It is the other end of the real agent and the real egress process; only the thinking is scripted. It decides by the conversation alone
(the number of tool results so far), so a repeated request gets the same answer. It listens on loopback and holds no key; the one it is
sent is checked only where the operator gave it one, so that tests can see which key arrived.
"""

import argparse
import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

MAX_BODY = 32 * 1024 * 1024


@dataclass(frozen=True)
class Say:
    """The model says this and ends its turn."""

    text: str


@dataclass(frozen=True)
class Call:
    """The model says `text` and calls a tool."""

    tool: str
    input: dict[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Fail:
    """The API answers with an error instead."""

    status: int
    kind: str = "api_error"
    headers: dict[str, str] = field(default_factory=dict[str, str])


Step = Say | Call | Fail


def shell_script(commands: Sequence[str], last_words: str) -> Sequence[Step]:
    """A model that runs these commands one after the other and then says its last words."""
    return [Call("Bash", {"command": command, "description": "run"}) for command in commands] + [Say(last_words)]


Script = Callable[[dict[str, Any]], Sequence[Step]]
"""Chooses the steps by the request's body."""


class ScriptedModel:
    """Serves one script. `requests` keeps the bodies it was sent, for tests to look at."""

    def __init__(
        self, steps: Sequence[Step] | Script, *, key: str | None = None, input_tokens: int = 1_000, output_tokens: int = 200
    ) -> None:
        self.steps: list[Step] = [] if callable(steps) else list(steps)
        self._script: Script = steps if callable(steps) else lambda _body: self.steps
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._key = key
        self._usage = {"input_tokens": input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
        self._output_tokens = output_tokens
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; gives the base URL."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        address = cast("tuple[str, int]", self._runner.addresses[0])
        return f"http://{address[0]}:{address[1]}"

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _count(self, request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"input_tokens": self._usage["input_tokens"]})

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        if self._key is not None and not hmac.compare_digest(request.headers.get("x-api-key", ""), self._key):
            return _error(401, "authentication_error")
        body = cast("dict[str, Any]", await request.json())
        self.requests.append(body)
        step = self._step(body)
        if isinstance(step, Fail):
            return _error(step.status, step.kind, step.headers)
        if not body.get("stream"):
            return web.json_response(self._whole(body, step))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        async for event in self._events(body, step):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return response

    def _step(self, body: dict[str, Any]) -> Step:
        if not body.get("tools"):  # the agent asks for a title or a summary, not for work
            return Say("A task")
        done = sum(_tool_results(message) for message in body.get("messages", []))
        steps = self._script(body)
        return steps[min(done, len(steps) - 1)]

    def _message(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_scripted_{len(self.requests)}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "scripted"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": dict(self._usage),
        }

    def _whole(self, body: dict[str, Any], step: Say | Call) -> dict[str, Any]:
        reason = "tool_use" if isinstance(step, Call) else "end_turn"
        usage = self._usage | {"output_tokens": self._output_tokens}
        return self._message(body) | {"content": _blocks(step), "stop_reason": reason, "usage": usage}

    async def _events(self, body: dict[str, Any], step: Say | Call) -> AsyncIterator[dict[str, Any]]:
        yield {"type": "message_start", "message": self._message(body)}
        for index, block in enumerate(_blocks(step)):
            empty: dict[str, Any] = block | ({"text": ""} if block["type"] == "text" else {"input": {}})
            yield {"type": "content_block_start", "index": index, "content_block": empty}
            delta = (
                {"type": "text_delta", "text": block["text"]}
                if block["type"] == "text"
                else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            )
            yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        reason = "tool_use" if isinstance(step, Call) else "end_turn"
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": self._output_tokens},
        }
        yield {"type": "message_stop"}


def _blocks(step: Say | Call) -> list[dict[str, Any]]:
    words: list[dict[str, Any]] = [{"type": "text", "text": step.text}] if step.text else []
    if isinstance(step, Say):
        return words
    return [*words, {"type": "tool_use", "id": f"toolu_{abs(hash(json.dumps(step.input))):x}", "name": step.tool, "input": step.input}]


def _tool_results(message: dict[str, Any]) -> int:
    content = message.get("content")
    return (
        sum(1 for block in cast("list[dict[str, Any]]", content) if block.get("type") == "tool_result") if isinstance(content, list) else 0
    )


def _error(status: int, kind: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"type": "error", "error": {"type": kind, "message": kind}}, status=status, headers=headers)


async def _serve(host: str, port: int, commands: Sequence[str], last_words: str) -> None:
    model = ScriptedModel(shell_script(commands, last_words))
    print(await model.start(host, port), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a scripted Anthropic Messages API on loopback.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--say", default="Done.", help="its last words")
    parser.add_argument("command", nargs="*", help="shell commands the model has the agent run, in order")
    given = parser.parse_args()
    asyncio.run(_serve(given.host, given.port, given.command, given.say))
