"""A script in Anthropic's protocol: the Messages API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from deploy.embedded.scripted.steps import Call, Edit, Read, Run, Say
from deploy.embedded.scripted.vendor import Document, Turn, text_of


class Messages:
    """See Vendor."""

    name = "anthropic"
    path = "/v1/messages"

    def key(self, headers: Mapping[str, str]) -> str:
        """See Vendor."""
        return headers.get("x-api-key", "")

    def conversation(self, body: Document) -> str:
        """See Vendor. The client's `user_id` names its session."""
        metadata: Any = body.get("metadata")
        session = text_of(cast("Document", metadata).get("user_id")) if isinstance(metadata, dict) else ""
        return session or json.dumps(cast("list[Any]", body.get("messages", []))[:1])

    def done(self, body: Document) -> int:
        """See Vendor."""
        return sum(_results(message) for message in body.get("messages", []))

    def works(self, body: Document) -> bool:
        """See Vendor."""
        return bool(body.get("tools"))

    def whole(self, turn: Turn) -> Document:
        """See Vendor."""
        return _message(turn) | {"content": _blocks(turn), "stop_reason": _reason(turn), "usage": _usage(turn, turn.output_tokens)}

    def events(self, turn: Turn) -> list[Document]:
        """See Vendor."""
        return list(_events(turn))

    def error(self, kind: str) -> Document:
        """See Vendor."""
        return {"type": "error", "error": {"type": kind, "message": kind}}

    def failure(self, kind: str) -> Document:
        """See Vendor."""
        return self.error(kind)


def _call(turn: Turn) -> Call | None:
    bash, read, edit, (path_name, before_name, after_name) = _names(turn.body)
    match turn.work:
        case Say():
            return None
        case Call() as call:
            return call
        case Run(command, text):
            return Call(bash, {"command": command, "description": "run"}, text)
        case Read(path, text):
            return Call(read, {path_name: path}, text)
        case Edit(path, before, after, text):
            return Call(edit, {path_name: path, before_name: before, after_name: after}, text)


def _names(body: Document) -> tuple[str, str, str, tuple[str, str, str]]:
    """What the agent calls its tools and what they take."""
    if any(tool.get("name") == "bash" for tool in body.get("tools", [])):
        return "bash", "read", "edit", ("filePath", "oldString", "newString")
    return "Bash", "Read", "Edit", ("file_path", "old_string", "new_string")


def _reason(turn: Turn) -> str:
    return "end_turn" if _call(turn) is None else "tool_use"


def _blocks(turn: Turn) -> list[Document]:
    words: list[Document] = [{"type": "text", "text": turn.work.text}] if turn.work.text else []
    call = _call(turn)
    if call is None:
        return words
    return [*words, {"type": "tool_use", "id": f"toolu_scripted_{turn.done}", "name": call.tool, "input": call.input}]


def _events(turn: Turn) -> Iterator[Document]:
    yield {"type": "message_start", "message": _message(turn)}
    for index, block in enumerate(_blocks(turn)):
        empty: Document = block | ({"text": ""} if block["type"] == "text" else {"input": {}})
        delta = (
            {"type": "text_delta", "text": block["text"]}
            if block["type"] == "text"
            else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        )
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": _reason(turn), "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": turn.output_tokens}}
    yield {"type": "message_stop"}


def _message(turn: Turn) -> Document:
    return {
        "id": f"msg_scripted_{turn.number}",
        "type": "message",
        "role": "assistant",
        "model": turn.body.get("model", "scripted"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(turn, 1),
    }


def _usage(turn: Turn, output_tokens: int) -> Document:
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": turn.input_tokens, **cached, "output_tokens": output_tokens}


def _results(message: Document) -> int:
    content: Any = message.get("content")
    if not isinstance(content, list):
        return 0
    return sum(block.get("type") == "tool_result" for block in cast("list[Document]", content))
