"""What a superuser of the database could do to the trail, and what the verifier says to it."""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit import checkpoint, keys
from services.audit.checkpoint import Checkpoint, VerifierKey
from services.audit.entry import Entry
from services.audit.findings import Finding, Kind
from services.audit.ledger import Ledger
from services.audit.merkle import Frontier
from services.audit.publication import Publication
from services.audit.seal import Cadence, Sealer
from services.audit.verify import describe
from shared.store.database import Database
from tests.integration.services.audit.conftest import ORIGIN, Change, Stored, Trail, until
from tests.servers.postgres import PostgresDatabase

ENTRIES = 60
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Sealed(Stored):
    async def findings(self, *changes: Change) -> list[Finding]:
        await self.tamper(*changes)
        report = await self.report()
        assert not report.verified
        return list(report.findings)


def entry(number: int, data: bytes | None = None) -> Entry:
    """Two streams by turns: even entries are EVT's, odd ones CMD's."""
    stream, subject = ("CMD", "cmd.scheduler.x") if number % 2 else ("EVT", "evt.project.x")
    return Entry(stream, number // 2 + 1, subject, b"", AT + timedelta(seconds=number), data or f"{number}".encode())


@pytest.fixture
async def sealed(database: PostgresDatabase, superuser: "asyncpg.Connection[asyncpg.Record]", tmp_path: Path) -> Sealed:
    """Two checkpoints over thirty entries each."""
    made = Sealed(database, tmp_path, superuser)
    key = keys.load_or_create(made.signing_key_file, ORIGIN)
    verifier = VerifierKey(ORIGIN, key.public_key().public_bytes_raw())
    sealer = Sealer(ORIGIN, key, Publication(made.checkpoint_file, verifier), Cadence(30, 3600), time.monotonic)
    opened = await Database.open(database.settings("audit"))
    async with Ledger(opened, verifier).candidate() as candidate:
        writer = await candidate.elected()
        assert writer is not None
        frontier = Frontier()
        for first in (0, 30):
            frontier = frontier.extended(await writer.append(first, [entry(first + number) for number in range(30)]))
            await sealer.seal_when_due(writer, frontier)
    await opened.close()
    report = await made.report()
    assert report.verified, describe(report)
    assert (report.entries, report.sealed, report.unsealed, report.checkpoints) == (ENTRIES, ENTRIES, 0, 2)
    return made


async def test_a_flipped_byte_is_named(sealed: Sealed) -> None:
    [finding] = await sealed.findings(("update audit.entries set data = set_byte(data, 0, get_byte(data, 0) # 1) where index = 40",))
    assert (finding.kind, finding.index) == (Kind.FLIPPED, 40)
    assert (finding.expected, finding.got) == (entry(40).leaf_hash().hex(), entry(40, b"50").leaf_hash().hex())


@pytest.mark.parametrize(
    "statement",
    [
        "update audit.entries set subject = 'x' where index = 7",
        "update audit.entries set headers = '\\x00' where index = 7",
        "update audit.entries set stored_at = stored_at + interval '1 microsecond' where index = 7",
    ],
)
async def test_every_part_of_an_entry_counts(sealed: Sealed, statement: str) -> None:
    findings = await sealed.findings((statement,))
    assert [(finding.kind, finding.index) for finding in findings] == [(Kind.FLIPPED, 7)]


async def test_a_flipped_byte_with_a_fitting_hash_is_in_a_named_range(sealed: Sealed) -> None:
    change = ("update audit.entries set data = $1, leaf_hash = $2 where index = 40", b"forged", entry(40, b"forged").leaf_hash())
    [finding] = await sealed.findings(change)
    assert (finding.kind, finding.index) == (Kind.ROOT, 30)
    assert "entries 30 to 59" in finding.message


async def test_a_changed_hash_beside_a_right_entry_is_named(sealed: Sealed) -> None:
    [finding] = await sealed.findings(("update audit.entries set leaf_hash = sha256('x') where index = 40",))
    assert (finding.kind, finding.index) == (Kind.HASH, 40)


async def test_an_entry_hidden_from_its_owner_is_named(sealed: Sealed) -> None:
    [finding] = await sealed.findings(("update audit.entries set owner = gen_random_uuid() where index = 40",))
    assert (finding.kind, finding.index, finding.expected) == (Kind.COLUMN, 40, "None")


async def test_a_removed_row_is_named(sealed: Sealed) -> None:
    findings = await sealed.findings(("delete from audit.entries where index = 40",))
    assert {(finding.kind, finding.expected) for finding in findings if finding.kind is not Kind.ROOT} == {
        (Kind.REMOVED, "40"),
        (Kind.GAP, "EVT 21"),
    }
    assert Kind.ROOT in {finding.kind for finding in findings}


async def test_a_removed_row_whose_place_was_closed_is_named_by_its_number(sealed: Sealed) -> None:
    findings = await sealed.findings(
        ("delete from audit.entries where index = 40",),
        ("update audit.entries set index = index + 1000 where index > 40",),
        ("update audit.entries set index = index - 1001 where index > 1000",),
    )
    assert [finding.expected for finding in findings if finding.kind is Kind.GAP] == ["EVT 21"]
    assert Kind.TRUNCATED in {finding.kind for finding in findings}


async def test_an_inserted_row_is_named(sealed: Sealed) -> None:
    insert = """
        insert into audit.entries (index, stream, stream_sequence, subject, headers, stored_at, data, leaf_hash)
        select 40, stream, 1000, subject, headers, stored_at, data, leaf_hash from audit.entries where index = 39
    """
    findings = await sealed.findings(
        ("update audit.entries set index = index + 1000 where index >= 40",),
        ("update audit.entries set index = index - 999 where index >= 1000",),
        (insert,),
    )
    assert [finding.index for finding in findings if finding.kind is Kind.INSERTED] == [40]
    assert Kind.ROOT in {finding.kind for finding in findings}


async def test_a_swapped_pair_is_named(sealed: Sealed) -> None:
    move = "update audit.entries set index = $2 where index = $1"
    findings = await sealed.findings((move, 40, 1000), (move, 42, 40), (move, 1000, 42))
    assert [(finding.index, finding.expected, finding.got) for finding in findings if finding.kind is Kind.SWAPPED] == [
        (40, "EVT 21", "EVT 22")
    ]
    assert Kind.ROOT in {finding.kind for finding in findings}


async def test_a_swapped_pair_of_two_streams_is_in_a_named_range(sealed: Sealed) -> None:
    move = "update audit.entries set index = $2 where index = $1"
    [finding] = await sealed.findings((move, 40, 1000), (move, 41, 40), (move, 1000, 41))
    assert (finding.kind, finding.index) == (Kind.ROOT, 30)


async def test_a_cut_tail_is_named(sealed: Sealed) -> None:
    findings = await sealed.findings(("delete from audit.entries where index >= 50",), ("delete from audit.checkpoints where size > 50",))
    assert [(finding.kind, finding.index, finding.expected, finding.got) for finding in findings] == [(Kind.TRUNCATED, 50, "60", "50")]


async def test_a_log_that_was_written_anew_and_signed_with_another_key_is_found(sealed: Sealed) -> None:
    """Everything in the database is consistent with itself; what was published is not there to be changed."""
    frontier = Frontier().extended(entry(number, b"anew").leaf_hash() for number in range(30))
    note = checkpoint.sign(Checkpoint(ORIGIN, 30, frontier.root), ORIGIN, Ed25519PrivateKey.generate())
    rows = [
        ("update audit.entries set data = 'anew', leaf_hash = $1 where index = $2", entry(n, b"anew").leaf_hash(), n) for n in range(30)
    ]
    findings = await sealed.findings(
        *rows,
        ("delete from audit.entries where index >= 30",),
        ("delete from audit.checkpoints",),
        (
            "insert into audit.checkpoints (size, root, frontier, note) values (30, $1, $2, $3)",
            frontier.root,
            b"".join(frontier.peaks),
            note,
        ),
    )
    assert {finding.kind for finding in findings} == {Kind.CHECKPOINT, Kind.ROOT, Kind.TRUNCATED}
    sealed.checkpoint_file.write_text(f"{note}\n")
    assert {finding.kind for finding in await sealed.findings()} == {Kind.CHECKPOINT, Kind.UNSEALED}


async def test_a_published_checkpoint_that_was_garbled_hides_none_of_those_after_it_unseen(sealed: Sealed) -> None:
    sealed.checkpoint_file.write_text(sealed.checkpoint_file.read_text().replace("\n60\n", "\n60"))
    assert [finding.kind for finding in await sealed.findings()] == [Kind.CHECKPOINT]


async def test_the_service_does_not_go_on_over_a_log_that_was_changed(sealed: Sealed, trail: Trail) -> None:
    published = sealed.checkpoint_file.read_bytes()
    await sealed.tamper(("delete from audit.entries where index >= 50",), ("delete from audit.checkpoints where size > 50",))
    service = await trail.started()
    await until(lambda: service.has_logged("trail_broken"), "refusal")
    readiness = await service.readiness()
    assert readiness["ready"] is False
    assert "the log was cut: expected at least 60 entries, got 50" in readiness["checks"]["trail"]
    assert sealed.checkpoint_file.read_bytes() == published
    assert await sealed.size() == 50


async def test_a_missing_checkpoint_file_is_published_again_after_the_whole_log_was_proved(sealed: Sealed, trail: Trail) -> None:
    published = sealed.checkpoint_file.read_text()
    sealed.checkpoint_file.unlink()
    service = await trail.started()
    await until(lambda: service.has_logged("trail_taken_up"), "log")
    assert sealed.checkpoint_file.read_text() == published


async def test_the_command_line_verifies_the_database_and_its_export(sealed: Sealed, tmp_path: Path) -> None:
    output = tmp_path / "trail.jsonl"
    store = sealed.database.settings("audit_reader")
    database = ("--database-url", store.url, "--password-file", str(store.password_file))
    proof = ("--checkpoints", str(sealed.checkpoint_file), "--key", str(sealed.key_file))
    assert await run(*database, *proof) == (0, "verified\n  60 entries (CMD to 30, EVT to 30), 60 of them sealed by 2 checkpoints\n")
    assert (await run("export", *database, "--output", str(output)))[0] == 0
    assert (await run("--export", str(output), *proof))[0] == 0

    lines = output.read_text().splitlines()
    changed = json.loads(lines[17]) | {"data": "Zm9yZ2Vk"}
    output.write_text("\n".join([*lines[:17], json.dumps(changed), *lines[18:]]))
    code, said = await run("--export", str(output), *proof, "--json")
    assert code == 1
    assert [(finding["kind"], finding["index"]) for finding in json.loads(said)["findings"]] == [("flipped", 17)]
    output.write_text("no entry\n")
    assert (await run("--export", str(output), *proof))[0] == 1
    assert (await run("--export", str(output)))[0] == 2
    assert (await run("--export", str(output), *proof[:2], "--key", str(tmp_path / "none")))[0] == 2


async def run(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.audit.verify", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_readers_role_reads_and_does_nothing_else(sealed: Sealed) -> None:
    settings = sealed.database.settings("audit_reader")
    session = await asyncpg.connect(settings.url, password=settings.password_file.read_text().strip())
    try:
        assert await session.fetchval("select count(*) from audit.entries") == ENTRIES
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute("insert into audit.checkpoints (size, root, frontier, note) values (1, sha256(''), '', '')")
    finally:
        await session.close()
