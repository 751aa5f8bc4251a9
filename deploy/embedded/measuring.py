"""Looks how much of the disk each part takes: directories, streams, schemas. It reads only, and says what it could not read.

Run by whoever may read the state directory; streams and schemas are asked of the servers, with the provisioners' keys.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import asyncpg

from deploy.embedded import capacity, logs
from deploy.embedded.disk import AtLimit, Disk, Part
from deploy.embedded.processes import DATABASE, Deployment
from deploy.embedded.state import Layout
from deploy.nats import topology
from deploy.nats.api import Api, ApiRefused
from deploy.nats.apply import PROVISIONERS
from deploy.nats.topology import Account, Discard
from deploy.postgres.cluster import MAX_WAL_BYTES, SUPERUSER
from shared.bus.errors import BusUnreachable, NotAuthorized

SECONDS = 5.0
LOGS = 13
"""One per process of the table, the supervisor's own, and that of an engine that `up` started."""
_BLOCK_BYTES = 512  # of st_blocks: stat(2)
_AT_LIMIT = {Discard.NEW: AtLimit.REFUSES, Discard.OLD: AtLimit.DROPS}
_SCHEMAS = """
select n.nspname as name, sum(pg_total_relation_size(c.oid))::bigint as bytes from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and n.nspname in ('gateway', 'scheduler', 'audit', 'embedded_auth') group by 1 order by 1
"""
_WAL = "select coalesce(sum(size), 0)::bigint from pg_ls_waldir()"


async def measure(deployment: Deployment) -> Disk:
    """Everything, with the servers running."""
    looks = (_streams, _schemas, _directories)
    found = await asyncio.gather(*(_seen(look, deployment) for look in looks))
    parts = tuple(part for some, _ in found for part in some)
    return Disk(shutil.disk_usage(deployment.layout.root).free, parts, tuple(why for _, why in found if why))


def bytes_on_disk(directory: Path) -> int:
    """What a directory takes, with everything below it; 0 where it is not, or has just gone."""
    total = 0
    for path in (directory, *directory.rglob("*")):
        try:
            total += path.lstat().st_blocks * _BLOCK_BYTES
        except FileNotFoundError:
            continue
    return total


def directories(layout: Layout, settings: Mapping[str, str]) -> list[Part]:
    """What lies in files of the services' own."""
    written = capacity.log_bytes(settings) * (logs.KEPT + 1) * LOGS
    logged = bytes_on_disk(layout.log("supervisor").parent) + bytes_on_disk(layout.docker)
    return [
        Part("git mirrors", bytes_on_disk(layout.data("git") / "cache"), capacity.cache_bytes(settings), AtLimit.EVICTS),
        Part("runner work", bytes_on_disk(layout.data("runner")), None, AtLimit.GROWS),
        Part("logs", logged, written, AtLimit.EVICTS),
        Part("published checkpoints", bytes_on_disk(layout.public / "audit"), None, AtLimit.GROWS),
        Part("installed code", bytes_on_disk(layout.app), None, AtLimit.GROWS),
    ]


def before_start(layout: Layout, settings: Mapping[str, str]) -> Disk:
    """What the files alone show: nothing runs yet, and before the first start nothing is there."""
    store = Part("streams", bytes_on_disk(layout.nats), capacity.nats_bytes(settings), AtLimit.REFUSES)
    return Disk(shutil.disk_usage(layout.root).free, (store, *directories(layout, settings)))


async def _seen(look: Callable[[Deployment], Awaitable[list[Part]]], deployment: Deployment) -> tuple[list[Part], str | None]:
    """What could not be looked at is said, and hides nothing else."""
    try:
        async with asyncio.timeout(SECONDS):
            return await look(deployment), None
    except (BusUnreachable, NotAuthorized, ApiRefused, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        return [], f"{look.__name__.strip('_')} ({type(error).__name__})"


async def _streams(deployment: Deployment) -> list[Part]:
    return [part for account in PROVISIONERS for part in await _streams_of(account, deployment)]


async def _streams_of(account: Account, deployment: Deployment) -> list[Part]:
    user = PROVISIONERS[account]
    api = await Api.connect(deployment.nats_url, user, deployment.provision_dir / "nkeys" / f"{user}.nk", None, SECONDS)
    try:
        parts: list[Part] = []
        for spec in topology.STREAMS:
            if spec.account is account:
                info = await api.call(f"STREAM.INFO.{spec.name}")
                parts.append(Part(f"stream {spec.name}", info["state"]["bytes"], info["config"]["max_bytes"], _AT_LIMIT[spec.discard]))
        return parts
    finally:
        await api.close()


async def _schemas(deployment: Deployment) -> list[Part]:
    url, password = deployment.cluster.url(SUPERUSER, DATABASE), deployment.admin_password_file.read_text().strip()
    connection = await asyncpg.connect(url, password=password, timeout=SECONDS, command_timeout=SECONDS)
    try:
        schemas = [Part(f"schema {row['name']}", row["bytes"], None, AtLimit.GROWS) for row in await connection.fetch(_SCHEMAS)]
        # Postgres may go over it for a while; below it, it recycles.
        return [*schemas, Part("write-ahead log", await connection.fetchval(_WAL), MAX_WAL_BYTES, AtLimit.EVICTS)]
    finally:
        await connection.close()


async def _directories(deployment: Deployment) -> list[Part]:
    return await asyncio.to_thread(directories, deployment.layout, deployment.settings)
