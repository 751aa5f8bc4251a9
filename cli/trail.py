"""`audit`: look at your own events, and verify the whole trail offline, believing nothing that a database's operator could change."""

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from cli import printing
from cli.context import JsonFlag, current, machine, task_id
from cli.examples import examples
from cli.exits import Exit
from cli.text import count, line
from cli.views import when

app = typer.Typer(no_args_is_help=True, help="The trail: every command and event, provably complete.")

CheckpointsOption = Annotated[Path | None, typer.Option(help="The published checkpoints; those of this machine's stack without it.")]
KeyOption = Annotated[Path | None, typer.Option(help="The verifier key that was handed out; this machine's without it.")]
ExportOption = Annotated[Path | None, typer.Option("--export", help="Verify this export instead of this machine's database.")]


@app.command(
    "verify",
    epilog=examples("audit verify", "audit verify --export trail.jsonl --checkpoints kept.txt --key kept.pub", "audit verify --json"),
)
def verify_trail(
    export: ExportOption = None, checkpoints: CheckpointsOption = None, key: KeyOption = None, json_flag: JsonFlag = False
) -> None:
    """Recompute the log from its entries and compare it with its signed checkpoints. Ends with 0 if it holds, 1 with what is wrong.

    Keep checkpoints and the key where the database's operator cannot change them, or an agreed rewriting of everything would pass.
    """
    from cli import proof  # noqa: PLC0415 - the database's libraries would slow down every other command

    report = proof.examine(export, checkpoints, key)
    if machine(json_flag):
        printing.document(asdict(report))
    else:
        verdict, *rest = proof.describe(report).split("\n")
        printing.say((verdict, "bold green" if report.verified else "bold red"), "\n", "\n".join(rest))
    raise typer.Exit(Exit.OK if report.verified else Exit.FAILED)


@app.command("export", epilog=examples("audit export trail.jsonl"))
def export_trail(
    output: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")], json_flag: JsonFlag = False
) -> None:
    """Write the whole log to a new file, for verifying elsewhere."""
    from cli import proof  # noqa: PLC0415 - as above

    written = proof.export(output)
    if machine(json_flag):
        printing.document({"file": str(output), "entries": written})
    else:
        printing.say(f"{count(written, 'entry', 'entries')} written to {line(str(output))}.")


@app.command("list", epilog=examples("audit list", "audit list --task 3f2a --limit 1000 --json"))
def list_events(
    task: Annotated[str | None, typer.Option("--task", help="Only this task's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, oldest first.")] = 200,
    json_flag: JsonFlag = False,
) -> None:
    """List your own events as they stand in the trail, oldest first."""
    client = current().client
    whole = task_id(client, task) if task else None
    found = list(islice(client.pages("/v1/audit", key="entries", task_id=whole, limit=min(limit, 500)), limit))
    if machine(json_flag):
        printing.document(found)
        return
    rows = (
        [entry["index"], when(entry["stored_at"], "%Y-%m-%d %H:%M:%S"), entry["stream"], entry["type"] or entry["subject"]]
        for entry in found
    )
    printing.table(["index", "stored", "stream", "event"], rows)
    if len(found) == limit:
        printing.note(f"There may be more: --limit {limit * 5}")
