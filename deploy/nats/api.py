"""The few calls of the server's JetStream API that provisioning needs, typed.

Spoken directly, because what is compared and sent are the server's own words; nats-py's models drop fields they do not know.
"""

import json
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from shared.bus.client import open_client

Answer = dict[str, Any]

_NOT_FOUND = 404


class ApiRefused(Exception):
    """The server refused a call."""

    def __init__(self, call: str, code: int, description: str) -> None:
        super().__init__(f"{call}: {description} (code {code})")
        self.code = code


class Api:
    """A provisioner's connection."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    async def connect(cls, url: str, user: str, seed_file: Path, ca_file: Path | None, deadline_seconds: float) -> "Api":
        """Connect as soon as the server is there. Raises NotAuthorized at once, BusUnreachable at the deadline."""
        client = await open_client(url=url, user=user, nkey_file=seed_file, ca_file=ca_file, deadline_seconds=deadline_seconds)
        return cls(client)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def call(self, call: str, request: object = None) -> Answer:
        """One call, `STREAM.INFO.CMD`. Raises ApiRefused."""
        payload = b"" if request is None else json.dumps(request).encode()
        try:
            message = await self._client.request(f"$JS.API.{call}", payload, timeout=10)
        except NoRespondersError as error:
            raise ApiRefused(call, 503, "JetStream is not there") from error
        except NatsError as error:
            raise ApiRefused(call, 504, f"no answer ({type(error).__name__}): may this user make the call?") from error
        answer: Answer = json.loads(message.data)
        if problem := answer.get("error"):
            raise ApiRefused(call, problem["code"], problem.get("description", ""))
        return answer

    async def find(self, call: str) -> Answer | None:
        """As `call`, but None for what is not there."""
        try:
            return await self.call(call)
        except ApiRefused as refusal:
            if refusal.code == _NOT_FOUND:
                return None
            raise
