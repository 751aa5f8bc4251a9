"""The server survives what machines do to it, and refuses what it must not be."""

import asyncpg
import pytest

from deploy.postgres.binaries import find
from deploy.postgres.cluster import MAX_WAL_BYTES, Account, Cluster, ClusterFailed
from tests.servers.postgres import PostgresDatabase, PostgresServer


async def test_a_killed_server_comes_back_with_everything_that_was_committed(database: PostgresDatabase) -> None:
    connection = await database.connect()
    await connection.execute("insert into scheduler.inbox (consumer, message_id) values ('test', 'kept')")
    database.server.kill()
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("select 1")
    database.server.start()
    again = await database.connect()
    assert await again.fetchval("select message_id from scheduler.inbox") == "kept"
    await again.close()


def test_making_a_cluster_again_leaves_it_alone(postgres: PostgresServer) -> None:
    postgres.cluster.init("another password")
    postgres.restart()


async def test_the_first_password_still_holds(postgres: PostgresServer) -> None:
    await postgres.execute("select 1")


def test_both_major_versions_are_found() -> None:
    assert find(16).program("postgres") != find(18).program("postgres")


def test_root_without_an_account_is_refused(postgres: PostgresServer) -> None:
    cluster = postgres.cluster
    wrong = None if cluster.account else Account(1, 1)
    with pytest.raises(ClusterFailed):
        Cluster(cluster.binaries, cluster.data, cluster.sockets, cluster.port, wrong)


async def test_what_bounds_the_disk_holds_in_the_server(database: PostgresDatabase) -> None:
    connection = await database.connect()
    held = {row["name"]: row["setting"] for row in await connection.fetch("select name, setting from pg_settings")}
    assert (held["max_wal_size"], held["max_slot_wal_keep_size"]) == (str(MAX_WAL_BYTES // 1024**2),) * 2  # in MB
    assert (held["autovacuum"], held["track_counts"], held["autovacuum_naptime"]) == ("on", "on", "30")
    assert (held["temp_file_limit"], held["idle_in_transaction_session_timeout"]) == (str(1024**2), "300000")  # kB, ms
    await connection.close()
