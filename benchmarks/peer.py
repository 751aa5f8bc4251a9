"""The least a task API could be: FastAPI and asyncpg, one insert or one select per request, no identity, no outbox, no checks.

A process of its own: `python -m benchmarks.peer PORT`, with `DATABASE_URL` and `DATABASE_PASSWORD_FILE`.
"""

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel

from shared.store.database import Database
from shared.store.settings import StoreSettings

TABLE = (
    "create schema peer; grant usage on schema peer to async_code_gateway;"
    "create table peer.tasks (id uuid primary key, at timestamptz not null default now(), title text, prompt text, state text);"
    "create index on peer.tasks (at desc); grant select, insert on peer.tasks to async_code_gateway"
)
_INSERT = "insert into peer.tasks (id, title, prompt, state) values ($1, $2, $3, 'submitted') returning id, at, title, state"
_PAGE = "select id, at, title, state from peer.tasks order by at desc limit 50"


class New(BaseModel):
    """What is handed in."""

    prompt: str
    agent: str
    project_id: str


def build(database: Database) -> FastAPI:
    """The two routes."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        await database.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/tasks", status_code=201)
    async def create(new: New) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return dict(await database.pool.fetchrow(_INSERT, uuid.uuid4(), new.prompt[:80], new.prompt) or {})

    @app.get("/v1/tasks")
    async def page() -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        return [dict(row) for row in await database.pool.fetch(_PAGE)]

    return app


async def _serve(port: int) -> None:
    database = await Database.open(StoreSettings())  # pyright: ignore[reportCallIssue]
    await uvicorn.Server(uvicorn.Config(build(database), port=port, log_level="warning", access_log=False)).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))
