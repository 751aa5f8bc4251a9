"""A request as a sandbox makes it, and the key that it must never see."""

from pathlib import Path
from typing import Any

import aiohttp

KEY = "sk-ant-api03-planted-model-key-0123456789"
TOKEN = "t" * 32
BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 10,
    "stream": True,
    "tools": [{"name": "Bash"}],
    "messages": [{"role": "user", "content": "x"}],
}


async def ask(
    socket: Path, body: Any = BODY, *, token: str = TOKEN, path: str = "/v1/messages", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """A request as the sandbox makes it."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.post(f"http://door{path}", json=body, headers={"x-api-key": token, **(headers or {})}) as answer,
    ):
        return answer.status, await answer.text()
