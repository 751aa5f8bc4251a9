"""A script in OpenAI's protocol: the Responses API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from deploy.embedded.scripted.steps import Call, Edit, Read, Run, Say, Work
from deploy.embedded.scripted.vendor import Document, Turn, text_of

_RESULTS = ("function_call_output", "custom_tool_call_output")


class Responses:
    """See Vendor."""

    name = "openai"
    path = "/v1/responses"

    def key(self, headers: Mapping[str, str]) -> str:
        """See Vendor."""
        return headers.get("authorization", "").removeprefix("Bearer ")

    def conversation(self, body: Document) -> str:
        """See Vendor. The client's cache key names its thread."""
        return text_of(body.get("prompt_cache_key")) or json.dumps(_items(body)[:1])

    def done(self, body: Document) -> int:
        """See Vendor."""
        return sum(item.get("type") in _RESULTS for item in _items(body))

    def works(self, body: Document) -> bool:
        """See Vendor."""
        return bool(_offered(body))

    def whole(self, turn: Turn) -> Document:
        """See Vendor."""
        return _response(turn) | {"status": "completed", "output": _output(turn), "usage": _usage(turn)}

    def events(self, turn: Turn) -> list[Document]:
        """See Vendor."""
        return [event | {"sequence_number": number} for number, event in enumerate(_events(turn))]

    def error(self, kind: str) -> Document:
        """See Vendor."""
        return {"error": {"type": kind, "message": kind, "code": kind, "param": None}}

    def failure(self, kind: str) -> Document:
        """See Vendor."""
        response: Document = {"id": "resp_failed", "object": "response", "status": "failed", "output": [], "usage": None}
        return {"type": "response.failed", "response": response | {"error": {"code": kind, "message": kind}}}


def _items(body: Document) -> list[Document]:
    given: Any = body.get("input")
    return cast("list[Document]", given) if isinstance(given, list) else [{"type": "message", "role": "user", "content": given}]


def _offered(body: Document) -> dict[str, str]:
    """The agent's tools: name → type. Newer models get them among the input, in namespaces."""
    lists = [body.get("tools"), *(item.get("tools") for item in _items(body) if item.get("type") == "additional_tools")]
    tools = [tool for tools in lists for tool in cast("list[Document]", tools or [])]
    inner = [one for tool in tools for one in cast("list[Document]", tool.get("tools") or [])]
    return {text_of(tool.get("name")): text_of(tool.get("type")) for tool in [*tools, *inner]}


def _call(work: Work, offered: Mapping[str, str]) -> Call | None:
    match work:
        case Say():
            return None
        case Call():
            return work
        case Run(command, text):
            return _shell(command, text, offered)
        case Read(path, text):
            return _shell(f"cat {path}", text, offered)
        case Edit(path, before, after, text):
            changed = [f"-{line}" for line in before.split("\n")] + [f"+{line}" for line in after.split("\n")]
            patch = "\n".join(["*** Begin Patch", f"*** Update File: {path}", "@@", *changed, "*** End Patch", ""])
            return _code("apply_patch", patch, text) if "exec" in offered else Call("apply_patch", {"input": patch}, text)


def _shell(command: str, text: str, offered: Mapping[str, str]) -> Call:
    return _code("exec_command", {"cmd": command}, text) if "exec" in offered else Call("exec_command", {"cmd": command}, text)


def _code(tool: str, given: Any, text: str) -> Call:
    """Newer models have one tool that takes JavaScript, and call the others from there."""
    return Call("exec", {"input": f"text(await tools.{tool}({json.dumps(given)}));"}, text)


def _output(turn: Turn) -> list[Document]:
    part: Document = {"type": "output_text", "text": turn.work.text, "annotations": []}
    message: Document = {"type": "message", "id": f"msg_scripted_{turn.number}", "role": "assistant", "status": "completed"}
    words: list[Document] = [message | {"content": [part]}] if turn.work.text else []
    offered = _offered(turn.body)
    call = _call(turn.work, offered)
    if call is None:
        return words
    named = {"id": f"fc_scripted_{turn.done}", "call_id": f"call_scripted_{turn.done}", "name": call.tool, "status": "completed"}
    if offered.get(call.tool) == "custom":  # takes plain text instead of JSON
        return [*words, {"type": "custom_tool_call", **named, "input": call.input.get("input", "")}]
    return [*words, {"type": "function_call", **named, "arguments": json.dumps(call.input)}]


def _events(turn: Turn) -> Iterator[Document]:
    yield {"type": "response.created", "response": _response(turn)}
    for index, item in enumerate(_output(turn)):
        place = {"output_index": index, "item_id": item["id"], "content_index": 0}
        empty: Document = {name: [] if name == "content" else value for name, value in item.items()}
        yield {"type": "response.output_item.added", "output_index": index, "item": empty | {"status": "in_progress"}}
        for part in item.get("content", []):
            yield {"type": "response.content_part.added", **place, "part": part | {"text": ""}}
            yield {"type": "response.output_text.delta", **place, "delta": part["text"]}
            yield {"type": "response.output_text.done", **place, "text": part["text"]}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": Responses().whole(turn)}


def _response(turn: Turn) -> Document:
    return {
        "id": f"resp_scripted_{turn.number}",
        "object": "response",
        "model": turn.body.get("model", "scripted"),
        "status": "in_progress",
        "output": [],
    }


def _usage(turn: Turn) -> Document:
    return {
        "input_tokens": turn.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": turn.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": turn.input_tokens + turn.output_tokens,
    }
