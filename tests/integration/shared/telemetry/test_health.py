"""What a supervisor or a load balancer gets."""

import asyncio
import json

import pytest

from shared.telemetry import redaction
from shared.telemetry.health import HealthServer


async def fine() -> None:
    return


async def request(server: HealthServer, content: bytes) -> tuple[int, dict[str, object]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(content)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1]), json.loads(body or b"{}")


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def test_ready_when_every_check_passes() -> None:
    async with HealthServer("127.0.0.1", 0, {"bus": fine, "database": fine}) as server:
        assert await request(server, get("/readyz")) == (200, {"ready": True, "checks": {"bus": "ok", "database": "ok"}})
        assert await request(server, get("/healthz")) == (200, {"healthy": True})


async def test_what_a_process_found_at_its_start_is_told_beside_its_checks() -> None:
    async with HealthServer("127.0.0.1", 0, {"bus": fine}, {"protections": ["seccomp"], "missing": []}) as server:
        told = {"protections": ["seccomp"], "missing": []}
        assert await request(server, get("/readyz")) == (200, {"ready": True, "checks": {"bus": "ok"}, "about": told})


async def test_not_ready_says_why_without_a_secret() -> None:
    redaction.forget("the-database-password")

    async def broken() -> None:
        raise ConnectionError("refused for the-database-password")

    async with HealthServer("127.0.0.1", 0, {"bus": fine, "database": broken}) as server:
        status, answer = await request(server, get("/readyz"))
        assert (status, answer["ready"]) == (503, False)
        assert answer["checks"] == {"bus": "ok", "database": "ConnectionError: refused for [redacted]"}
        assert await request(server, get("/healthz")) == (200, {"healthy": True})


async def test_a_check_that_hangs_is_a_check_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.telemetry.health._CHECK_SECONDS", 0.05)

    async def hangs() -> None:
        await asyncio.Event().wait()

    async with HealthServer("127.0.0.1", 0, {"bus": hangs}) as server:
        status, _ = await request(server, get("/readyz"))
        assert status == 503


@pytest.mark.parametrize(
    ("content", "status"),
    [(get("/"), 404), (get("/metrics"), 404), (b"POST /readyz HTTP/1.1\r\n\r\n", 405), (b"nonsense\r\n\r\n", 405), (b"\r\n\r\n", 405)],
)
async def test_anything_else_is_refused(content: bytes, status: int) -> None:
    async with HealthServer("127.0.0.1", 0, {}) as server:
        assert (await request(server, content))[0] == status


async def test_a_head_without_an_end_is_closed_and_the_next_request_answered() -> None:
    async with HealthServer("127.0.0.1", 0, {}) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 100_000)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        assert (await request(server, get("/healthz")))[0] == 200
