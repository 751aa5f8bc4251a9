"""Offline verification of the trail: `python -m services.audit.verify`, and `verify` for other programs.

It needs the right to read the log (or an export), a published checkpoint file and the verifier key; no service has to run, and nothing that
the operator of the database could change is believed.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from services.audit import keys
from services.audit.checkpoint import VerifierKey
from services.audit.errors import EntryInvalid, KeyUnusable
from services.audit.findings import Report
from services.audit.sources import DatabaseSource, ExportSource, Source, write_export
from services.audit.verification import Verification
from shared.secrets.errors import NotPrivate
from shared.store.errors import StoreError
from shared.store.settings import StoreSettings

VERIFIED, NOT_VERIFIED, USAGE = 0, 1, 2
"""Exit codes."""

_CANNOT = (OSError, KeyUnusable, NotPrivate, StoreError, ValidationError)


async def examine(source: Source, published: str, key: VerifierKey) -> Report:
    """Verify every row of the source against the text of a published checkpoint file, read before the rows. Raises EntryInvalid."""
    verification = Verification(key, published, await source.notes())
    async for row in source.rows():
        verification.take(row)
    return verification.report()


def verify(source: StoreSettings | Path, checkpoints: Path, key: Path) -> Report:
    """Verify a database, or an export of it, against a published checkpoint file with a verifier key file.

    Raises OSError, KeyUnusable, StoreError or NotPrivate when one of them cannot be read, EntryInvalid when the export is damaged.
    """
    verifier, published = keys.load_verifier_key(key), checkpoints.read_bytes().decode("utf-8", "replace")
    return asyncio.run(_verify(source, published, verifier))


def export(source: StoreSettings, output: Path) -> int:
    """Write a log to a new file; gives how many entries it has. Raises OSError, StoreError, NotPrivate."""
    return asyncio.run(_export(source, output))


async def _verify(source: StoreSettings | Path, published: str, key: VerifierKey) -> Report:
    if isinstance(source, Path):
        return await examine(ExportSource(source), published, key)
    async with DatabaseSource.opened(source) as opened:
        return await examine(opened, published, key)


async def _export(source: StoreSettings, output: Path) -> int:
    async with DatabaseSource.opened(source) as opened:
        return await write_export(opened, output)


def describe(report: Report) -> str:
    """A report for a person."""
    streams = ", ".join(f"{name} to {last}" for name, last in sorted(report.streams.items()))
    lines = [
        "verified" if report.verified else "NOT VERIFIED",
        f"  {report.entries} entries ({streams or 'none'}), {report.sealed} of them sealed by {report.checkpoints} checkpoints",
    ]
    if report.unsealed:
        lines.append(f"  {report.unsealed} entries came after the last published checkpoint and are not proved yet")
    for finding in report.findings:
        lines.append(f"  {finding.kind}: {finding.message}")
        if finding.expected or finding.got:
            lines.append(f"    expected {finding.expected or 'nothing'}, got {finding.got or 'nothing'}")
    if report.more_findings:
        lines.append(f"  and {report.more_findings} more")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.audit.verify", description="Verify the trail, or export it.")
    parser.add_argument("action", nargs="?", choices=("verify", "export"), default="verify")
    parser.add_argument("--database-url", help="postgresql://async_code_audit_reader@…, without a password")
    parser.add_argument("--password-file", type=Path, help="the password of that role, mode 0600")
    parser.add_argument("--export", type=Path, dest="exported", help="verify this export instead of a database")
    parser.add_argument("--checkpoints", type=Path, help="the published checkpoint file")
    parser.add_argument("--key", type=Path, help="the verifier key (signing key file + .pub)")
    parser.add_argument("--output", type=Path, help="where `export` writes")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 verified, 1 not verified, 2 it could not be tried."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return _export_as(parser, given) if given.action == "export" else _verify_as(parser, given)
    except EntryInvalid as error:
        sys.stderr.write(f"NOT VERIFIED: {error}\n")
        return NOT_VERIFIED
    except _CANNOT as error:
        sys.stderr.write(f"it could not be tried: {error}\n")
        return USAGE


def _verify_as(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    source: StoreSettings | Path | None = given.exported or _store(given)
    if source is None or given.checkpoints is None or given.key is None:
        parser.error("verify needs --checkpoints, --key, and --export or --database-url with --password-file")
    report = verify(source, given.checkpoints, given.key)
    sys.stdout.write((json.dumps(asdict(report), indent=2) if given.json else describe(report)) + "\n")
    return VERIFIED if report.verified else NOT_VERIFIED


def _export_as(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    store = _store(given)
    if store is None or given.output is None:
        parser.error("export needs --database-url, --password-file and --output")
    sys.stdout.write(f"{export(store, given.output)} entries written to {given.output}\n")
    return VERIFIED


def _store(given: argparse.Namespace) -> StoreSettings | None:
    if given.database_url is None or given.password_file is None:
        return None
    return StoreSettings(url=given.database_url, password_file=given.password_file)


if __name__ == "__main__":
    sys.exit(main())
