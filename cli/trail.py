"""`audit`: look at your own events, and verify the whole trail offline, believing nothing that a database's operator could change."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import printing
from cli.context import JsonFlag, current, machine, task_id
from cli.exits import Exit

app = typer.Typer(no_args_is_help=True, help="The trail: every command and event, provably complete.")

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
    from cli import proof  # noqa: PLC0415 - the database's libraries would slow down every other command

    report = proof.examine(export, checkpoints, key)
    if machine(json_flag):
        printing.document(asdict(report))
    else:
        printing.out.print(printing.shown(proof.describe(report)))
    raise typer.Exit(Exit.OK if report.verified else Exit.FAILED)


@app.command("export")
def export_trail(output: Path) -> None:
    """Write the whole log to a new file, for verifying elsewhere."""
    from cli import proof  # noqa: PLC0415 - as above

    count = proof.export(output)
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
