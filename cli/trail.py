"""`audit`: look at your own events, and verify the whole trail offline, believing nothing that a database's operator could change."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import printing
from cli.context import JsonFlag, current, layout, machine, task_id
from cli.exits import CliError, Exit
from deploy.embedded import provision
from deploy.postgres.apply import password_file
from services.audit import keys, verify
from services.audit.errors import EntryInvalid, KeyUnusable
from services.audit.findings import Report
from shared.secrets.errors import NotPrivate
from shared.store.errors import StoreError
from shared.store.settings import StoreSettings

app = typer.Typer(no_args_is_help=True, help="The trail: every command and event, provably complete.")

READER = "async_code_audit_reader"
SEAL_SECONDS = 15.0

CheckpointsOption = Annotated[Path | None, typer.Option(help="The published checkpoints; those of this machine's stack without it.")]
KeyOption = Annotated[Path | None, typer.Option(help="The verifier key that was handed out; this machine's without it.")]
ExportOption = Annotated[Path | None, typer.Option("--export", help="Verify this export instead of this machine's database.")]


@app.command("verify")
def verify_trail(
    export: ExportOption = None, checkpoints: CheckpointsOption = None, key: KeyOption = None, json_flag: JsonFlag = False
) -> None:
    """Recompute the log from its entries and compare it with its signed checkpoints. Ends with 0 if it holds, 1 with what is wrong.

    Keep checkpoints and the key where the database's operator cannot change them, or an agreed rewriting of everything would pass.

    Examples: `./async-code audit verify` · `./async-code audit verify --export trail.jsonl --checkpoints kept.txt --key kept.pub`
    """
    report = examine(export, checkpoints, key)
    if machine(json_flag):
        printing.document(asdict(report))
    else:
        printing.out.print(printing.shown(verify.describe(report)))
    raise typer.Exit(Exit.OK if report.verified else Exit.FAILED)


@app.command("export")
def export_trail(output: Path) -> None:
    """Write the whole log to a new file, for verifying elsewhere."""
    count = verify.export(_database(), output)
    printing.err.print(f"{count} entries written to {printing.shown(output)}.")


@app.command("list")
def list_events(task: Annotated[str | None, typer.Option("--task", help="Only this task's.")] = None, json_flag: JsonFlag = False) -> None:
    """List your own events as they stand in the trail."""
    client = current().client
    query = {"task_id": task_id(client, task)} if task else {}
    page = client.get("/v1/audit", **query)
    if machine(json_flag):
        printing.document(page)
    else:
        rows = ([entry["index"], entry["stored_at"][:19], entry["stream"], entry["type"] or entry["subject"]] for entry in page["entries"])
        printing.table(["index", "stored", "stream", "event"], rows)


def examine(export: Path | None = None, checkpoints: Path | None = None, key: Path | None = None) -> Report:
    """Verify this machine's trail, or an export. Raises CliError where it cannot be tried."""
    here = layout()
    try:
        return verify.verify(
            export or _database(),
            checkpoints or here.public / "audit" / "checkpoint",
            key or keys.verifier_key_file(here.secret("audit", "signing-key")),
        )
    except EntryInvalid as error:
        raise CliError(f"NOT VERIFIED: {error}") from error
    except (OSError, KeyUnusable, NotPrivate, StoreError) as error:
        raise CliError(
            f"The trail cannot be read: {error}", "Run it as the user who started the stack, while it is up.", Exit.UNREACHABLE
        ) from error


def wait_sealed(index: int) -> Report:
    """A report that proves at least the entry `index`; the newest entries are sealed a moment after they are stored."""
    deadline = time.monotonic() + SEAL_SECONDS
    while True:
        report = examine()
        if not report.verified or report.sealed > index or time.monotonic() > deadline:
            return report
        time.sleep(0.2)


def _database() -> StoreSettings:
    deployment = provision.current(layout().root)
    return StoreSettings(
        url=deployment.cluster.url(READER, provision.DATABASE),
        password_file=password_file(deployment.passwords_dir, READER),
        connect_seconds=5,
    )
